//#import dispatch
// grad_input[i, c] = sum of grad[o, c] over the output pixels o whose first maximum is input pixel i.
// grad, argmax: output pixels x channels, argmax the tap of the maximum; grad_input: input pixels x channels.
{% if TILES == 1 -%}
// Windows without padding stand side by side: one invocation writes VECTOR neighboring channels of all pixels of
// a window, or zeros where the image goes on after the last window.
{%- else -%}
// One invocation gathers the gradients of VECTOR neighboring channels of one pixel in tap order, so overlapping
// windows need no atomics.
{%- endif %}
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
alias Words = {{ "vec4<u32>" if VECTOR == 4 else "u32" }};

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad: array<Floats>;
@group(0) @binding(2) var<storage, read> argmax: array<Words>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<Floats>;

override WORKGROUP: u32;
// Rows and columns of the window, so that drivers unroll the loops.
override KERNEL: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let place = index / params.vectors;
    let vector = index - place * params.vectors;
{%- if TILES == 1 %}
    let tiles_across = (params.width + KERNEL - 1u) / KERNEL;
    let tiles_down = (params.height + KERNEL - 1u) / KERNEL;
    if place >= params.samples * tiles_down * tiles_across {
        return;
    }
    let line = place / tiles_across;
    let sample = line / tiles_down;
    let oy = line - sample * tiles_down;
    let ox = place - line * tiles_across;
    let window = oy < params.out_height && ox < params.out_width;
    let at = ((sample * params.out_height + oy) * params.out_width + ox) * params.vectors + vector;
    let taps = select(Words(0xffffffffu), argmax[select(0u, at, window)], window);
    let value = grad[select(0u, at, window)];
    for (var ky = 0u; ky < KERNEL; ky++) {
        for (var kx = 0u; kx < KERNEL; kx++) {
            let y = oy * KERNEL + ky;
            let x = ox * KERNEL + kx;
            if y < params.height && x < params.width {
                let pixel = (sample * params.height + y) * params.width + x;
                let chosen = taps == Words(ky * KERNEL + kx);
                grad_input[pixel * params.vectors + vector] = select(Floats(0.0), value, chosen);
            }
        }
    }
{%- else %}
    if place >= params.samples * params.height * params.width {
        return;
    }
    let line = place / params.width;
    let sample = line / params.height;
    let y = line - sample * params.height + params.pad_top;
    let x = place - line * params.width + params.pad_left;
    let last_oy = y / params.stride;
    let last_ox = x / params.stride;
    // Of the taps of one axis, every stride-th reaches the pixel, each from the window before the last one's;
    // windows left of or above the first one wrap to huge positions.
    var sum = Floats(0.0);
    var oy = last_oy;
    for (var ky = y - last_oy * params.stride; ky < KERNEL; ky += params.stride) {
        var ox = last_ox;
        for (var kx = x - last_ox * params.stride; kx < KERNEL; kx += params.stride) {
            if oy < params.out_height && ox < params.out_width {
                let pixel = (sample * params.out_height + oy) * params.out_width + ox;
                let at = pixel * params.vectors + vector;
                sum += select(Floats(0.0), grad[at], argmax[at] == Words(ky * KERNEL + kx));
            }
            ox -= 1u;
        }
        oy -= 1u;
    }
    grad_input[index] = sum;
{%- endif %}
}
