//#import dispatch
// dst[row, dst_first + c] = src[row, src_first + c] for c below count; the other channels of dst stay as they are.
// src: rows x src_channels words; dst: rows x dst_channels words.
// One invocation copies one word.
struct Params {
    rows: u32,
    count: u32,
    src_channels: u32,
    src_first: u32,
    dst_channels: u32,
    dst_first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<u32>;
@group(0) @binding(2) var<storage, read_write> dst: array<u32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.rows * params.count {
        return;
    }
    let row = index / params.count;
    let channel = index - row * params.count;
    let source = row * params.src_channels + params.src_first + channel;
    dst[row * params.dst_channels + params.dst_first + channel] = src[source];
}
