//#import dispatch
//#import bits
//#import field
//#import quads
// planes[p, o, w] bit b = bit p of the code of channel c = 32 w + b at output pixel o: the maximum, over the taps
// of the window inside the image, of the number of thresholds that the accumulator v passes. A channel whose
// direction is 1 passes a threshold t where v >= t, one whose direction is 0 where v < t.
// accumulators: in pixels x channels; thresholds: (1 + n) x channels, row 0 the directions, row k what code k needs,
// n = 2^BITS - 1; planes: BITS x out pixels x words_for(channels). One invocation packs one word position of PIXELS
// consecutive output pixels, so that thresholds are loaded once for these.
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
@group(0) @binding(1) var<storage, read> accumulators: array<{{ "vec4<i32>" if VEC4 else "i32" }}>;
@group(0) @binding(2) var<storage, read> thresholds: array<{{ "vec4<i32>" if VEC4 and ALL_LOADED else "i32" }}>;
@group(0) @binding(3) var<storage, read_write> planes: array<u32>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let words = words_for(params.channels);
    let pixels = params.samples * params.out_height * params.out_width;
    let index = linear_group(group, groups) * WORKGROUP + local;
    let block = index / words;
    let word = index - block * words;
    let pixel0 = block * {{ PIXELS }}u;
    if pixel0 >= pixels {
        return;
    }
{%- for i in range(PIXELS) %}
{%- if i > 0 %}
    let pixel{{ i }} = pixel0 + {{ i }}u;
{%- endif %}
    let field{{ i }} = {% if i == 0 %}field_of(pixel0){% else %}next_field(field{{ i - 1 }}){% endif %};
    var found{{ i }} = false;
{%- for ky in range(KERNEL_H) %}
{%- for kx in range(KERNEL_W) %}
    let source{{ i }}_{{ ky }}_{{ kx }} = tap_pixel(field{{ i }}, {{ ky }}u, {{ kx }}u);
    found{{ i }} |= source{{ i }}_{{ ky }}_{{ kx }} != OUTSIDE;
{%- endfor %}
{%- endfor %}
{%- for plane in range(BITS) %}
    var plane{{ i }}_{{ plane }} = 0u;
{%- endfor %}
{%- endfor %}
    let quads = (elements_of_word(word * 32u, params.channels) + 3u) / 4u;
    for (var q = 0u; q < quads; q++) {
        let quad = word * 8u + q;
        let shift = q * 4u;
        let exists = quad_channels(quad) < vec4(params.channels);
        let ascending = threshold_row(0u, quad) != vec4(0);
        // The code falls with the accumulator of a descending channel and grows with its complement.
        let flip = select(vec4(-1), vec4(0), ascending);
{%- if ALL_LOADED %}
{%- for level in range(1, 2 ** BITS) %}
        let t{{ level }} = threshold_row({{ level }}u, quad);
{%- endfor %}
{%- endif %}
{%- for i in range(PIXELS) %}
        {
            var best = vec4<i32>(vec4(0x80000000u));
{%- for ky in range(KERNEL_H) %}
{%- for kx in range(KERNEL_W) %}
            best = larger(best, source{{ i }}_{{ ky }}_{{ kx }}, quad, flip);
{%- endfor %}
{%- endfor %}
            let v = best ^ flip;
            var code = vec4(0u);
{%- if ALL_LOADED %}
{%- for level in range(1, 2 ** BITS) %}
            code += select(vec4(0u), vec4(1u), (v >= t{{ level }}) == ascending);
{%- endfor %}
{%- else %}
            // A channel passes its thresholds in the order of their codes.
{%- for plane in range(BITS) | reverse %}
            let next{{ plane }} = code | vec4({{ 2 ** plane }}u);
            code = select(code, next{{ plane }}, (v >= threshold_of(next{{ plane }}, quad)) == ascending);
{%- endfor %}
{%- endif %}
            code = select(vec4(0u), code, exists & vec4(found{{ i }}));
{%- for plane in range(BITS) %}
            plane{{ i }}_{{ plane }} |= pack_bits((code >> vec4({{ plane }}u)) & vec4(1u)) << shift;
{%- endfor %}
        }
{%- endfor %}
    }
    let plane_words = pixels * words;
{%- for i in range(PIXELS) %}
    if pixel{{ i }} < pixels {
        let at = pixel{{ i }} * words + word;
{%- for plane in range(BITS) %}
        planes[{{ plane }}u * plane_words + at] = plane{{ i }}_{{ plane }};
{%- endfor %}
    }
{%- endfor %}
}

fn larger(best: vec4<i32>, pixel: u32, quad: u32, flip: vec4<i32>) -> vec4<i32> {
    let inside = pixel != OUTSIDE;
    let v = values(select(0u, pixel, inside), quad) ^ flip;
    return select(best, max(best, v), vec4(inside));
}
{% if VEC4 %}
fn values(pixel: u32, quad: u32) -> vec4<i32> {
    return accumulators[pixel * quads_of_row() + quad];
}
{% else %}
fn values(pixel: u32, quad: u32) -> vec4<i32> {
    let at = quad_elements(pixel, quad);
    return vec4(accumulators[at.x], accumulators[at.y], accumulators[at.z], accumulators[at.w]);
}
{% endif %}
{%- if VEC4 and ALL_LOADED %}
fn threshold_row(row: u32, quad: u32) -> vec4<i32> {
    return thresholds[row * quads_of_row() + quad];
}
{% else %}
fn threshold_row(row: u32, quad: u32) -> vec4<i32> {
    return threshold_of(vec4(row), quad);
}

fn threshold_of(row: vec4<u32>, quad: u32) -> vec4<i32> {
    let at = row * params.channels + min(quad_channels(quad), vec4(params.channels - 1u));
    return vec4(thresholds[at.x], thresholds[at.y], thresholds[at.z], thresholds[at.w]);
}
{% endif %}
