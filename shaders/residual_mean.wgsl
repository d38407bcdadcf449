// mean[0] = sums[0] / sums[1], 0 where nothing was summed.
// sums: a sum and how many values it has; mean: one word.
// One invocation divides.
struct Params {
    len: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;

@compute @workgroup_size(1)
fn main() {
    var result = 0.0;
    if sums[1] > 0.0 {
        result = sums[0] / sums[1];
    }
    mean[params.len - 1u] = result;
}
