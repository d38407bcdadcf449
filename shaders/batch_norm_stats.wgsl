//#import dispatch
// partials[g, c] = sum over the rows r of group g of x[r, c], or of (x[r, c] - mean[c])^2 if CENTERED.
// x: rows x channels floats; mean: channels (not read unless CENTERED); partials: ceil(rows / group) x
// channels.
// One invocation sums one channel of one group in row order. The variance takes a second pass over the
// centered values, because a difference of two large sums would lose it.
struct Params {
    rows: u32,
    channels: u32,
    group: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;

override WORKGROUP: u32;
override CENTERED: bool;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let channel = index % params.channels;
    let first = index / params.channels * params.group;
    if first >= params.rows {
        return;
    }
    let end = min(first + params.group, params.rows);
    var center = 0.0;
    if CENTERED {
        center = mean[channel];
    }
    var sum = 0.0;
    for (var row = first; row < end; row++) {
        let value = x[row * params.channels + channel] - center;
        sum += select(value, value * value, CENTERED);
    }
    partials[index] = sum;
}
