//#import dispatch
//#import bits
// partials[g, j] = range[0] sum of grad[r, j] (slope_0 a[r, j] + slope_1 b[r, j]) over the rows r = group g .. group (g + 1) - 1,
// with the integers a and b that two runs of planes stand for: the gradient of a bit length before it is summed over g and j.
// planes: all planes x rows x words_for(k); grad: rows x k; range: 1; partials: ceil(rows / group) x k;
// table: entries x 6, first plane and planes of a and of b, slopes as float bits; each for k / entries neighboring columns.
// One invocation sums one column of one group of rows, in ascending order.
struct Params {
    rows: u32,
    k: u32,
    group: u32,
    entries: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> planes: array<u32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read> range: array<f32>;
@group(0) @binding(4) var<storage, read> table: array<u32>;
@group(0) @binding(5) var<storage, read_write> partials: array<f32>;

override WORKGROUP: u32;
override SIGN: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let count = (params.rows + params.group - 1u) / params.group;
    if index >= count * params.k {
        return;
    }
    let own = index / params.k;
    let column = index - own * params.k;
    let entry = 6u * (column / (params.k / params.entries));
    let first = vec2(table[entry], table[entry + 1u]);
    let second = vec2(table[entry + 2u], table[entry + 3u]);
    let slopes = vec2(bitcast<f32>(table[entry + 4u]), bitcast<f32>(table[entry + 5u]));
    let end = min((own + 1u) * params.group, params.rows);
    var sum = 0.0;
    for (var row = own * params.group; row < end; row++) {
        let slope = slopes.x * integer(first, row, column) + slopes.y * integer(second, row, column);
        sum += grad[row * params.k + column] * slope;
    }
    partials[index] = range[0] * sum;
}

// What planes run.x .. run.x + run.y - 1 stand for in one element.
fn integer(run: vec2<u32>, row: u32, column: u32) -> f32 {
    let words = words_for(params.k);
    var code = 0u;
    for (var plane = 0u; plane < run.y; plane++) {
        let word = planes[((run.x + plane) * params.rows + row) * words + column / 32u];
        code |= ((word >> (column % 32u)) & 1u) << plane;
    }
    if SIGN == 1u {
        return f32(2 * i32(code) - i32((1u << run.y) - 1u));
    }
    return f32(code);
}
