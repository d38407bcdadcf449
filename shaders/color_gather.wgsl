//#import dispatch
// dst[s, y, x] = clamp(M p + N mean + c, 0, 255) / 255, three channels. p is pixel (y, x), mirrored if views[s, 1] is not 0, of
// the rectangle of rows views[s, 2] .. + views[s, 4] and columns views[s, 3] .. + views[s, 5] of image views[s, 0], resized to
// out_height x out_width (bilinear, pixel centers aligned, edges of the rectangle repeated); mean is the mean of p over the
// resized rectangle. Samples whose image is not among the `images` of source, counted from first_image, are left as they are.
// source: images x source_height x source_width x 3 bytes, four a word, the first lowest; views: samples x 27 words, after the
// first 6 the floats of M and N, row by row, and c; dst: samples x out_height x out_width x 3 floats.
// One workgroup computes one image.
struct Params {
    samples: u32,
    source_height: u32,
    source_width: u32,
    out_height: u32,
    out_width: u32,
    first_image: u32,
    images: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read> views: array<u32>;
@group(0) @binding(3) var<storage, read_write> dst: array<f32>;

override WORKGROUP: u32;

var<workgroup> sums: array<vec3<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let sample = linear_group(group, groups);
    let exists = sample < params.samples;
    let row = select(0u, sample, exists);
    // An image before the first wraps to a huge index.
    let stored = views[27u * row] - params.first_image;
    // No early return: every invocation has to reach the barriers.
    let shown = exists && stored < params.images;
    let pixels = select(0u, params.out_height * params.out_width, shown);
    let first = select(0u, stored, shown) * params.source_height;
    var sum = vec3(0.0);
    for (var pixel = local; pixel < pixels; pixel += WORKGROUP) {
        sum += pixel_at(row, first, pixel);
    }
    sums[local] = sum;
    // All sums are written before one invocation adds them.
    workgroupBarrier();
    if local == 0u {
        for (var other = 1u; other < WORKGROUP; other++) {
            sum += sums[other];
        }
        sums[0] = sum;
    }
    // The total is written before all read it.
    workgroupBarrier();
    let mean = sums[0] / f32(params.out_height * params.out_width);
    let at = 27u * row + 6u;
    let shift = vec3(word_at(at + 18u), word_at(at + 19u), word_at(at + 20u)) + product(at + 9u, mean);
    for (var pixel = local; pixel < pixels; pixel += WORKGROUP) {
        let color = clamp(product(at, pixel_at(row, first, pixel)) + shift, vec3(0.0), vec3(255.0)) / 255.0;
        let place = 3u * (sample * pixels + pixel);
        dst[place] = color.x;
        dst[place + 1u] = color.y;
        dst[place + 2u] = color.z;
    }
}

// The matrix of the words from `at` on times a color.
fn product(at: u32, color: vec3<f32>) -> vec3<f32> {
    let red = vec3(word_at(at), word_at(at + 1u), word_at(at + 2u));
    let green = vec3(word_at(at + 3u), word_at(at + 4u), word_at(at + 5u));
    let blue = vec3(word_at(at + 6u), word_at(at + 7u), word_at(at + 8u));
    return vec3(dot(red, color), dot(green, color), dot(blue, color));
}

fn word_at(at: u32) -> f32 {
    return bitcast<f32>(views[at]);
}

// A pixel of the resized rectangle; first is the first row of the image.
fn pixel_at(row: u32, first: u32, pixel: u32) -> vec3<f32> {
    let y = pixel / params.out_width;
    let shifted = pixel - y * params.out_width;
    let mirrored = views[27u * row + 1u] != 0u;
    let x = select(shifted, params.out_width - 1u - shifted, mirrored);
    let down = neighbors(y, views[27u * row + 4u], params.out_height);
    let across = neighbors(x, views[27u * row + 5u], params.out_width);
    let top = (first + views[27u * row + 2u] + down.first) * params.source_width;
    let bottom = (first + views[27u * row + 2u] + down.second) * params.source_width;
    let left = views[27u * row + 3u] + across.first;
    let right = views[27u * row + 3u] + across.second;
    let upper = blend(color_at(top + left), color_at(top + right), across.share);
    let lower = blend(color_at(bottom + left), color_at(bottom + right), across.share);
    return blend(upper, lower, down.share);
}

struct Neighbors {
    first: u32,
    second: u32,
    share: f32,
}

// The source positions on both sides of the center of position `position` of `resized`, and the share of the second.
fn neighbors(position: u32, size: u32, resized: u32) -> Neighbors {
    let center = (2u * position + 1u) * size + resized;
    let above = center / (2u * resized);
    let share = f32(center % (2u * resized)) / f32(2u * resized);
    return Neighbors(max(above, 1u) - 1u, min(above, size - 1u), share);
}

fn blend(a: vec3<f32>, b: vec3<f32>, share: f32) -> vec3<f32> {
    return a * (1.0 - share) + b * share;
}

fn color_at(pixel: u32) -> vec3<f32> {
    return vec3(byte_at(3u * pixel), byte_at(3u * pixel + 1u), byte_at(3u * pixel + 2u));
}

fn byte_at(at: u32) -> f32 {
    return f32((source[at / 4u] >> (8u * (at % 4u))) & 255u);
}
