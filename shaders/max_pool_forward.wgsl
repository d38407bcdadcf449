//#import dispatch
// y[o, c] = maximum of x over the taps of output pixel o that lie inside the image, argmax[o, c] = the first
// such tap; without KEEP_TAPS argmax is not written.
// x: input pixels x channels floats; y, argmax: output pixels x channels.
// One invocation finds the maxima of VECTOR neighboring channels of one output pixel.
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
    // Vectors of a pixel's channels.
    vectors: u32,
}

alias Floats = {{ "vec4<f32>" if VECTOR == 4 else "f32" }};
alias Bools = {{ "vec4<bool>" if VECTOR == 4 else "bool" }};
alias Words = {{ "vec4<u32>" if VECTOR == 4 else "u32" }};

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Floats>;
@group(0) @binding(2) var<storage, read_write> y: array<Floats>;
@group(0) @binding(3) var<storage, read_write> argmax: array<Words>;

override WORKGROUP: u32;
// Rows and columns of the window, so that drivers unroll the loops.
override KERNEL: u32;

const NONE = Words(0xffffffffu);

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let out_pixel = index / params.vectors;
    if out_pixel >= params.samples * params.out_height * params.out_width {
        return;
    }
    let vector = index - out_pixel * params.vectors;
    let line = out_pixel / params.out_width;
    let sample = line / params.out_height;
    // A coordinate above or left of the image wraps to a huge one.
    let top = (line - sample * params.out_height) * params.stride - params.pad_top;
    let left = (out_pixel - line * params.out_width) * params.stride - params.pad_left;
    var best = Floats(0.0);
    var taps = NONE;
    for (var ky = 0u; ky < KERNEL; ky++) {
        let iy = top + ky;
        for (var kx = 0u; kx < KERNEL; kx++) {
            let ix = left + kx;
            let inside = iy < params.height && ix < params.width;
            let pixel = (sample * params.height + iy) * params.width + ix;
            let values = x[select(0u, pixel * params.vectors + vector, inside)];
            let better = ((taps == NONE) | (values > best)) & Bools(inside);
            best = select(best, values, better);
            taps = select(taps, Words(ky * KERNEL + kx), better);
        }
    }
    y[index] = best;
{%- if KEEP_TAPS %}
    argmax[index] = taps;
{%- endif %}
}
