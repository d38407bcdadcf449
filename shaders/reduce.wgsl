//#import dispatch
//#import math
// dst[row, c] = factor * sum or max over i = 0.. of map(src[row, c + i chunks]), where src counts in vectors of VECTOR
// elements, which are combined at last, and the map is x, |x| or |tanh x|.
// src: rows x vectors; dst: rows x chunks, a chunk holding at most CHUNK vectors.
// One invocation reduces one chunk, in ascending order; neighbors read neighboring vectors.
struct Params {
    rows: u32,
    // Vectors of a row.
    vectors: u32,
    chunks: u32,
    factor: f32,
}

alias Floats = {{ "vec4<f32>" if VECTOR == 4 else "f32" }};
alias Words = {{ "vec4<u32>" if VECTOR == 4 else "u32" }};

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<Floats>;
@group(0) @binding(2) var<storage, read_write> dst: array<f32>;

override WORKGROUP: u32;
override MAP: u32;
override OP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.rows * params.chunks {
        return;
    }
    let row = index / params.chunks;
    let chunk = index - row * params.chunks;
    let first = row * params.vectors;
    var result = mapped(src[first + chunk]);
    for (var i = chunk + params.chunks; i < params.vectors; i += params.chunks) {
        let value = mapped(src[first + i]);
        result = select(result + value, largest(result, value), OP == 1u);
    }
{%- if VECTOR == 4 %}
    let sum = (result.x + result.y) + (result.z + result.w);
    let pairs = largest(result, result.zwxy);
    dst[index] = params.factor * select(sum, largest(pairs, pairs.yxwz).x, OP == 1u);
{%- else %}
    dst[index] = params.factor * result;
{%- endif %}
}

// Magnitudes grow with their bits, in which infinity and then NaN come last, so that none of them gets lost.
fn largest(a: Floats, b: Floats) -> Floats {
    if MAP == 0u {
        return max(a, b);
    }
    return bitcast<Floats>(max(bitcast<Words>(a), bitcast<Words>(b)));
}

fn mapped(value: Floats) -> Floats {
    if MAP == 0u {
        return value;
    }
    if MAP == 1u {
        return bitcast<Floats>(bitcast<Words>(value) & Words(0x7fffffffu));
    }
{%- if VECTOR == 4 %}
    return abs(vec4(tanh_bounded(value.x), tanh_bounded(value.y), tanh_bounded(value.z), tanh_bounded(value.w)));
{%- else %}
    return abs(tanh_bounded(value));
{%- endif %}
}
