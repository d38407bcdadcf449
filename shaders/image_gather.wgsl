//#import dispatch
//#import pictures
// dst[s, y, x, c] = image table[s, 0] of source, resized (bilinear, pixel centers aligned, edges repeated) to
// resize_height x resize_width, mirrored if table[s, 1] is 1, read at (y + table[s, 2], x + table[s, 3]),
// zero outside, minus subtract_c over divide_by_c. Samples whose image is not among the `images` of source, counted from first_image,
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
    let stored = place_of(table[4u * sample]);
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
    let down_share = f32(down.share) / f32(2u * params.resize_height);
    for (var channel = 0u; channel < CHANNELS; channel++) {
        let upper = blend_across(top, across, channel);
        let lower = blend_across(bottom, across, channel);
        let value = select(0.0, blend(upper, lower, down_share), inside);
        dst[pixel * CHANNELS + channel] = scaled(value, channel);
    }
}

fn blend(a: f32, b: f32, share: f32) -> f32 {
    return a * (1.0 - share) + b * share;
}

fn blend_across(line: u32, across: Neighbors, channel: u32) -> f32 {
    let first = f32(byte_at((line + across.first) * CHANNELS + channel));
    let second = f32(byte_at((line + across.second) * CHANNELS + channel));
    return blend(first, second, f32(across.share) / f32(2u * params.resize_width));
}
