//#import dispatch
//#import pictures
//#import workgroup_sum
// dst[s, y, x, c] = byte at (y + table[s, 2], x + table[s, 3]) of the lit image s, mirrored if table[s, 1] is 1, zero
// outside, minus subtract_c over divide_by_c. The lit image is image table[s, 0] of source, resized to resize_height x resize_width (bilinear,
// pixel centers aligned, edges repeated, rounded to bytes), with p = clamp(byte + lights[s, 0], 0, 255), and then
// clamp(floor((p - mean) f + mean), 0, 255), where f is lights[s, 1] / 4096 and mean the mean of p over the channel, to the
// nearest 1/256. Everything but that scale is on whole numbers. Samples whose image is not among the `images` of
// source, counted from first_image, are left as they are.
// source: images x source_height x source_width x channels bytes, four a word, the first lowest; table: samples x 4 words,
// the last two signed; lights: samples x 2 words, the first signed; dst: samples x out_height x out_width x channels floats.
// One workgroup computes one image.
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
    subtract_0: f32,
    subtract_1: f32,
    subtract_2: f32,
    divide_by_0: f32,
    divide_by_1: f32,
    divide_by_2: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> lights: array<u32>;
@group(0) @binding(4) var<storage, read_write> dst: array<f32>;

override WORKGROUP: u32;
override CHANNELS: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let sample = linear_group(group, groups);
    let exists = sample < params.samples;
    let row = select(0u, sample, exists);
    let stored = place_of(table[4u * row]);
    // No early return: every invocation has to reach the barriers.
    let lit = exists && stored < params.images;
    let image = select(0u, stored, lit);
    let offset = bitcast<i32>(lights[2u * row]);
    let factor = bitcast<i32>(lights[2u * row + 1u]);
    let pixels = params.resize_height * params.resize_width;
    let out_pixels = params.out_height * params.out_width;
    for (var channel = 0u; channel < CHANNELS; channel++) {
        var sum = 0u;
        for (var pixel = local; pixel < select(0u, pixels, lit); pixel += WORKGROUP) {
            let y = pixel / params.resize_width;
            sum += u32(brightened(image, y, pixel - y * params.resize_width, channel, offset));
        }
        let mean = i32((workgroup_sum(sum, local) * 256u + pixels / 2u) / pixels);
        for (var out = local; out < select(0u, out_pixels, lit); out += WORKGROUP) {
            let line = out / params.out_width;
            // An offset above or left of the image wraps to a huge coordinate.
            let y = line + table[4u * row + 2u];
            let shifted = out - line * params.out_width + table[4u * row + 3u];
            let inside = y < params.resize_height && shifted < params.resize_width;
            let mirrored = table[4u * row + 1u] != 0u;
            let x = select(shifted, params.resize_width - 1u - shifted, mirrored);
            let p = brightened(image, select(0u, y, inside), select(0u, x, inside), channel, offset);
            let contrast = ((256 * p - mean) * factor + 4096 * mean) >> 20u;
            let value = select(0, clamp(contrast, 0, 255), inside);
            dst[(sample * out_pixels + out) * CHANNELS + channel] = scaled(f32(value), channel);
        }
    }
}

// A pixel of the resized image, with its brightness changed.
fn brightened(image: u32, y: u32, x: u32, channel: u32, offset: i32) -> i32 {
    let down = neighbors(y, params.source_height, params.resize_height);
    let across = neighbors(x, params.source_width, params.resize_width);
    let top = (image * params.source_height + down.first) * params.source_width;
    let bottom = (image * params.source_height + down.second) * params.source_width;
    let upper = blend_across(top, across, channel) * (2u * params.resize_height - down.share);
    let lower = blend_across(bottom, across, channel) * down.share;
    let whole = 4u * params.resize_height * params.resize_width;
    return clamp(i32((upper + lower + whole / 2u) / whole) + offset, 0, 255);
}

fn blend_across(line: u32, across: Neighbors, channel: u32) -> u32 {
    let first = byte_at((line + across.first) * CHANNELS + channel);
    let second = byte_at((line + across.second) * CHANNELS + channel);
    return first * (2u * params.resize_width - across.share) + second * across.share;
}
