// grad[0] = factor * gate[0] * gate[1] * (dots[0] - dots[1]), where gate = [C, 1 - C] and dots are the inner products of the
// output's gradient with the base's own output and with the mean of all bases.
// gate, dots: two floats each; grad: one.
// The first invocation makes it.
struct Params {
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate: array<f32>;
@group(0) @binding(2) var<storage, read> dots: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad: array<f32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
    if local > 0u {
        return;
    }
    grad[0] = params.factor * gate[0] * gate[1] * (dots[0] - dots[1]);
}
