//#import dispatch
//#import pictures
//#import workgroup_sum
// dst[s, y, x, c] = (q - subtract_c) / divide_by_c, three channels. q is pixel (y, x), mirrored if views[s, 1] is not 0, of the
// rectangle of rows views[s, 2] .. + views[s, 4] and columns views[s, 3] .. + views[s, 5] of image views[s, 0], resized to
// out_height x out_width bytes (bicubic, pixel centers aligned, edges of the rectangle repeated), after four steps, in the order
// of the pairs of bits of views[s, 6] from the lowest: 0 is floor(q f), 1 floor((q - m) f + m) with m the mean gray of the whole
// rectangle at that step to the nearest 1/256, 2 floor(q f + g (1 - f)) with g the gray of q, 3 is q + views[s, 10 + c]; f is
// views[s, 7 + step] / 4096. Each step ends with clamp(q, 0, 255). Everything but the scale is on whole numbers.
// Samples whose image is not among the `images` of source, counted from first_image, are left as they are.
// source: images x source_height x source_width x 3 bytes, four a word, the first lowest; views: samples x 13 words, the last
// three signed; dst: samples x out_height x out_width x 3 floats.
// One workgroup computes one image.
struct Params {
    samples: u32,
    source_height: u32,
    source_width: u32,
    out_height: u32,
    out_width: u32,
    first_image: u32,
    images: u32,
    subtract_0: f32,
    subtract_1: f32,
    subtract_2: f32,
    divide_by_0: f32,
    divide_by_1: f32,
    divide_by_2: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read> views: array<u32>;
@group(0) @binding(3) var<storage, read_write> dst: array<f32>;

override WORKGROUP: u32;

const VIEW = 13u;
const CONTRAST = 1u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let sample = linear_group(group, groups);
    let exists = sample < params.samples;
    let row = select(0u, sample, exists);
    let stored = place_of(views[VIEW * row]);
    // No early return: every invocation has to reach the barriers.
    let shown = exists && stored < params.images;
    let pixels = select(0u, params.out_height * params.out_width, shown);
    let first = select(0u, stored, shown) * params.source_height;
    let order = views[VIEW * row + 6u];
    var before = 0u;
    while ((order >> (2u * before)) & 3u) != CONTRAST && before < 4u {
        before++;
    }
    var sum = 0u;
    for (var pixel = local; pixel < pixels; pixel += WORKGROUP) {
        let color = changed(pixel_at(row, first, pixel), row, before, 0);
        // The gray times 256.
        sum += u32((weighted(color) + 32) >> 6u);
    }
    let count = params.out_height * params.out_width;
    let mean = i32((workgroup_sum(sum, local) + count / 2u) / count);
    for (var pixel = local; pixel < pixels; pixel += WORKGROUP) {
        let color = changed(pixel_at(row, first, pixel), row, 4u, mean);
        for (var channel = 0u; channel < 3u; channel++) {
            dst[3u * (sample * pixels + pixel) + channel] = scaled(f32(color[channel]), channel);
        }
    }
}

// A color after the first `end` steps; mean is the mean gray times 256.
fn changed(start: vec3<i32>, row: u32, end: u32, mean: i32) -> vec3<i32> {
    let at = VIEW * row + 6u;
    var color = start;
    for (var number = 0u; number < end; number++) {
        let step = (views[at] >> (2u * number)) & 3u;
        let factor = bitcast<i32>(views[at + 1u + step]);
        switch step {
            case 0u: {
                color = (color * factor) >> vec3(12u);
            }
            case CONTRAST: {
                color = ((256 * color - mean) * factor + 4096 * mean) >> vec3(20u);
            }
            case 2u: {
                let gray = (weighted(color) + 8192) >> 14u;
                color = (color * factor + gray * (4096 - factor)) >> vec3(12u);
            }
            default: {
                color += bitcast<vec3<i32>>(vec3(views[at + 4u], views[at + 5u], views[at + 6u]));
            }
        }
        color = clamp(color, vec3(0), vec3(255));
    }
    return color;
}

// The gray of a color times 16384.
fn weighted(color: vec3<i32>) -> i32 {
    return 4899 * color.x + 9617 * color.y + 1868 * color.z;
}

// A pixel of the resized rectangle; first is the first row of the image.
fn pixel_at(row: u32, first: u32, pixel: u32) -> vec3<i32> {
    let y = pixel / params.out_width;
    let shifted = pixel - y * params.out_width;
    let mirrored = views[VIEW * row + 1u] != 0u;
    let x = select(shifted, params.out_width - 1u - shifted, mirrored);
    let down = taps(y, views[VIEW * row + 4u], params.out_height);
    let across = taps(x, views[VIEW * row + 5u], params.out_width);
    let top = first + views[VIEW * row + 2u];
    let left = views[VIEW * row + 3u];
    var sum = vec3(0);
    for (var tap = 0u; tap < 4u; tap++) {
        let line = (top + down.positions[tap]) * params.source_width + left;
        sum += down.weights[tap] * blend_across(line, across);
    }
    return clamp((sum + (1 << 21u)) >> vec3(22u), vec3(0), vec3(255));
}

fn blend_across(line: u32, across: Taps) -> vec3<i32> {
    return across.weights.x * color_at(line + across.positions.x)
        + across.weights.y * color_at(line + across.positions.y)
        + across.weights.z * color_at(line + across.positions.z)
        + across.weights.w * color_at(line + across.positions.w);
}

struct Taps {
    positions: vec4<u32>,
    // Times 2048; they add up to that.
    weights: vec4<i32>,
}

// The four source positions around the center of position `position` of `resized`, and their weights: Keys' kernel with
// a = -3/4, at distances in 1/256.
fn taps(position: u32, size: u32, resized: u32) -> Taps {
    let near = neighbors(position, size, resized);
    let t = i32((256u * near.share + resized) / (2u * resized));
    let u = 256 - t;
    let before = -((3 * t * u * u + 16384) >> 15u);
    let after = -((3 * u * t * t + 16384) >> 15u);
    let behind = (5 * u * u * u - 2304 * u * u + 67108864 + 16384) >> 15u;
    let positions = vec4(max(near.first, 1u) - 1u, near.first, near.second, min(near.second + 1u, size - 1u));
    return Taps(positions, vec4(before, 2048 - before - behind - after, behind, after));
}

fn color_at(pixel: u32) -> vec3<i32> {
    return vec3<i32>(vec3(byte_at(3u * pixel), byte_at(3u * pixel + 1u), byte_at(3u * pixel + 2u)));
}
