//#import dispatch
//#import math
// dst[row, c] = factor * sum or max over i = 0.. of map(src[row, c + i chunks]), where the map is x, |x| or |tanh x|.
// src: rows x len; dst: rows x chunks, a chunk holding at most CHUNK elements.
// One invocation reduces one chunk, in ascending order; neighbors read neighboring elements.
struct Params {
    rows: u32,
    len: u32,
    chunks: u32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<f32>;
@group(0) @binding(2) var<storage, read_write> dst: array<f32>;

override WORKGROUP: u32;
override MAP: u32;
override OP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.rows * params.chunks {
        return;
    }
    let row = index / params.chunks;
    let chunk = index % params.chunks;
    var result = mapped(src[row * params.len + chunk]);
    for (var i = chunk + params.chunks; i < params.len; i += params.chunks) {
        let value = mapped(src[row * params.len + i]);
        if OP == 0u {
            result += value;
        } else {
            result = max(result, value);
        }
    }
    dst[index] = params.factor * result;
}

fn mapped(value: f32) -> f32 {
    if MAP == 0u {
        return value;
    }
    if MAP == 1u {
        return abs(value);
    }
    return abs(tanh_bounded(value));
}
