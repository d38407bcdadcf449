//#import dispatch
// dst[i] = (start + w[first] * a[i]) + w[first + 1] * b[i] + ..., of the first SOURCES sources; start = dst[i] if ACCUMULATE,
// else 0.
// weights: scalars; a, b, c, d, dst: len vectors of VECTOR floats. A source that is not read may be any buffer.
// One invocation makes one vector, its terms added in the order of the sources.
struct Params {
    len: u32,
    first: u32,
}

alias Floats = {{ "vec4<f32>" if VECTOR == 4 else "f32" }};

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read> a: array<Floats>;
@group(0) @binding(3) var<storage, read> b: array<Floats>;
@group(0) @binding(4) var<storage, read> c: array<Floats>;
@group(0) @binding(5) var<storage, read> d: array<Floats>;
@group(0) @binding(6) var<storage, read_write> dst: array<Floats>;

override WORKGROUP: u32;
override SOURCES: u32;
override ACCUMULATE: bool;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.len {
        return;
    }
    var sum = weights[params.first] * a[index];
    if ACCUMULATE {
        sum = dst[index] + sum;
    }
    if SOURCES > 1u {
        sum += weights[params.first + 1u] * b[index];
    }
    if SOURCES > 2u {
        sum += weights[params.first + 2u] * c[index];
    }
    if SOURCES > 3u {
        sum += weights[params.first + 3u] * d[index];
    }
    dst[index] = sum;
}
