//#import dispatch
//#import bits
//#import field
//#import quads
// Batch norm, maximum pool, clip and quantization in one pass. For channel c = 32 w + b of output pixel o, z is the
// maximum over the window's taps inside the image of slope (x - mean) + beta, or of x unless NORMALIZE.
// planes[p, o, w] bit b = bit p of round(n clip(z, 0, 1)), n = FACTOR = 2^BITS - 1; with ROUNDING 1
// floor(n clip(z, 0, 1) + 1/2), with 2 min(floor(FACTOR clip(z, 0, 1)), n), FACTOR = 2^BITS; with a SHIFT bit p + SHIFT of
// the rounded code of BITS + SHIFT bits;
// route[0, o, w] bit b = 1 where 0 <= z <= 1,
// and route[1 + t, o, w] bit b = bit t of the first tap ky * KERNEL + kx that reaches z.
// x: in pixels x channels; coefficients: 4 x channels (mean, not read, slope, beta), not read unless NORMALIZE; planes:
// BITS x out pixels x words_for(channels); route: (1 + TAP_BITS) x out pixels x words_for(channels).
// One invocation packs one word position of PIXELS consecutive output pixels, so that coefficients are loaded once for
// these.
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
{% if VEC4 %}
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> coefficients: array<vec4<f32>>;
{% else %}
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> coefficients: array<f32>;
{% endif %}
@group(0) @binding(3) var<storage, read_write> planes: array<u32>;
@group(0) @binding(4) var<storage, read_write> route: array<u32>;

override WORKGROUP: u32;

const LEVELS = f32({{ FACTOR }}u);
const NONE = vec4(0xffffffffu);

struct Normalization {
    mean: vec4<f32>,
    slope: vec4<f32>,
    beta: vec4<f32>,
}

struct Maximum {
    value: vec4<f32>,
    tap: vec4<u32>,
}

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
{% for i in range(PIXELS) %}
{% if i > 0 %}
    let pixel{{ i }} = pixel0 + {{ i }}u;
{% endif %}
{% if KERNEL == 1 %}
    let source{{ i }} = min(pixel{{ i }}, pixels - 1u);
{% else %}
    let field{{ i }} = {% if i == 0 %}field_of(pixel0){% else %}next_field(field{{ i - 1 }}){% endif %};
{% for tap in range(KERNEL * KERNEL) %}
    let source{{ i }}_{{ tap }} = tap_pixel(field{{ i }}, {{ tap // KERNEL }}u, {{ tap % KERNEL }}u);
{% endfor %}
{% endif %}
    var pass{{ i }} = 0u;
{% for plane in range(BITS) %}
    var plane{{ i }}_{{ plane }} = 0u;
{% endfor %}
{% for bit in range(TAP_BITS) %}
    var tap{{ i }}_{{ bit }} = 0u;
{% endfor %}
{% endfor %}
    let quads = (elements_of_word(word * 32u, params.channels) + 3u) / 4u;
    for (var v = 0u; v < quads; v++) {
        let quad = word * 8u + v;
        let shift = v * 4u;
        let normalization = load_normalization(quad);
        let exists = quad_channels(quad) < vec4(params.channels);
{% for i in range(PIXELS) %}
        {
{% if KERNEL == 1 %}
            let z = value(source{{ i }}, quad, normalization);
{% else %}
            var best = Maximum(vec4(0.0), NONE);
{% for tap in range(KERNEL * KERNEL) %}
            best = larger(best, source{{ i }}_{{ tap }}, {{ tap }}u, quad, normalization);
{% endfor %}
            let z = best.value;
            let tap = select(vec4(0u), best.tap, exists);
{% for bit in range(TAP_BITS) %}
            tap{{ i }}_{{ bit }} |= pack_bits((tap >> vec4({{ bit }}u)) & vec4(1u)) << shift;
{% endfor %}
{% endif %}
            let inside = (z >= vec4(0.0)) & (z <= vec4(1.0)) & exists;
            pass{{ i }} |= pack_bits(select(vec4(0u), vec4(1u), inside)) << shift;
            let scaled = LEVELS * clamp(z, vec4(0.0), vec4(1.0));
{% if ROUNDING == 2 %}
            let rounded = min(vec4<u32>(scaled), vec4((1u << {{ BITS }}u) - 1u));
{% else %}
            let rounded = vec4<u32>({{ "floor(0.5 + " if ROUNDING == 1 else "round(" }}scaled)) >> vec4({{ SHIFT }}u);
{% endif %}
            let code = select(vec4(0u), rounded, exists);
{% for plane in range(BITS) %}
            plane{{ i }}_{{ plane }} |= pack_bits((code >> vec4({{ plane }}u)) & vec4(1u)) << shift;
{% endfor %}
        }
{% endfor %}
    }
    let plane_words = pixels * words;
{% for i in range(PIXELS) %}
    if pixel{{ i }} < pixels {
        let at = pixel{{ i }} * words + word;
        route[at] = pass{{ i }};
{% for bit in range(TAP_BITS) %}
        route[{{ bit + 1 }}u * plane_words + at] = tap{{ i }}_{{ bit }};
{% endfor %}
{% for plane in range(BITS) %}
        planes[{{ plane }}u * plane_words + at] = plane{{ i }}_{{ plane }};
{% endfor %}
    }
{% endfor %}
}

fn load_normalization(quad: u32) -> Normalization {
{% if NORMALIZE %}
    return Normalization(coefficient(0u, quad), coefficient(2u, quad), coefficient(3u, quad));
{% else %}
    return Normalization();
{% endif %}
}

fn value(pixel: u32, quad: u32, n: Normalization) -> vec4<f32> {
{% if NORMALIZE %}
    return (values(pixel, quad) - n.mean) * n.slope + n.beta;
{% else %}
    return values(pixel, quad);
{% endif %}
}

{% if VEC4 %}
fn values(pixel: u32, quad: u32) -> vec4<f32> {
    return x[pixel * quads_of_row() + quad];
}

fn coefficient(row: u32, quad: u32) -> vec4<f32> {
    return coefficients[row * quads_of_row() + quad];
}
{% else %}
fn values(pixel: u32, quad: u32) -> vec4<f32> {
    let at = quad_elements(pixel, quad);
    return vec4(x[at.x], x[at.y], x[at.z], x[at.w]);
}

fn coefficient(row: u32, quad: u32) -> vec4<f32> {
    let at = quad_elements(row, quad);
    return vec4(coefficients[at.x], coefficients[at.y], coefficients[at.z], coefficients[at.w]);
}
{% endif %}

{% if KERNEL > 1 %}
fn larger(best: Maximum, pixel: u32, tap: u32, quad: u32, n: Normalization) -> Maximum {
    let inside = pixel != OUTSIDE;
    let z = value(select(0u, pixel, inside), quad, n);
    let better = ((best.tap == NONE) | (z > best.value)) & vec4(inside);
    return Maximum(select(best.value, z, better), select(best.tap, vec4(tap), better));
}
{% endif %}
