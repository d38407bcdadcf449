//#import dispatch
//#import bits
//#import code_words
//#import window
// planes[p, o, w] bit b = bit p of the code of channel c = 32 w + b at output pixel o: the maximum, over the taps
// of the window inside the image, of the number of thresholds that the accumulator v passes. A channel whose
// direction word is 1 passes a threshold t where v >= t, one whose direction word is 0 where v < t.
// accumulators: in pixels x channels; thresholds: channels x (1 + n), the direction first, n = 2^BITS - 1;
// planes: BITS x out pixels x words_for(channels). One invocation packs one word position of one output pixel.
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
@group(0) @binding(1) var<storage, read> accumulators: array<i32>;
@group(0) @binding(2) var<storage, read> thresholds: array<i32>;
@group(0) @binding(3) var<storage, read_write> planes: array<u32>;

override WORKGROUP: u32;
override BITS: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let words = words_for(params.channels);
    let plane_words = params.samples * params.out_height * params.out_width * words;
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= plane_words {
        return;
    }
    let first = (index % words) * 32u;
    let count = elements_of_word(first, params.channels);
    var packed = CodeWords();
    for (var b = 0u; b < count; b++) {
        put_code(&packed, pooled_code(index / words, first + b), b);
    }
    for (var plane = 0u; plane < BITS; plane++) {
        planes[plane * plane_words + index] = plane_word(packed, plane);
    }
}

// The code grows or falls with the accumulator, so the largest code belongs to the largest or smallest accumulator.
fn pooled_code(out_pixel: u32, channel: u32) -> u32 {
    let levels = (1u << BITS) - 1u;
    let base = channel * (1u + levels);
    let ascending = thresholds[base] != 0;
    var best = 0;
    var found = false;
    for (var tap = 0u; tap < params.kernel_h * params.kernel_w; tap++) {
        let pixel = window_input(out_pixel, tap);
        if pixel != OUTSIDE {
            let v = accumulators[pixel * params.channels + channel];
            let better = (ascending && v > best) || (!ascending && v < best);
            best = select(best, v, better || !found);
            found = true;
        }
    }
    var code = 0u;
    for (var level = 0u; level < levels; level++) {
        code += u32((best >= thresholds[base + 1u + level]) == ascending);
    }
    return select(0u, code, found);
}
