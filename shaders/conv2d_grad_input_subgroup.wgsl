//#import dispatch
// grad_input[n, iy, ix, ci] = sum over (ky, kx, co) of grad_output[n, oy, ox, co] * weight[co, ky, kx, ci],
// where oy = (iy + pad_top - ky) / stride and likewise ox, over the taps where both divide and lie inside the
// output.
// grad_output: samples x out_height x out_width x out_channels floats, or vectors where OUT_FOURS; weight:
// out_channels x taps x in_channels and grad_input: samples x height x width x in_channels, vectors where IN_FOURS.
// A workgroup is one subgroup and computes ROWS * LANES pixels of COLUMNS channels. Its pixels have the same
// remainder by the stride in both directions, so that they use the same taps. Lane l holds the pixels l,
// LANES + l, and so on; four channels of the weights of one output channel are loaded by one lane and shuffled to
// all. Each sum is in the order of k.
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
    in_channels: u32,
    out_channels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad_output: array<{{ "vec4<f32>" if OUT_FOURS else "f32" }}>;
@group(0) @binding(2) var<storage, read> weight: array<{{ "vec4<f32>" if IN_FOURS else "f32" }}>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<{{ "vec4<f32>" if IN_FOURS else "f32" }}>;

@compute @workgroup_size({{ LANES }})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let index = linear_group(group, groups);
    let stride = params.stride;
    // Lines and columns of one remainder, at most.
    let lines = (params.height + stride - 1u) / stride;
    let columns = (params.width + stride - 1u) / stride;
    let pixels = params.samples * lines * columns;
    let pixel_tiles = (pixels + {{ ROWS * LANES - 1 }}u) / {{ ROWS * LANES }}u;
    let channel_tiles = (params.in_channels + {{ COLUMNS - 1 }}u) / {{ COLUMNS }}u;
    let first = index % channel_tiles * {{ COLUMNS }}u;
    let tile = index / channel_tiles;
    let remainder = tile / pixel_tiles;
    if remainder >= stride * stride {
        return;
    }
    let down = remainder / stride;
    let right = remainder % stride;
    // The first tap of each direction, and the number of those that follow a stride apart.
    let top = (down + params.pad_top) % stride;
    let left = (right + params.pad_left) % stride;
    let taps_y = (max(params.kernel_h, top) - top + stride - 1u) / stride;
    let taps_x = (max(params.kernel_w, left) - left + stride - 1u) / stride;
    let depth = (params.out_channels + 3u) / 4u;
    let pixel = tile % pixel_tiles * {{ ROWS * LANES }}u + lane;
{%- for i in range(ROWS) %}
    let m{{ i }} = min(pixel + {{ i * LANES }}u, pixels - 1u);
    let n{{ i }} = m{{ i }} / columns / lines;
    let iy{{ i }} = m{{ i }} / columns % lines * stride + down;
    let ix{{ i }} = m{{ i }} % columns * stride + right;
    // The output pixel under the first tap.
    let y{{ i }} = (iy{{ i }} + params.pad_top) / stride;
    let x{{ i }} = (ix{{ i }} + params.pad_left) / stride;
    let p{{ i }} = (n{{ i }} * params.out_height + y{{ i }}) * params.out_width + x{{ i }};
{%- endfor %}
    let row = params.kernel_h * params.kernel_w * params.in_channels;
{%- for h in range(LOADS) %}
    let k{{ h }} = (lane + {{ h * LANES }}u) % 4u;
    let w{{ h }} = first + (lane + {{ h * LANES }}u) / 4u * 4u;
{%- endfor %}
{%- for i in range(ROWS) %}
{%- for j in range(COLUMNS) %}
    var a{{ i }}_{{ j }} = 0.0;
{%- endfor %}
{%- endfor %}
    var ty = 0u;
    var tx = 0u;
    var c = 0u;
    let steps = taps_y * taps_x * depth;
    for (var step = 0u; step < steps; step++) {
        let tap = ((top + ty * stride) * params.kernel_w + left + tx * stride) * params.in_channels;
        let back = ty * params.out_width + tx;
{%- for h in range(LOADS) %}
        let w{{ h }}_ = weights(min(4u * c + k{{ h }}, params.out_channels - 1u) * row + tap, w{{ h }});
{%- endfor %}
{%- for i in range(ROWS) %}
        let i{{ i }} = y{{ i }} - ty < params.out_height && x{{ i }} - tx < params.out_width;
        let v{{ i }} = select(vec4(0.0), gradients(select(0u, p{{ i }} - back, i{{ i }}), c), i{{ i }});
{%- endfor %}
{%- for q in range(COLUMNS // 4) %}
{%- for k in range(4) %}
        let b{{ q }}_{{ k }} = subgroupShuffle(w{{ (4 * q + k) // LANES }}_, {{ (4 * q + k) % LANES }}u);
{%- endfor %}
{%- for e in range(4) %}
{%- for k in range(4) %}
{%- for i in range(ROWS) %}
        a{{ i }}_{{ 4 * q + e }} += v{{ i }}.{{ "xyzw"[k] }} * b{{ q }}_{{ k }}.{{ "xyzw"[e] }};
{%- endfor %}
{%- endfor %}
{%- endfor %}
{%- endfor %}
        c += 1u;
        let next = c == depth;
        c = select(c, 0u, next);
        tx += select(0u, 1u, next);
        let below = tx == taps_x;
        tx = select(tx, 0u, below);
        ty += select(0u, 1u, below);
    }
{%- for i in range(ROWS) %}
    if pixel + {{ i * LANES }}u < pixels && iy{{ i }} < params.height && ix{{ i }} < params.width {
        let to = (n{{ i }} * params.height + iy{{ i }}) * params.width + ix{{ i }};
{%- for q in range(COLUMNS // 4) %}
        store(to, first + {{ 4 * q }}u, vec4(a{{ i }}_{{ 4 * q }}, a{{ i }}_{{ 4 * q + 1 }}, a{{ i }}_{{ 4 * q + 2 }}, a{{ i }}_{{ 4 * q + 3 }}));
{%- endfor %}
    }
{%- endfor %}
}

// The gradients of the four output channels from 4 c on of an output pixel; zero from out_channels on.
fn gradients(pixel: u32, c: u32) -> vec4<f32> {
{%- if OUT_FOURS %}
    return grad_output[pixel * (params.out_channels / 4u) + c];
{%- else %}
    let channels = 4u * c + vec4(0u, 1u, 2u, 3u);
    let at = pixel * params.out_channels + min(channels, vec4(params.out_channels - 1u));
    let read = vec4(grad_output[at.x], grad_output[at.y], grad_output[at.z], grad_output[at.w]);
    return select(vec4(0.0), read, channels < vec4(params.out_channels));
{%- endif %}
}

// The weights of four input channels; past the last one, any.
fn weights(start: u32, channel: u32) -> vec4<f32> {
{%- if IN_FOURS %}
    return weight[(start + min(channel, params.in_channels - 4u)) / 4u];
{%- else %}
    let at = start + min(channel + vec4(0u, 1u, 2u, 3u), vec4(params.in_channels - 1u));
    return vec4(weight[at.x], weight[at.y], weight[at.z], weight[at.w]);
{%- endif %}
}

fn store(pixel: u32, channel: u32, sums: vec4<f32>) {
{%- if IN_FOURS %}
    if channel < params.in_channels {
        grad_input[(pixel * params.in_channels + channel) / 4u] = sums;
    }
{%- else %}
{%- for e in range(4) %}
    if channel + {{ e }}u < params.in_channels {
        grad_input[pixel * params.in_channels + channel + {{ e }}u] = sums.{{ "xyzw"[e] }};
    }
{%- endfor %}
{%- endif %}
}
