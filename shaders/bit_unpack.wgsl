//#import dispatch
//#import bits
// codes[row, i] = sum over p of 2^p * bit i % 32 of planes[p, row, i / 32].
// planes: BITS x rows x words_for(k); codes: rows x k.
// One invocation writes one code.
struct Params {
    rows: u32,
    k: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> planes: array<u32>;
@group(0) @binding(2) var<storage, read_write> codes: array<u32>;

override WORKGROUP: u32;
override BITS: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.rows * params.k {
        return;
    }
    let words = words_for(params.k);
    let row = index / params.k;
    let column = index % params.k;
    var code = 0u;
    for (var plane = 0u; plane < BITS; plane++) {
        let word = planes[(plane * params.rows + row) * words + column / 32u];
        code |= ((word >> (column % 32u)) & 1u) << plane;
    }
    codes[index] = code;
}
