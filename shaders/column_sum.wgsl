//#import dispatch
// dst[g, c] = factor * (start + src[g * group, c] + ... + src[g * group + group - 1, c]), start = dst[g, c] if
// ACCUMULATE, else 0. The sum begins with what dst holds, so rows given in parts add up in the same order as together.
// src: rows of stride floats, of which columns from first on are summed; dst: ceil(rows / group) x columns.
// One invocation sums VECTOR neighboring columns of one group in row order, so the result is the same on every run.
struct Params {
    rows: u32,
    // Columns, row stride and first column in vectors.
    columns: u32,
    stride: u32,
    first: u32,
    group: u32,
    factor: f32,
}

alias Floats = {{ "vec4<f32>" if VECTOR == 4 else "f32" }};

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<Floats>;
@group(0) @binding(2) var<storage, read_write> dst: array<Floats>;

override WORKGROUP: u32;
override ACCUMULATE: bool;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let column = index % params.columns;
    let start = index / params.columns * params.group;
    if start >= params.rows {
        return;
    }
    let end = min(start + params.group, params.rows);
    var sum = Floats(0.0);
    if ACCUMULATE {
        sum = dst[index];
    }
    for (var row = start; row < end; row++) {
        sum += src[row * params.stride + params.first + column];
    }
    dst[index] = params.factor * sum;
}
