//#import dispatch
// d = grad + decay * weight, velocity = momentum * velocity + d,
// weight -= step[3] * (NESTEROV ? d + momentum * velocity : velocity).
// decays: per run of weights with equal decay the first of them and the decay as float bits, in order, the first run from 0.
// step: 8 words, [3] the learning rate as float bits; grad, weight, velocity: len floats.
// One invocation updates VECTOR neighboring weights.
struct Params {
    // Vectors of values.
    vectors: u32,
    momentum: f32,
    // Runs of equal weight decay.
    runs: u32,
}

alias Floats = {{ "vec4<f32>" if VECTOR == 4 else "f32" }};

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> decays: array<u32>;
@group(0) @binding(3) var<storage, read> grad: array<Floats>;
@group(0) @binding(4) var<storage, read_write> weight: array<Floats>;
@group(0) @binding(5) var<storage, read_write> velocity: array<Floats>;

override WORKGROUP: u32;
override NESTEROV: bool;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.vectors {
        return;
    }
    let rate = bitcast<f32>(step[3]);
    var decay = bitcast<f32>(decays[1]);
    for (var run = 1u; run < params.runs; run++) {
        if index * {{ VECTOR }}u >= decays[2u * run] {
            decay = bitcast<f32>(decays[2u * run + 1u]);
        }
    }
    let old = weight[index];
    let d = grad[index] + decay * old;
    let v = params.momentum * velocity[index] + d;
    velocity[index] = v;
    weight[index] = old - rate * select(v, d + params.momentum * v, NESTEROV);
}
