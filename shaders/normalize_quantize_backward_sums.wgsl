//#import dispatch
//#import bits
//#import field
//#import quads
// partials[g, c] = sum over the output pixels o of group g of dy, and partials[g, channels + c] = sum of dy * xhat,
// where dy = grad[o, c] where route[0, o] passes it, else 0, and xhat = (x - mean) * scale at the tap that route[1..]
// names.
// x: in pixels x channels; grad: out pixels x channels; route: (1 + TAP_BITS) x out pixels x words_for(channels);
// coefficients: 4 x channels (mean, scale, not read, not read); partials: ceil(out pixels / group) x 2 channels.
// One invocation sums four channels of one group in pixel order.
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
    group: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
{% if VEC4 %}
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> route: array<u32>;
@group(0) @binding(4) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> partials: array<vec4<f32>>;
{% else %}
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read> route: array<u32>;
@group(0) @binding(4) var<storage, read> coefficients: array<f32>;
@group(0) @binding(5) var<storage, read_write> partials: array<f32>;
{% endif %}

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let quads = quads_of_row();
    let pixels = params.samples * params.out_height * params.out_width;
    let part = index / quads;
    let quad = index - part * quads;
    let first = part * params.group;
    if first >= pixels {
        return;
    }
    let end = min(first + params.group, pixels);
    let words = words_for(params.channels);
    let plane_words = pixels * words;
    let word = quad / 8u;
    let shift = (quad & 7u) * 4u;
    let mean = coefficient(0u, quad);
    let scale = coefficient(1u, quad);
    var beta_sum = vec4(0.0);
    var gamma_sum = vec4(0.0);
{% if KERNEL > 1 %}
    var field = field_of(first);
{% endif %}
    for (var pixel = first; pixel < end; pixel++) {
        let at = pixel * words + word;
        let passes = four_bits(route[at], shift) != vec4(0u);
        let dy = select(vec4(0.0), gradients(pixel, quad), passes);
{% if KERNEL == 1 %}
        let value = values(pixel, quad);
{% else %}
        var tap = vec4(0u);
{% for bit in range(TAP_BITS) %}
        tap |= four_bits(route[{{ bit + 1 }}u * plane_words + at], shift) << vec4({{ bit }}u);
{% endfor %}
        var value = vec4(0.0);
{% for tap in range(KERNEL * KERNEL) %}
        value = select(value, tap_values(field, {{ tap // KERNEL }}u, {{ tap % KERNEL }}u, quad), tap == vec4({{ tap }}u));
{% endfor %}
        field = next_field(field);
{% endif %}
        beta_sum += dy;
        gamma_sum += dy * ((value - mean) * scale);
    }
    store(part, quad, beta_sum, gamma_sum);
}

{% if KERNEL > 1 %}
// The values under a tap; a tap outside the image, which is never a maximum, reads some other pixel.
fn tap_values(field: Field, ky: u32, kx: u32, quad: u32) -> vec4<f32> {
    let y = field.y + ky;
    let x = field.x + kx;
    let inside = y < params.height && x < params.width;
    return values(select(0u, (field.line + y) * params.width + x, inside), quad);
}
{% endif %}

{% if VEC4 %}
fn values(pixel: u32, quad: u32) -> vec4<f32> {
    return x[pixel * quads_of_row() + quad];
}

fn gradients(pixel: u32, quad: u32) -> vec4<f32> {
    return grad[pixel * quads_of_row() + quad];
}

fn coefficient(row: u32, quad: u32) -> vec4<f32> {
    return coefficients[row * quads_of_row() + quad];
}

fn store(part: u32, quad: u32, beta_sum: vec4<f32>, gamma_sum: vec4<f32>) {
    let at = part * 2u * quads_of_row() + quad;
    partials[at] = beta_sum;
    partials[at + quads_of_row()] = gamma_sum;
}
{% else %}
fn values(pixel: u32, quad: u32) -> vec4<f32> {
    let at = quad_elements(pixel, quad);
    return vec4(x[at.x], x[at.y], x[at.z], x[at.w]);
}

fn gradients(pixel: u32, quad: u32) -> vec4<f32> {
    let at = quad_elements(pixel, quad);
    return vec4(grad[at.x], grad[at.y], grad[at.z], grad[at.w]);
}

fn coefficient(row: u32, quad: u32) -> vec4<f32> {
    let at = quad_elements(row, quad);
    return vec4(coefficients[at.x], coefficients[at.y], coefficients[at.z], coefficients[at.w]);
}

fn store(part: u32, quad: u32, beta_sum: vec4<f32>, gamma_sum: vec4<f32>) {
    for (var lane = 0u; lane < min(4u, params.channels - quad * 4u); lane++) {
        let at = part * 2u * params.channels + quad * 4u + lane;
        partials[at] = beta_sum[lane];
        partials[at + params.channels] = gamma_sum[lane];
    }
}
{% endif %}
