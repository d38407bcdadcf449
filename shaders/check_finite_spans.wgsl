//#import dispatch
// flags[s] |= 1 where the span of slot s has a value that is infinite or not a number.
// values: vectors of 4 floats as bits, because comparisons of floats do not find NaN on every driver; spans: first value,
// value behind the last and slot of each span, by value, without overlap; flags: flags_len words.
// One invocation tests VALUES vectors, `stride` apart so that neighboring invocations read neighboring ones, and looks
// for the span only of what it finds. The order of the atomics does not matter: all of them set the same bit.
struct Params {
    // Vectors of values.
    vectors: u32,
    spans: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> spans: array<u32>;
@group(0) @binding(3) var<storage, read_write> flags: array<atomic<u32>>;

override WORKGROUP: u32;
override VALUES: u32;

const INFINITY = 0x7f800000u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.stride {
        return;
    }
    var all = vec4<u32>();
    for (var value = 0u; value < VALUES; value++) {
        // Past the end, the last vector counts again.
        let at = min(index + value * params.stride, params.vectors - 1u);
        all = max(all, values[at] & vec4(0x7fffffffu));
    }
    if max(max(all.x, all.y), max(all.z, all.w)) < INFINITY {
        return;
    }
    for (var value = 0u; value < VALUES; value++) {
        let at = min(index + value * params.stride, params.vectors - 1u);
        let found = (values[at] & vec4(0x7fffffffu)) >= vec4(INFINITY);
        if found.x {
            raise(4u * at);
        }
        if found.y {
            raise(4u * at + 1u);
        }
        if found.z {
            raise(4u * at + 2u);
        }
        if found.w {
            raise(4u * at + 3u);
        }
    }
}

// Sets the flag of the span that has `value`; what lies between spans is padding.
fn raise(value: u32) {
    var low = 0u;
    var high = params.spans;
    while high - low > 1u {
        let middle = (low + high) / 2u;
        if spans[3u * middle] <= value {
            low = middle;
        } else {
            high = middle;
        }
    }
    if spans[3u * low] <= value && value < spans[3u * low + 1u] {
        atomicOr(&flags[spans[3u * low + 2u]], 1u);
    }
}
