//#import dispatch
//#import residual
// partials[g] = (sum of |e_i|, number of i) over i = g, g + groups, ... with bits[i] > before, e_i what the first `before`
// levels leave of values[i].
// values, bits: len floats; means: a word every STRIDE words, one a level before; partials: groups x 2.
// One invocation sums one group, in ascending order.
struct Params {
    len: u32,
    groups: u32,
    before: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> bits: array<f32>;
@group(0) @binding(3) var<storage, read> means: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;

override WORKGROUP: u32;
override STRIDE: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.groups {
        return;
    }
    var sum = 0.0;
    var count = 0u;
    for (var i = index; i < params.len; i += params.groups) {
        let refined = bits[i] > f32(params.before);
        sum += select(0.0, abs(residual(values[i], params.before)), refined);
        count += select(0u, 1u, refined);
    }
    partials[2u * index] = sum;
    partials[2u * index + 1u] = f32(count);
}
