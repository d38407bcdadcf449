//#import dispatch
// p = softmax(logits[s] / T), q = softmax(targets[s] / T), both shifted by their row's maximum: losses[s] = weight * T^2 *
// -sum_c q[c] ln p[c], grad[s, c] = factor * (p[c] - q[c]), each added to what is there if ACCUMULATE.
// logits, targets, grad: samples x classes floats; losses: samples.
// One invocation computes one sample.
struct Params {
    samples: u32,
    classes: u32,
    // 1 / T.
    inverse: f32,
    // weight * T^2.
    scale: f32,
    // weight * T / samples of the whole batch.
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad: array<f32>;

override WORKGROUP: u32;
override ACCUMULATE: bool;

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
    var largest = logits[first];
    var largest_target = targets[first];
    for (var c = 1u; c < params.classes; c++) {
        largest = max(largest, logits[first + c]);
        largest_target = max(largest_target, targets[first + c]);
    }
    var sum = 0.0;
    var sum_target = 0.0;
    for (var c = 0u; c < params.classes; c++) {
        sum += exponential((logits[first + c] - largest) * params.inverse);
        sum_target += exponential((targets[first + c] - largest_target) * params.inverse);
    }
    var expected = 0.0;
    for (var c = 0u; c < params.classes; c++) {
        let shifted = (logits[first + c] - largest) * params.inverse;
        let share = exponential((targets[first + c] - largest_target) * params.inverse) / sum_target;
        expected += share * shifted;
        let value = params.factor * (exponential(shifted) / sum - share);
        grad[first + c] = select(0.0, grad[first + c], ACCUMULATE) + value;
    }
    losses[index] = select(0.0, losses[index], ACCUMULATE) + params.scale * (log(sum) - expected);
}

// Below -80 the power is beyond what a sum of at least 1 can see, and drivers differ near the smallest
// floats.
fn exponential(shifted: f32) -> f32 {
    return exp(max(shifted, -80.0));
}
