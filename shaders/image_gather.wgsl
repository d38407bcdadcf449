//#import dispatch
// dst[s, y, x, c] = image table[s, 0] of source, resized (bilinear, pixel centers aligned, edges repeated) to
// resize_height x resize_width, mirrored if table[s, 1] is 1, read at (y + table[s, 2], x + table[s, 3]),
// zero outside, divided by 255. Samples whose image is not among the `images` of source, counted from first_image,
// are left as they are.
// source: images x source_height x source_width x channels bytes, four a word, the first lowest; table:
// samples x 4 words, the last two signed; dst: samples x out_height x out_width x channels floats.
// One invocation computes one pixel.
struct Params {
    samples: u32,
    source_height: u32,
    source_width: u32,
    resize_height: u32,
    resize_width: u32,
    out_height: u32,
    out_width: u32,
    first_image: u32,
    images: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read_write> dst: array<f32>;

override WORKGROUP: u32;
override CHANNELS: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let pixel = linear_group(group, groups) * WORKGROUP + local;
    let line = pixel / params.out_width;
    let sample = line / params.out_height;
    if sample >= params.samples {
        return;
    }
    // An image before the first wraps to a huge index.
    let stored = table[4u * sample] - params.first_image;
    if stored >= params.images {
        return;
    }
    // An offset above or left of the image wraps to a huge coordinate.
    let row = line - sample * params.out_height + table[4u * sample + 2u];
    let shifted = pixel - line * params.out_width + table[4u * sample + 3u];
    let inside = row < params.resize_height && shifted < params.resize_width;
    let mirrored = table[4u * sample + 1u] != 0u;
    let column = select(shifted, params.resize_width - 1u - shifted, mirrored);
    let down = neighbors(select(0u, row, inside), params.source_height, params.resize_height);
    let across = neighbors(select(0u, column, inside), params.source_width, params.resize_width);
    let image = stored * params.source_height;
    let top = (image + down.first) * params.source_width;
    let bottom = (image + down.second) * params.source_width;
    for (var channel = 0u; channel < CHANNELS; channel++) {
        let upper = blend_across(top, across, channel);
        let lower = blend_across(bottom, across, channel);
        dst[pixel * CHANNELS + channel] = select(0.0, blend(upper, lower, down.share) / 255.0, inside);
    }
}

struct Neighbors {
    first: u32,
    second: u32,
    share: f32,
}

// The source positions on both sides of the center of position `position` of `resized`, and the share of the
// second.
// The center is (position + 1/2) size / resized - 1/2; whole numbers keep its floor and its fraction exact.
fn neighbors(position: u32, size: u32, resized: u32) -> Neighbors {
    let center = (2u * position + 1u) * size + resized;
    let above = center / (2u * resized);
    let share = f32(center % (2u * resized)) / f32(2u * resized);
    return Neighbors(max(above, 1u) - 1u, min(above, size - 1u), share);
}

fn blend(a: f32, b: f32, share: f32) -> f32 {
    return a * (1.0 - share) + b * share;
}

fn blend_across(line: u32, across: Neighbors, channel: u32) -> f32 {
    return blend(byte_at(line + across.first, channel), byte_at(line + across.second, channel), across.share);
}

fn byte_at(pixel: u32, channel: u32) -> f32 {
    let at = pixel * CHANNELS + channel;
    return f32((source[at / 4u] >> (8u * (at % 4u))) & 255u);
}
