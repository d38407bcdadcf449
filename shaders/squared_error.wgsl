//#import dispatch
// Of each sample's part of PART elements: partial[s, part] = sum (a - b)^2, grad[s, i] = factor * (a[s, i] - b[s, i]).
// a, b, grad: samples x len floats; partial: samples x ceil(len / PART) floats.
// One invocation computes one part of one sample, in order.
struct Params {
    samples: u32,
    len: u32,
    parts: u32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad: array<f32>;

override WORKGROUP: u32;
override PART: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let sample = index / params.parts;
    if sample >= params.samples {
        return;
    }
    let start = index % params.parts * PART;
    let end = min(start + PART, params.len);
    var sum = 0.0;
    for (var i = start; i < end; i++) {
        let at = sample * params.len + i;
        let apart = a[at] - b[at];
        sum += apart * apart;
        grad[at] = params.factor * apart;
    }
    partial[index] = sum;
}
