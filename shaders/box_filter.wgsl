//#import dispatch
//#import window
// y[n, oy, ox] = sum of x over the taps of the window / all its taps; what lies outside the image counts 0.
// x: in_pixels floats; y: out_pixels.
// One invocation sums one window, tap after tap.
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
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.samples * params.out_height * params.out_width {
        return;
    }
    let at = window_position(index, params.out_height, params.out_width);
    var sum = 0.0;
    for (var ky = 0u; ky < params.kernel_h; ky++) {
        for (var kx = 0u; kx < params.kernel_w; kx++) {
            let pixel = window_input_at(at, ky, kx);
            if pixel != OUTSIDE {
                sum += x[pixel];
            }
        }
    }
    y[index] = params.factor * sum;
}
