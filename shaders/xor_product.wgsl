//#import dispatch
//#import product
// Product of sign planes with sign planes, elements masked on either side left out:
// v = n_lhs n_rhs popcount(m) - 2 sum over p, q of 2^(p+q) popcount((s_p ^ t_q) & m), n = 2^planes - 1, m the
// intersection of the masks. Without a mask popcount(m) is the true number of elements, because pad bits are
// equal on both sides.
// lhs: planes x m x row_words; rhs: planes x n x row_words; lhs_scale, rhs_scale: f32;
// dst: f32 or i32 bits at i * dst_row_stride + j * dst_col_stride.
// Where a word of the mask of rhs is zero in all four columns, no other plane is read there.
// One invocation computes 4 x 4 elements of dst, LHS_STEP x RHS_STEP planes at a time.
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lhs: array<u32>;
@group(0) @binding(2) var<storage, read> rhs: array<u32>;
@group(0) @binding(3) var<storage, read> lhs_scale: array<f32>;
@group(0) @binding(4) var<storage, read> rhs_scale: array<f32>;
@group(0) @binding(5) var<storage, read_write> dst: array<u32>;

override WORKGROUP: u32;
override LHS_PLANES: u32;
override RHS_PLANES: u32;
// Planes of each side that one pass over the words reads: 1, 2 or 4, a divisor of the planes.
override LHS_STEP: u32;
override RHS_STEP: u32;
override LHS_MASKED: bool;
override RHS_MASKED: bool;
override LHS_SCALE_BY: u32;
override RHS_SCALE_BY: u32;
override ACCUMULATE: bool;
override OUTPUT_I32: bool;

struct Masks {
    lhs: vec4<u32>,
    rhs: vec4<u32>,
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    product_tile(linear_group(group, groups) * WORKGROUP + local);
}

fn segment_tile(rows: vec4<u32>, columns: vec4<u32>, segment: u32) -> Tile {
    let lhs_mask_at = lhs_start(rows, params.lhs_mask, segment);
    let rhs_mask_at = rhs_start(columns, params.rhs_mask, segment);
    var v = Tile();
    for (var p = 0u; p < LHS_PLANES; p += LHS_STEP) {
        let l = lhs_start(rows, params.lhs_plane + p, segment);
        for (var q = 0u; q < RHS_PLANES; q += RHS_STEP) {
            let r = rhs_start(columns, params.rhs_plane + q, segment);
            var c0 = vec4<u32>();
            var c1 = vec4<u32>();
            var c2 = vec4<u32>();
            var c3 = vec4<u32>();
            for (var w = 0u; w < params.words; w++) {
                let mask = masks(lhs_mask_at + w, rhs_mask_at + w);
                if RHS_MASKED && all(mask.rhs == vec4<u32>()) {
                    continue;
                }
                let a = lhs_planes(l + w);
                let b = rhs_planes(r + w);
                c0 += step_counts(vec4(a.p0.x, a.p1.x, a.p2.x, a.p3.x), b, vec4(mask.lhs.x) & mask.rhs);
                c1 += step_counts(vec4(a.p0.y, a.p1.y, a.p2.y, a.p3.y), b, vec4(mask.lhs.y) & mask.rhs);
                c2 += step_counts(vec4(a.p0.z, a.p1.z, a.p2.z, a.p3.z), b, vec4(mask.lhs.z) & mask.rhs);
                c3 += step_counts(vec4(a.p0.w, a.p1.w, a.p2.w, a.p3.w), b, vec4(mask.lhs.w) & mask.rhs);
            }
            v = add_shifted(v, c0, c1, c2, c3, p + q);
        }
    }
    let levels = i32(((1u << LHS_PLANES) - 1u) * ((1u << RHS_PLANES) - 1u));
    let valid = valid_elements(lhs_mask_at, rhs_mask_at);
    return Tile(
        levels * valid.r0 - 2 * v.r0,
        levels * valid.r1 - 2 * v.r1,
        levels * valid.r2 - 2 * v.r2,
        levels * valid.r3 - 2 * v.r3,
    );
}

// Elements of a segment that both masks keep.
fn valid_elements(lhs_mask_at: vec4<u32>, rhs_mask_at: vec4<u32>) -> Tile {
    if !LHS_MASKED && !RHS_MASKED {
        let k = vec4(i32(params.k));
        return Tile(k, k, k, k);
    }
    if !RHS_MASKED {
        var counts = vec4<u32>();
        for (var w = 0u; w < params.words; w++) {
            counts += countOneBits(lhs_words(lhs_mask_at + w));
        }
        let kept = vec4<i32>(counts);
        return Tile(vec4(kept.x), vec4(kept.y), vec4(kept.z), vec4(kept.w));
    }
    var c0 = vec4<u32>();
    var c1 = vec4<u32>();
    var c2 = vec4<u32>();
    var c3 = vec4<u32>();
    for (var w = 0u; w < params.words; w++) {
        let mask = masks(lhs_mask_at + w, rhs_mask_at + w);
        c0 += countOneBits(vec4(mask.lhs.x) & mask.rhs);
        c1 += countOneBits(vec4(mask.lhs.y) & mask.rhs);
        c2 += countOneBits(vec4(mask.lhs.z) & mask.rhs);
        c3 += countOneBits(vec4(mask.lhs.w) & mask.rhs);
    }
    return add_shifted(Tile(), c0, c1, c2, c3, 0u);
}

// Words of the masks of four rows of each side, all ones for a side without one.
fn masks(lhs_at: vec4<u32>, rhs_at: vec4<u32>) -> Masks {
    var words = Masks(ALL, ALL);
    if LHS_MASKED {
        words.lhs = lhs_words(lhs_at);
    }
    if RHS_MASKED {
        words.rhs = rhs_words(rhs_at);
    }
    return words;
}

fn pair_counts(a: vec4<u32>, b: vec4<u32>, mask: vec4<u32>) -> vec4<u32> {
    return countOneBits((a ^ b) & mask);
}
