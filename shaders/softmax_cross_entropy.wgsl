//#import dispatch
// p = softmax(logits[s]), shifted by the row's maximum: losses[s] = -weight * ln p[label], grad[s, c] = (p[c] - [c =
// label]) * factor, hits[s] bit 0 where the label ranks first and bit 1 where it ranks among the first five;
// of equal logits the lower class ranks first.
// logits, grad: samples x classes floats; labels: samples classes; losses, hits: samples.
// One invocation computes one sample.
struct Params {
    samples: u32,
    classes: u32,
    // weight / samples of the whole batch.
    factor: f32,
    weight: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> hits: array<u32>;
@group(0) @binding(5) var<storage, read_write> grad: array<f32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.samples {
        return;
    }
    let first = index * params.classes;
    let label = labels[index];
    let own = logits[first + label];
    var largest = logits[first];
    var rank = 0u;
    for (var c = 0u; c < params.classes; c++) {
        let logit = logits[first + c];
        largest = max(largest, logit);
        rank += select(0u, 1u, logit > own || (logit == own && c < label));
    }
    var sum = 0.0;
    for (var c = 0u; c < params.classes; c++) {
        sum += exponential(logits[first + c] - largest);
    }
    for (var c = 0u; c < params.classes; c++) {
        let probability = exponential(logits[first + c] - largest) / sum;
        grad[first + c] = (probability - select(0.0, 1.0, c == label)) * params.factor;
    }
    losses[index] = params.weight * (log(sum) - (own - largest));
    hits[index] = select(0u, 1u, rank < 1u) | select(0u, 2u, rank < 5u);
}

// Below -80 the power is beyond what a sum of at least 1 can see, and drivers differ near the smallest
// floats.
fn exponential(shifted: f32) -> f32 {
    return exp(max(shifted, -80.0));
}
