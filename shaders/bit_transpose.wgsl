//#import dispatch
//#import bits
// transposed[p, j, n, position] = planes[p, (n, position), j]: the position axis becomes the packed one,
// sample by sample.
// planes: planes x (samples * positions) x words_for(k); transposed: planes x k x samples x
// words_for(positions).
// One invocation transposes one block of 32 positions by 32 elements in registers; blocks at the edges are
// partly zero.
struct Params {
    samples: u32,
    positions: u32,
    k: u32,
    planes: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> planes: array<u32>;
@group(0) @binding(2) var<storage, read_write> transposed: array<u32>;

override WORKGROUP: u32;

const BLOCK = 32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let words = words_for(params.k);
    let position_words = words_for(params.positions);
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.planes * params.samples * position_words * words {
        return;
    }
    let word = index % words;
    let position_word = index / words % position_words;
    let sample = index / (words * position_words) % params.samples;
    let plane = index / (words * position_words * params.samples);
    let count = elements_of_word(position_word * 32u, params.positions);
    let row = (plane * params.samples + sample) * params.positions + position_word * 32u;
    let source = row * words + word;
    var block: array<u32, BLOCK>;
    for (var i = 0u; i < 32u; i++) {
        // A read past the last position repeats it and is dropped, so that every lane loads alike.
        block[i] = select(0u, planes[source + min(i, max(count, 1u) - 1u) * words], i < count);
    }
    exchange(&block, 16u, 0x0000ffffu);
    exchange(&block, 8u, 0x00ff00ffu);
    exchange(&block, 4u, 0x0f0f0f0fu);
    exchange(&block, 2u, 0x33333333u);
    exchange(&block, 1u, 0x55555555u);
    let line = params.samples * position_words;
    let first = plane * params.k + word * 32u;
    for (var j = 0u; j < 32u; j++) {
        if word * 32u + j < params.k {
            transposed[(first + j) * line + sample * position_words + position_word] = block[j];
        }
    }
}

// One stage of the transposition: swaps the off-diagonal quarters of every square of 2 * distance rows, where
// `low` selects the columns of the left half.
fn exchange(block: ptr<function, array<u32, BLOCK>>, distance: u32, low: u32) {
    for (var pair = 0u; pair < 16u; pair++) {
        let upper = (pair / distance) * 2u * distance + pair % distance;
        let lower = upper + distance;
        let moved = ((*block)[upper] >> distance ^ (*block)[lower]) & low;
        (*block)[lower] ^= moved;
        (*block)[upper] ^= moved << distance;
    }
}
