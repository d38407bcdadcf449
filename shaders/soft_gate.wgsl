//#import math
// gate = [C, 1 - C] with C = sigmoid(theta) = 1/2 + tanh(theta / 2) / 2.
// theta: one float; gate: two.
// The first invocation makes both.
struct Params {
    half: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> theta: array<f32>;
@group(0) @binding(2) var<storage, read_write> gate: array<f32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
    if local > 0u {
        return;
    }
    let t = params.half * tanh_bounded(params.half * theta[0]);
    gate[0] = params.half + t;
    gate[1] = params.half - t;
}
