//#import dispatch
//#import residual
// codes of OHWI values[o, t, i] with t over OHWI's taps: bit 0 the sign of the first level, 1 where what it binarizes is not
// negative; bit 2 n - 3 the sign of level n > 1 and bit 2 n - 2 its mask, both 0 where bits < n.
// values, bits: outputs x taps x inputs floats; means: a word every STRIDE words, one a level; codes: the same order, or
// with BY_INPUT inputs x taps x outputs.
// One invocation codes one value.
struct Params {
    outputs: u32,
    taps: u32,
    inputs: u32,
    levels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> bits: array<f32>;
@group(0) @binding(3) var<storage, read> means: array<f32>;
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;

override WORKGROUP: u32;
override STRIDE: u32;
override BY_INPUT: bool;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.outputs * params.taps * params.inputs {
        return;
    }
    var e = values[index];
    var code = select(1u, 0u, is_negative(e));
    for (var level = 1u; level < params.levels; level++) {
        e -= level_step(e, level - 1u);
        if bits[index] > f32(level) {
            code |= select(3u, 2u, is_negative(e)) << (2u * level - 1u);
        }
    }
    codes[target_index(index)] = code;
}

fn target_index(index: u32) -> u32 {
    if !BY_INPUT {
        return index;
    }
    let row = index / params.inputs;
    let output = row / params.taps;
    let input = index - row * params.inputs;
    return (input * params.taps + row - output * params.taps) * params.outputs + output;
}
