//#import dispatch
//#import bits
//#import quads
// The gradient of x through quantization, clip, maximum pool and batch norm in one pass, and its largest magnitudes. dy
// of an input pixel is the grad of the window around it where route[0] passes it and route[1..] names the pixel's tap,
// else 0;
// grad_input = slope * (dy - (sums[c] + xhat * sums[channels + c]) * factor) with xhat = (x - mean) * scale,
// or slope * dy if FROZEN, or dy unless NORMALIZE.
// maxima[sample, block, word] = the largest |grad_input| of 32 channels of a block of CELLS cells.
// A cell is what one step of the window covers, STRIDE x STRIDE input pixels; windows do not overlap.
// With IN_PLACE grad_input holds x before, and the binding x is not read.
// x, grad_input: in pixels x channels; grad: out pixels x channels; route: (1 + TAP_BITS) x out pixels x
// words_for(channels); coefficients: 4 x channels (mean, scale, slope, not read); sums: 2 x channels.
// One invocation computes 32 channels of one block.
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
    cells_across: u32,
    blocks: u32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
{% if VEC4 %}
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> route: array<u32>;
@group(0) @binding(4) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> grad_input: array<vec4<f32>>;
{% else %}
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read> route: array<u32>;
@group(0) @binding(4) var<storage, read> coefficients: array<f32>;
@group(0) @binding(5) var<storage, read> sums: array<f32>;
@group(0) @binding(6) var<storage, read_write> grad_input: array<f32>;
{% endif %}
@group(0) @binding(7) var<storage, read_write> maxima: array<u32>;

override WORKGROUP: u32;

const OUTSIDE = 0xffffffffu;

struct Normalization {
    mean: vec4<f32>,
    scale: vec4<f32>,
    slope: vec4<f32>,
    beta_sum: vec4<f32>,
    gamma_sum: vec4<f32>,
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let used_words = (params.channels + 31u) / 32u;
    let whole_block = index / used_words;
    let word = index - whole_block * used_words;
    let sample = whole_block / params.blocks;
    if sample >= params.samples {
        return;
    }
    let cell0 = (whole_block - sample * params.blocks) * {{ CELLS }}u;
    let words = words_for(params.channels);
    let plane_words = params.samples * params.out_height * params.out_width * words;
{% for i in range(CELLS) %}
{% if i > 0 %}
    let cell{{ i }} = cell0 + {{ i }}u;
{% endif %}
{% if KERNEL == 1 %}
    let pixel{{ i }}_0 = cell_pixel(sample, 0u, cell{{ i }}, params.height * params.width, 1u);
    let out{{ i }} = pixel{{ i }}_0;
{% else %}
    let row{{ i }} = cell{{ i }} / params.cells_across;
    let column{{ i }} = cell{{ i }} - row{{ i }} * params.cells_across;
    let out{{ i }} = cell_pixel(sample, row{{ i }}, column{{ i }}, params.out_width, params.out_height);
{% for place in range(STRIDE * STRIDE) %}
    let pixel{{ i }}_{{ place }} = cell_pixel(
        sample,
        row{{ i }} * {{ STRIDE }}u + {{ place // STRIDE }}u - params.pad_top,
        column{{ i }} * {{ STRIDE }}u + {{ place % STRIDE }}u - params.pad_left,
        params.width,
        params.height,
    );
{% endfor %}
{% endif %}
    let at{{ i }} = select(0u, out{{ i }} * words + word, out{{ i }} != OUTSIDE);
    let pass{{ i }} = select(0u, route[at{{ i }}], out{{ i }} != OUTSIDE);
{% for bit in range(TAP_BITS) %}
    let tap{{ i }}_{{ bit }} = route[{{ bit + 1 }}u * plane_words + at{{ i }}];
{% endfor %}
{% endfor %}
    var largest = vec4(0u);
    let quads = (elements_of_word(word * 32u, params.channels) + 3u) / 4u;
    for (var v = 0u; v < quads; v++) {
        let quad = word * 8u + v;
        let shift = v * 4u;
        let normalization = load_normalization(quad);
{% for i in range(CELLS) %}
        {
            let passes = four_bits(pass{{ i }}, shift) != vec4(0u);
            let gradient = select(vec4(0.0), gradients(select(0u, out{{ i }}, out{{ i }} != OUTSIDE), quad), passes);
{% if KERNEL > 1 %}
            var tap = vec4(0u);
{% for bit in range(TAP_BITS) %}
            tap |= four_bits(tap{{ i }}_{{ bit }}, shift) << vec4({{ bit }}u);
{% endfor %}
{% endif %}
{% for place in range(STRIDE * STRIDE) %}
{% set ky = place // STRIDE %}
{% set kx = place % STRIDE %}
            if pixel{{ i }}_{{ place }} != OUTSIDE {
{% if KERNEL == 1 %}
                let dy = gradient;
{% elif ky < KERNEL and kx < KERNEL %}
                let dy = select(vec4(0.0), gradient, tap == vec4({{ ky * KERNEL + kx }}u));
{% else %}
                let dy = vec4(0.0);
{% endif %}
                let dx = input_gradient(pixel{{ i }}_{{ place }}, quad, dy, normalization);
                largest = max(largest, store(pixel{{ i }}_{{ place }}, quad, dx));
            }
{% endfor %}
        }
{% endfor %}
    }
    maxima[index] = max(max(largest.x, largest.y), max(largest.z, largest.w));
}

// The pixel at (y, x) of a sample's image, or OUTSIDE; negative coordinates have wrapped to huge ones.
fn cell_pixel(sample: u32, y: u32, x: u32, width: u32, height: u32) -> u32 {
    return select(OUTSIDE, (sample * height + y) * width + x, y < height && x < width);
}

fn load_normalization(quad: u32) -> Normalization {
{% if not NORMALIZE %}
    return Normalization();
{% elif FROZEN %}
    let zero = vec4(0.0);
    return Normalization(zero, zero, coefficient(2u, quad), zero, zero);
{% else %}
    return Normalization(
        coefficient(0u, quad),
        coefficient(1u, quad),
        coefficient(2u, quad),
        sum(0u, quad),
        sum(1u, quad),
    );
{% endif %}
}

fn input_gradient(pixel: u32, quad: u32, dy: vec4<f32>, n: Normalization) -> vec4<f32> {
{% if not NORMALIZE %}
    return dy;
{% elif FROZEN %}
    return n.slope * dy;
{% else %}
    let xhat = (values(pixel, quad) - n.mean) * n.scale;
    return n.slope * (dy - (n.beta_sum + xhat * n.gamma_sum) * params.factor);
{% endif %}
}

// Magnitudes compare like their bits, and infinities and NaN lie above all others.
fn magnitude(dx: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(dx) & vec4(0x7fffffffu);
}

{% if VEC4 %}
fn values(pixel: u32, quad: u32) -> vec4<f32> {
    return {{ "grad_input" if IN_PLACE else "x" }}[pixel * quads_of_row() + quad];
}

fn gradients(pixel: u32, quad: u32) -> vec4<f32> {
    return grad[pixel * quads_of_row() + quad];
}

fn coefficient(row: u32, quad: u32) -> vec4<f32> {
    return coefficients[row * quads_of_row() + quad];
}

fn sum(row: u32, quad: u32) -> vec4<f32> {
    return sums[row * quads_of_row() + quad];
}

fn store(pixel: u32, quad: u32, dx: vec4<f32>) -> vec4<u32> {
    grad_input[pixel * quads_of_row() + quad] = dx;
    return magnitude(dx);
}
{% else %}
fn values(pixel: u32, quad: u32) -> vec4<f32> {
    let at = quad_elements(pixel, quad);
{% if IN_PLACE %}
    return vec4(grad_input[at.x], grad_input[at.y], grad_input[at.z], grad_input[at.w]);
{% else %}
    return vec4(x[at.x], x[at.y], x[at.z], x[at.w]);
{% endif %}
}

fn gradients(pixel: u32, quad: u32) -> vec4<f32> {
    let at = quad_elements(pixel, quad);
    return vec4(grad[at.x], grad[at.y], grad[at.z], grad[at.w]);
}

fn coefficient(row: u32, quad: u32) -> vec4<f32> {
    let at = quad_elements(row, quad);
    return vec4(coefficients[at.x], coefficients[at.y], coefficients[at.z], coefficients[at.w]);
}

fn sum(row: u32, quad: u32) -> vec4<f32> {
    let at = quad_elements(row, quad);
    return vec4(sums[at.x], sums[at.y], sums[at.z], sums[at.w]);
}

fn store(pixel: u32, quad: u32, dx: vec4<f32>) -> vec4<u32> {
    for (var lane = 0u; lane < min(4u, params.channels - quad * 4u); lane++) {
        grad_input[pixel * params.channels + quad * 4u + lane] = dx[lane];
    }
    return select(vec4(0u), magnitude(dx), quad_channels(quad) < vec4(params.channels));
}
{% endif %}
