//#import dispatch
//#import window
// grad_input[i, c] = sum of grad[o, c] over the output pixels o whose first maximum is input pixel i.
// grad, argmax: output pixels x channels, argmax the tap of the maximum; grad_input: input pixels x channels.
// One invocation gathers one gradient in tap order, so overlapping windows need no atomics.
struct Params {
    samples: u32,
    height: u32,
    width: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride: u32,
    pad_top: u32,
    pad_left: u32,
    out_height: u32,
    out_width: u32,
    channels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad: array<f32>;
@group(0) @binding(2) var<storage, read> argmax: array<u32>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<f32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let in_pixel = index / params.channels;
    if in_pixel >= params.samples * params.height * params.width {
        return;
    }
    let channel = index % params.channels;
    var sum = 0.0;
    for (var tap = 0u; tap < params.kernel_h * params.kernel_w; tap++) {
        let pixel = window_output(in_pixel, tap);
        if pixel == OUTSIDE {
            continue;
        }
        let at = pixel * params.channels + channel;
        if argmax[at] == tap {
            sum += grad[at];
        }
    }
    grad_input[index] = sum;
}
