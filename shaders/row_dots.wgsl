//#import dispatch
// dst[row, c] = sum over i = 0.. of a[row, c + i chunks] * b[row, c + i chunks], where a and b count in vectors of VECTOR
// elements, whose sums are added at last.
// a, b: rows x vectors; dst: rows x chunks, a chunk holding at most CHUNK vectors.
// One invocation sums one chunk, in ascending order; neighbors read neighboring vectors.
struct Params {
    rows: u32,
    // Vectors of a row.
    vectors: u32,
    chunks: u32,
}

alias Floats = {{ "vec4<f32>" if VECTOR == 4 else "f32" }};

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Floats>;
@group(0) @binding(2) var<storage, read> b: array<Floats>;
@group(0) @binding(3) var<storage, read_write> dst: array<f32>;

override WORKGROUP: u32;

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
    var sum = Floats(0.0);
    for (var i = chunk; i < params.vectors; i += params.chunks) {
        sum += a[first + i] * b[first + i];
    }
{%- if VECTOR == 4 %}
    dst[index] = (sum.x + sum.y) + (sum.z + sum.w);
{%- else %}
    dst[index] = sum;
{%- endif %}
}
