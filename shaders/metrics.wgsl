//#import dispatch
// metrics[0] += sum of losses (as float bits), metrics[1] += samples with hits bit 0, metrics[2] += samples
// with hits bit 1, metrics[3] += samples.
// losses: samples floats; hits: samples words; metrics: 4 words.
// One invocation adds loss after loss to the sum so far, so that it does not matter how a batch is cut.
struct Params {
    samples: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> losses: array<f32>;
@group(0) @binding(2) var<storage, read> hits: array<u32>;
@group(0) @binding(3) var<storage, read_write> metrics: array<u32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index != 0u {
        return;
    }
    var loss = bitcast<f32>(metrics[0]);
    var first = 0u;
    var five = 0u;
    for (var sample = 0u; sample < params.samples; sample++) {
        let hit = hits[sample];
        loss += losses[sample];
        first += hit & 1u;
        five += (hit >> 1u) & 1u;
    }
    metrics[0] = bitcast<u32>(loss);
    metrics[1] += first;
    metrics[2] += five;
    metrics[3] += params.samples;
}
