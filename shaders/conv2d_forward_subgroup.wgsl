//#import dispatch
//#import field
// output[n, oy, ox, co] = bias[co] + sum over (ky, kx, ci) of input[n, iy, ix, ci] * weight[co, ky, kx, ci],
// where iy = oy * stride + ky - pad_top and likewise ix; outside the image input is 0, and bias is 0 unless BIAS.
// input: samples x height x width x in_channels / 4 vectors; weight: out_channels x taps x in_channels / 4; bias:
// out_channels floats; output: samples x out_height x out_width x out_channels floats, or vectors where FOURS.
// A workgroup is one subgroup and computes ROWS * LANES consecutive pixels of COLUMNS channels. Lane l holds the
// pixels l, LANES + l, and so on; the weights of one channel are loaded by one lane and shuffled to all. Each sum
// is in the order of k.
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
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<{{ "vec4<f32>" if FOURS else "f32" }}>;

override BIAS: bool;

@compute @workgroup_size({{ LANES }})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let index = linear_group(group, groups);
    let pixels = params.samples * params.out_height * params.out_width;
    let column_tiles = (params.out_channels + {{ COLUMNS - 1 }}u) / {{ COLUMNS }}u;
    let first = index % column_tiles * {{ COLUMNS }}u;
    let pixel = index / column_tiles * {{ ROWS * LANES }}u + lane;
    if index / column_tiles * {{ ROWS * LANES }}u >= pixels {
        return;
    }
    let depth = params.in_channels / 4u;
    // The taps of one line are a run of consecutive inputs, of which those inside the image's line count.
    let run = params.kernel_w * depth;
    let line = params.width * depth;
    let row = params.kernel_h * run;
{%- for i in range(ROWS) %}
    let f{{ i }} = field_of(min(pixel + {{ i * LANES }}u, pixels - 1u));
    let x{{ i }} = f{{ i }}.x * depth;
    let p{{ i }} = (f{{ i }}.line + f{{ i }}.y) * line + x{{ i }};
{%- endfor %}
{%- for h in range(LOADS) %}
    let k{{ h }} = min(first + {{ h * LANES }}u + lane, params.out_channels - 1u) * row;
{%- endfor %}
{%- for i in range(ROWS) %}
{%- for j in range(COLUMNS) %}
    var a{{ i }}_{{ j }} = 0.0;
{%- endfor %}
{%- endfor %}
    var ky = 0u;
    var c = 0u;
    var below = 0u;
    for (var k = 0u; k < row; k += 1u) {
{%- for h in range(LOADS) %}
        let w{{ h }}_ = weight[k{{ h }} + k];
{%- endfor %}
{%- for i in range(ROWS) %}
        let i{{ i }}_ = x{{ i }} + c < line && f{{ i }}.y + ky < params.height;
        let v{{ i }}_ = select(vec4(0.0), input[select(0u, p{{ i }} + below + c, i{{ i }}_)], i{{ i }}_);
{%- endfor %}
{%- for j in range(COLUMNS) %}
        let b{{ j }}_ = subgroupShuffle(w{{ j // LANES }}_, {{ j % LANES }}u);
{%- for e in ["x", "y", "z", "w"] %}
{%- for i in range(ROWS) %}
        a{{ i }}_{{ j }} += v{{ i }}_.{{ e }} * b{{ j }}_.{{ e }};
{%- endfor %}
{%- endfor %}
{%- endfor %}
        c += 1u;
        let next = c == run;
        c = select(c, 0u, next);
        ky += select(0u, 1u, next);
        below += select(0u, line, next);
    }
{%- for i in range(ROWS) %}
    if pixel + {{ i * LANES }}u < pixels {
{%- for q in range(COLUMNS // 4) %}
        store(pixel + {{ i * LANES }}u, first + {{ 4 * q }}u, vec4(a{{ i }}_{{ 4 * q }}, a{{ i }}_{{ 4 * q + 1 }}, a{{ i }}_{{ 4 * q + 2 }}, a{{ i }}_{{ 4 * q + 3 }}));
{%- endfor %}
    }
{%- endfor %}
}

fn store(pixel: u32, channel: u32, sums: vec4<f32>) {
{%- if FOURS %}
    if channel < params.out_channels {
        var result = sums;
        if BIAS {
            result += vec4(bias[channel], bias[channel + 1u], bias[channel + 2u], bias[channel + 3u]);
        }
        output[(pixel * params.out_channels + channel) / 4u] = result;
    }
{%- else %}
{%- for e in ["x", "y", "z", "w"] %}
    store_one(pixel, channel + {{ loop.index0 }}u, sums.{{ e }});
{%- endfor %}
}

fn store_one(pixel: u32, channel: u32, sum: f32) {
    if channel < params.out_channels {
        var result = sum;
        if BIAS {
            result += bias[channel];
        }
        output[pixel * params.out_channels + channel] = result;
    }
{%- endif %}
}
