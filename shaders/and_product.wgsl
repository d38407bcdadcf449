//#import dispatch
//#import product
// Product of unit planes lhs with unit or sign planes rhs: v = sum over p, q of 2^(p+q) popcount(a_p & b_q)
// for unit rhs, and sum over elements of a * (2b - n) for sign rhs, n = 2^RHS_PLANES - 1, masked elements of
// rhs left out.
// lhs: planes x m x row_words; rhs: planes x n x row_words; row_sums: m x total_segments, the sums of the
// codes of lhs;
// lhs_scale, rhs_scale: f32; dst: f32 or i32 bits at i * dst_row_stride + j * dst_col_stride.
// Where a word of the mask of rhs is zero in all four columns, nothing else is read there.
// One invocation computes 4 x 4 elements of dst, LHS_STEP x RHS_STEP planes at a time.
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lhs: array<u32>;
@group(0) @binding(2) var<storage, read> rhs: array<u32>;
@group(0) @binding(3) var<storage, read> row_sums: array<i32>;
@group(0) @binding(4) var<storage, read> lhs_scale: array<f32>;
@group(0) @binding(5) var<storage, read> rhs_scale: array<f32>;
@group(0) @binding(6) var<storage, read_write> dst: array<u32>;

override WORKGROUP: u32;
override LHS_PLANES: u32;
override RHS_PLANES: u32;
// Planes of each side that one pass over the words reads: 1, 2 or 4, a divisor of the planes.
override LHS_STEP: u32;
override RHS_STEP: u32;
override RHS_SIGN: bool;
override RHS_MASKED: bool;
// The sums of lhs over a whole segment are in row_sums; they depend on the column where rhs is masked.
override USE_ROW_SUMS: bool;
override LHS_SCALE_BY: u32;
override RHS_SCALE_BY: u32;
override ACCUMULATE: bool;
override OUTPUT_I32: bool;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    product_tile(linear_group(group, groups) * WORKGROUP + local);
}

fn segment_tile(rows: vec4<u32>, columns: vec4<u32>, segment: u32) -> Tile {
    let mask_at = rhs_start(columns, params.rhs_mask, segment);
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
                var mask = ALL;
                if RHS_MASKED {
                    mask = rhs_words(mask_at + w);
                    if all(mask == vec4<u32>()) {
                        continue;
                    }
                }
                let a = lhs_planes(l + w);
                let b = rhs_planes(r + w);
                c0 += step_counts(vec4(a.p0.x, a.p1.x, a.p2.x, a.p3.x), b, mask);
                c1 += step_counts(vec4(a.p0.y, a.p1.y, a.p2.y, a.p3.y), b, mask);
                c2 += step_counts(vec4(a.p0.z, a.p1.z, a.p2.z, a.p3.z), b, mask);
                c3 += step_counts(vec4(a.p0.w, a.p1.w, a.p2.w, a.p3.w), b, mask);
            }
            v = add_shifted(v, c0, c1, c2, c3, p + q);
        }
    }
    if RHS_SIGN {
        let levels = i32((1u << RHS_PLANES) - 1u);
        let offset = lhs_sums(rows, columns, segment);
        v.r0 = 2 * v.r0 - levels * offset.r0;
        v.r1 = 2 * v.r1 - levels * offset.r1;
        v.r2 = 2 * v.r2 - levels * offset.r2;
        v.r3 = 2 * v.r3 - levels * offset.r3;
    }
    return v;
}

// Sums of the codes of lhs over the elements of a segment that the mask of rhs keeps.
fn lhs_sums(rows: vec4<u32>, columns: vec4<u32>, segment: u32) -> Tile {
    if USE_ROW_SUMS {
        let at = rows * params.total_segments + segment;
        return Tile(
            vec4(row_sums[at.x]),
            vec4(row_sums[at.y]),
            vec4(row_sums[at.z]),
            vec4(row_sums[at.w]),
        );
    }
    let mask_at = rhs_start(columns, params.rhs_mask, segment);
    var sums = Tile();
    for (var p = 0u; p < LHS_PLANES; p++) {
        let l = lhs_start(rows, params.lhs_plane + p, segment);
        var c0 = vec4<u32>();
        var c1 = vec4<u32>();
        var c2 = vec4<u32>();
        var c3 = vec4<u32>();
        for (var w = 0u; w < params.words; w++) {
            var kept = ALL;
            if RHS_MASKED {
                kept = rhs_words(mask_at + w);
                if all(kept == vec4<u32>()) {
                    continue;
                }
            }
            let a = lhs_words(l + w);
            c0 += countOneBits(vec4(a.x) & kept);
            c1 += countOneBits(vec4(a.y) & kept);
            c2 += countOneBits(vec4(a.z) & kept);
            c3 += countOneBits(vec4(a.w) & kept);
        }
        sums = add_shifted(sums, c0, c1, c2, c3, p);
    }
    return sums;
}

fn pair_counts(a: vec4<u32>, b: vec4<u32>, mask: vec4<u32>) -> vec4<u32> {
    return countOneBits(a & b & mask);
}
