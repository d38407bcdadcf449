//#import dispatch
// d = grad + decay * weight, m = beta1 * m + (1 - beta1) * d, v = beta2 * v + (1 - beta2) * d^2,
// weight -= step[4] * m / (sqrt(v) * correction + epsilon), where correction is step[5] if CORRECTED and 1
// otherwise.
// decays: per run of weights with equal decay the first of them and the decay as float bits, in order, the first run from 0.
// step: 8 words, [4] the bias-corrected learning rate and [5] 1 / sqrt(1 - beta2^t) as float bits; grad,
// weight, m, v: len floats.
// One invocation updates VECTOR neighboring weights.
struct Params {
    // Vectors of values.
    vectors: u32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    // Runs of equal weight decay.
    runs: u32,
}

alias Floats = {{ "vec4<f32>" if VECTOR == 4 else "f32" }};

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> decays: array<u32>;
@group(0) @binding(3) var<storage, read> grad: array<Floats>;
@group(0) @binding(4) var<storage, read_write> weight: array<Floats>;
@group(0) @binding(5) var<storage, read_write> m: array<Floats>;
@group(0) @binding(6) var<storage, read_write> v: array<Floats>;

override WORKGROUP: u32;
override CORRECTED: bool;

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
    let rate = bitcast<f32>(step[4]);
    let correction = select(1.0, bitcast<f32>(step[5]), CORRECTED);
    var decay = bitcast<f32>(decays[1]);
    for (var run = 1u; run < params.runs; run++) {
        if index * {{ VECTOR }}u >= decays[2u * run] {
            decay = bitcast<f32>(decays[2u * run + 1u]);
        }
    }
    let old = weight[index];
    let d = grad[index] + decay * old;
    let first = params.beta1 * m[index] + (1.0 - params.beta1) * d;
    let second = params.beta2 * v[index] + (1.0 - params.beta2) * (d * d);
    m[index] = first;
    v[index] = second;
    weight[index] = old - rate * first / (sqrt(second) * correction + params.epsilon);
}
