//#import dispatch
//#import bits
//#import window
// unfolded[p, out pixel, (ky, kx, ci)] = planes[p, input pixel under tap (ky, kx), ci], zero where the tap is padding.
// planes: BITS x in_pixels x words_for(channels); unfolded: BITS x out_pixels x words_for(taps * channels), rows dense.
// One invocation gathers one word position of one output pixel in all planes, a run of bits of one source word at a time.
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
@group(0) @binding(1) var<storage, read> planes: array<u32>;
@group(0) @binding(2) var<storage, read_write> unfolded: array<u32>;

override WORKGROUP: u32;
override BITS: u32;

const MAX_BITS = 8;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let k = params.kernel_h * params.kernel_w * params.channels;
    let words = words_for(k);
    let rows = params.samples * params.out_height * params.out_width;
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= rows * words {
        return;
    }
    let row = index / words;
    let first = (index % words) * 32u;
    let end = min(first + 32u, k);
    let source_words = words_for(params.channels);
    let source_plane = params.samples * params.height * params.width * source_words;
    var gathered: array<u32, MAX_BITS>;
    var element = first;
    while element < end {
        let channel = element % params.channels;
        let run = min(min(32u - channel % 32u, params.channels - channel), end - element);
        let pixel = window_input(row, element / params.channels);
        if pixel != OUTSIDE {
            let source = pixel * source_words + channel / 32u;
            for (var plane = 0u; plane < BITS; plane++) {
                let bits = extractBits(planes[plane * source_plane + source], channel % 32u, run);
                gathered[plane] |= bits << (element - first);
            }
        }
        element += run;
    }
    for (var plane = 0u; plane < BITS; plane++) {
        unfolded[plane * rows * words + index] = gathered[plane];
    }
}
