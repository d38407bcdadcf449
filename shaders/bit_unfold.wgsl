//#import dispatch
//#import bits
//#import unfold
//#import window
// unfolded[p, out pixel, (ky, kx, ci)] = planes[p, input pixel under tap (ky, kx), ci], BORDER where the tap is
// padding.
// planes: BITS x in_pixels x words_for(channels); unfolded: BITS x out_pixels x words_for(taps * channels),
// rows dense.
{% if LINES == 0 -%}
// One invocation gathers a run of words of one row in all planes, as many bits of one source word at a time as follow
// each other.
{%- else -%}
// One invocation gathers LINES lines of taps of one row in all planes. Where every bit goes is known from the sizes, so
// that the text holds a load for every vector of a tap and a shift for every word, and no loop over them.
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
    channels: u32,
    // Words that one invocation gathers.
    run: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> planes: array<Source>;
@group(0) @binding(2) var<storage, read_write> unfolded: array<Target>;

override WORKGROUP: u32;
override BITS: u32;
override BORDER: u32;

{% if LINES == 0 -%}
const MAX_BITS = 8;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let k = params.kernel_h * params.kernel_w * params.channels;
    let words = words_for(k);
    let chunks = (words + params.run - 1u) / params.run;
    let rows = params.samples * params.out_height * params.out_width;
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= rows * chunks {
        return;
    }
    let row = index / chunks;
    let at = window_position(row, params.out_height, params.out_width);
    let first_word = (index - row * chunks) * params.run;
    let tap = first_word * 32u / params.channels;
    var channel = first_word * 32u - tap * params.channels;
    var ky = tap / params.kernel_w;
    var kx = tap - ky * params.kernel_w;
    let source_words = words_for(params.channels);
    let source_plane = params.samples * params.height * params.width * source_words;
    for (var word = first_word; word < min(first_word + params.run, words); word++) {
        var gathered: array<u32, MAX_BITS>;
        let count = elements_of_word(word * 32u, k);
        var done = 0u;
        while done < count {
            let shift = channel % 32u;
            let bits = min(min(32u - shift, params.channels - channel), count - done);
            let pixel = window_input_at(at, ky, kx);
            let ones = 0xffffffffu >> (32u - bits);
            if pixel == OUTSIDE {
                for (var plane = 0u; plane < BITS; plane++) {
                    gathered[plane] |= (BORDER * ones) << done;
                }
            } else {
                let source = pixel * source_words + channel / 32u;
                for (var plane = 0u; plane < BITS; plane++) {
                    gathered[plane] |= ((planes[plane * source_plane + source] >> shift) & ones) << done;
                }
            }
            done += bits;
            channel += bits;
            if channel == params.channels {
                channel = 0u;
                kx += 1u;
            }
            if kx == params.kernel_w {
                kx = 0u;
                ky += 1u;
            }
        }
        for (var plane = 0u; plane < BITS; plane++) {
            unfolded[(plane * rows + row) * words + word] = gathered[plane];
        }
    }
}
{%- else -%}
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let rows = params.samples * params.out_height * params.out_width;
    let index = linear_group(group, groups) * WORKGROUP + local;
    let row = index / RUNS;
    let run = index - row * RUNS;
    if row >= rows {
        return;
    }
    let at = window_position(row, params.out_height, params.out_width);
{%- for t in range(TAPS) %}
    let pixel{{ t }} = window_input_at(at, run + {{ t // KERNEL_W }}u, {{ t % KERNEL_W }}u);
    let source{{ t }} = select(pixel{{ t }}, 0u, pixel{{ t }} == OUTSIDE) * SOURCE_VECTORS;
{%- endfor %}
    let source_plane = params.samples * params.height * params.width * SOURCE_VECTORS;
    for (var plane = 0u; plane < BITS; plane++) {
        let start = plane * source_plane;
{%- for t in range(TAPS) %}{% for v in range((TAP_WORDS + SOURCE_VECTOR - 1) // SOURCE_VECTOR) %}
        let tap{{ t }}_{{ v }} = select(planes[start + source{{ t }} + {{ v }}u], {{ border_vector(v) }} * BORDER, pixel{{ t }} == OUTSIDE);
{%- endfor %}{% endfor %}
        {{- write_run("plane", plane_word) }}
    }
}
{%- endif %}
