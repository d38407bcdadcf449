//#import dispatch
// grad_input[i, c] = sum of grad[o, c] over the output pixels o whose first maximum is input pixel i.
// grad, argmax: output pixels x channels, argmax the tap of the maximum; grad_input: input pixels x channels.
// One invocation gathers the gradients of four channels of one pixel in tap order, so overlapping windows need
// no atomics.
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
    let tiles = (params.channels + 3u) / 4u;
    let in_pixel = index / tiles;
    if in_pixel >= params.samples * params.height * params.width {
        return;
    }
    let channel = (index - in_pixel * tiles) * 4u;
    let channels = min(channel + vec4(0u, 1u, 2u, 3u), vec4(params.channels - 1u));
    let line = in_pixel / params.width;
    let sample = line / params.height;
    let y = line - sample * params.height + params.pad_top;
    let x = in_pixel - line * params.width + params.pad_left;
    let last_oy = y / params.stride;
    let last_ox = x / params.stride;
    // Of the taps of one axis, every stride-th reaches the pixel, each from the window before the last one's;
    // windows left of or above the first one wrap to huge positions.
    var sum = vec4(0.0);
    var oy = last_oy;
    for (var ky = y - last_oy * params.stride; ky < params.kernel_h; ky += params.stride) {
        var ox = last_ox;
        for (var kx = x - last_ox * params.stride; kx < params.kernel_w; kx += params.stride) {
            if oy < params.out_height && ox < params.out_width {
                let pixel = (sample * params.out_height + oy) * params.out_width + ox;
                sum += gradients(pixel * params.channels + channels, ky * params.kernel_w + kx);
            }
            ox -= 1u;
        }
        oy -= 1u;
    }
    let at = in_pixel * params.channels + channel;
    let count = params.channels - channel;
    grad_input[at] = sum.x;
    if count > 1u {
        grad_input[at + 1u] = sum.y;
    }
    if count > 2u {
        grad_input[at + 2u] = sum.z;
    }
    if count > 3u {
        grad_input[at + 3u] = sum.w;
    }
}

fn gradients(at: vec4<u32>, tap: u32) -> vec4<f32> {
    let first = vec4(argmax[at.x], argmax[at.y], argmax[at.z], argmax[at.w]);
    let values = vec4(grad[at.x], grad[at.y], grad[at.z], grad[at.w]);
    return select(vec4(0.0), values, first == vec4(tap));
}
