//#import dispatch
// dst[row, column] = scale[row] * x[row, column], or scale[column] * x[row, column] where BY_COLUMN is 1.
// x, dst: rows x columns floats; scale: rows, or columns.
// One invocation scales one element.
struct Params {
    rows: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> dst: array<f32>;

override WORKGROUP: u32;
override BY_COLUMN: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.rows * params.columns {
        return;
    }
    let row = index / params.columns;
    let at = select(row, index - row * params.columns, BY_COLUMN == 1u);
    dst[index] = scale[at] * x[index];
}
