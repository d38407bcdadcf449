//#import dispatch
//#import random
// grad_input[row, c] = factor * grad[row, c] where u >= rate, else 0, with factor = 1 / (1 - rate) and u the uniform
// number of (seed, step, tensor, first_row + row, c).
// grad, grad_input: rows x channels; step: step, seed low, seed high.
// One invocation writes the four columns of one draw.
struct Params {
    rows: u32,
    channels: u32,
    tensor: u32,
    first_row: u32,
    rate: f32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad: array<f32>;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<f32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let blocks = (params.channels + 3u) / 4u;
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.rows * blocks {
        return;
    }
    let row = index / blocks;
    let block = index % blocks;
    let seed = vec2(step[1], step[2]);
    let drawn = uniform_block(seed, step[0], params.tensor, params.first_row + row, block);
    for (var lane = 0u; lane < min(4u, params.channels - 4u * block); lane++) {
        let at = row * params.channels + 4u * block + lane;
        grad_input[at] = select(0.0, params.factor * grad[at], drawn[lane] >= params.rate);
    }
}
