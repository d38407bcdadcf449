//#import dispatch
// partials[s, co, ky, kx, ci] = sum over (n, oy, ox) of grad_output[n, oy, ox, co] * input[n, iy, ix, ci],
// where iy = oy * stride + ky - pad_top and likewise ix, over the samples_per_partial samples of part s and ci below
// kept_channels; outside the image input is 0. With ACCUMULATE a sum begins with what partials holds.
// grad_output: samples x out_height x out_width x out_channels floats, or vectors where OUT_FOURS; input: samples x
// height x width x in_channels / 4 vectors; partials: ceil(samples / samples_per_partial) x out_channels x taps x
// kept_channels floats, or vectors where KEPT_FOURS.
// A workgroup is one subgroup and computes ROWS * LANES vectors of consecutive (ky, kx, ci) of COLUMNS output
// channels of one part. Lane l holds the vectors l, LANES + l, and so on; four channels of the gradient of one
// position are loaded by one lane and shuffled to all. An iteration takes STEPS positions; each sum is in the order
// of positions.
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
    samples_per_partial: u32,
    kept_channels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad_output: array<{{ "vec4<f32>" if OUT_FOURS else "f32" }}>;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> partials: array<{{ "vec4<f32>" if KEPT_FOURS else "f32" }}>;

@compute @workgroup_size({{ LANES }})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let index = linear_group(group, groups);
    let depth = params.in_channels / 4u;
    let row = params.kernel_h * params.kernel_w * depth;
    let row_tiles = (row + {{ ROWS * LANES - 1 }}u) / {{ ROWS * LANES }}u;
    let channel_tiles = (params.out_channels + {{ COLUMNS - 1 }}u) / {{ COLUMNS }}u;
    let quad = index % row_tiles * {{ ROWS * LANES }}u + lane;
    let first = index / row_tiles % channel_tiles * {{ COLUMNS }}u;
    let part = index / row_tiles / channel_tiles;
    let sample = part * params.samples_per_partial;
    if sample >= params.samples {
        return;
    }
{%- for i in range(ROWS) %}
    let q{{ i }} = min(quad + {{ i * LANES }}u, row - 1u);
    let tap{{ i }} = q{{ i }} / depth;
    // What stays of an input index when the position moves; coordinates in the padding wrap to huge ones.
    let dy{{ i }} = tap{{ i }} / params.kernel_w - params.pad_top;
    let dx{{ i }} = tap{{ i }} % params.kernel_w - params.pad_left;
    let offset{{ i }} = (dy{{ i }} * params.width + dx{{ i }}) * depth + q{{ i }} % depth;
{%- endfor %}
    let samples = min(params.samples_per_partial, params.samples - sample);
    let positions = samples * params.out_height * params.out_width;
    let start = sample * params.out_height * params.out_width;
{%- for h in range(LOADS) %}
    let g{{ h }} = first + (lane + {{ h * LANES }}u) % {{ COLUMNS // 4 }}u * 4u;
    let u{{ h }} = (lane + {{ h * LANES }}u) / {{ COLUMNS // 4 }}u;
{%- endfor %}
{%- for i in range(ROWS) %}
{%- for j in range(COLUMNS) %}
    var a{{ i }}_{{ j }} = {{ "begin(part, first + " ~ j ~ "u, q" ~ i ~ ")" if ACCUMULATE else "vec4(0.0)" }};
{%- endfor %}
{%- endfor %}
    var at = Position(sample * params.height, 0u, 0u);
    for (var p = 0u; p < positions; p += {{ STEPS }}u) {
{%- for h in range(LOADS) %}
        let g{{ h }}_ = gradients(start + min(p + u{{ h }}, positions - 1u), g{{ h }});
{%- endfor %}
{%- for u in range(STEPS) %}
{%- if u > 0 %}
        let at{{ u }} = next_position(at{{ u - 1 }});
{%- else %}
        let at0 = at;
{%- endif %}
        let base{{ u }} = ((at{{ u }}.line + at{{ u }}.y) * params.width + at{{ u }}.x) * depth;
        // No line of the image past the last position.
        let height{{ u }} = select(0u, params.height, p + {{ u }}u < positions);
{%- for i in range(ROWS) %}
        let i{{ i }}_{{ u }} = at{{ u }}.y + dy{{ i }} < height{{ u }} && at{{ u }}.x + dx{{ i }} < params.width;
        let v{{ i }}_{{ u }} = select(vec4(0.0), input[select(0u, base{{ u }} + offset{{ i }}, i{{ i }}_{{ u }})], i{{ i }}_{{ u }});
{%- endfor %}
{%- endfor %}
        at = next_position(at{{ STEPS - 1 }});
{%- for j in range(COLUMNS // 4) %}
{%- for u in range(STEPS) %}
        let b{{ j }}_{{ u }} = subgroupShuffle(g{{ (u * (COLUMNS // 4) + j) // LANES }}_, {{ (u * (COLUMNS // 4) + j) % LANES }}u);
{%- endfor %}
{%- for e in range(4) %}
{%- for u in range(STEPS) %}
{%- for i in range(ROWS) %}
        a{{ i }}_{{ 4 * j + e }} += b{{ j }}_{{ u }}.{{ "xyzw"[e] }} * v{{ i }}_{{ u }};
{%- endfor %}
{%- endfor %}
{%- endfor %}
{%- endfor %}
    }
{%- for i in range(ROWS) %}
    if quad + {{ i * LANES }}u < row {
{%- for j in range(COLUMNS) %}
        store(part, first + {{ j }}u, q{{ i }}, a{{ i }}_{{ j }});
{%- endfor %}
    }
{%- endfor %}
}

// The top left input pixel of an output position; `line` is the first line of its sample.
struct Position {
    line: u32,
    y: u32,
    x: u32,
}

fn next_position(at: Position) -> Position {
    let x = at.x + params.stride;
    let right = x == params.out_width * params.stride;
    let y = at.y + select(0u, params.stride, right);
    let below = y == params.out_height * params.stride;
    return Position(at.line + select(0u, params.height, below), select(y, 0u, below), select(x, 0u, right));
}

// The gradients of four output channels of an output pixel; past the last one, any.
fn gradients(pixel: u32, channel: u32) -> vec4<f32> {
{%- if OUT_FOURS %}
    return grad_output[(pixel * params.out_channels + min(channel, params.out_channels - 4u)) / 4u];
{%- else %}
    let at = pixel * params.out_channels + min(channel + vec4(0u, 1u, 2u, 3u), vec4(params.out_channels - 1u));
    return vec4(grad_output[at.x], grad_output[at.y], grad_output[at.z], grad_output[at.w]);
{%- endif %}
}

{% if ACCUMULATE -%}
// What the sums of a vector begin with; past the last channel, any.
fn begin(part: u32, channel: u32, quad: u32) -> vec4<f32> {
    let row = part * params.out_channels + min(channel, params.out_channels - 1u);
    let depth = params.in_channels / 4u;
{%- if KEPT_FOURS %}
    return partials[row * params.kernel_h * params.kernel_w * depth + quad];
{%- else %}
    let at = (row * params.kernel_h * params.kernel_w + quad / depth) * params.kept_channels;
    let ci = min(quad % depth * 4u + vec4(0u, 1u, 2u, 3u), vec4(params.kept_channels - 1u));
    return vec4(partials[at + ci.x], partials[at + ci.y], partials[at + ci.z], partials[at + ci.w]);
{%- endif %}
}

{% endif -%}
fn store(part: u32, channel: u32, quad: u32, sums: vec4<f32>) {
    if channel < params.out_channels {
{%- if KEPT_FOURS %}
        let row = params.kernel_h * params.kernel_w * (params.in_channels / 4u);
        partials[(part * params.out_channels + channel) * row + quad] = sums;
{%- else %}
        let taps = params.kernel_h * params.kernel_w;
        let tap = quad / (params.in_channels / 4u);
        let ci = quad % (params.in_channels / 4u) * 4u;
        let at = ((part * params.out_channels + channel) * taps + tap) * params.kept_channels + ci;
{%- for e in range(4) %}
        if ci + {{ e }}u < params.kept_channels {
            partials[at + {{ e }}u] = sums.{{ "xyzw"[e] }};
        }
{%- endfor %}
{%- endif %}
    }
}
