//#import product_params
// What products of packed operands share: the tiling, the segments, the scales and the store.
//
// dst[i, j] = [dst +] sum over segments s in order of f32(v[s, i, j]) * (factor * lhs_scale * rhs_scale),
// where v is the integer product of row i of lhs and row j of rhs over the words of segment s, which the
// importing shader's segment_tile() gives; its pair_counts() counts the ones of one pair of planes. With
// OUTPUT_I32, dst[i, j] = [dst +] sum of v[s, i, j].
//
// One invocation owns 4 x 4 elements of dst, kept as 4 rows of vec4. Neighboring invocations differ in their
// rows, so that they read the same words of rhs. A tile past the edge repeats the last row or column and does
// not store it.
struct Tile {
    r0: vec4<i32>,
    r1: vec4<i32>,
    r2: vec4<i32>,
    r3: vec4<i32>,
}

struct Sums {
    r0: vec4<f32>,
    r1: vec4<f32>,
    r2: vec4<f32>,
    r3: vec4<f32>,
}

// What a scale is indexed by, after division by its divisor.
const BY_ROW = 1u;
const BY_COLUMN = 2u;
const BY_SEGMENT = 3u;

const ALL = vec4<u32>(0xffffffffu);
const LANES = vec4<u32>(0u, 1u, 2u, 3u);

fn product_tile(index: u32) {
    let row_tiles = (params.m + 3u) / 4u;
    if index >= row_tiles * ((params.n + 3u) / 4u) {
        return;
    }
    let row = index % row_tiles * 4u;
    let column = index / row_tiles * 4u;
    let rows = min(row + LANES, vec4(params.m - 1u));
    let columns = min(column + LANES, vec4(params.n - 1u));
    var sums = Sums();
    var totals = Tile();
    if ACCUMULATE {
        let old0 = read_row(rows.x, columns);
        let old1 = read_row(rows.y, columns);
        let old2 = read_row(rows.z, columns);
        let old3 = read_row(rows.w, columns);
        sums = Sums(
            bitcast<vec4<f32>>(old0),
            bitcast<vec4<f32>>(old1),
            bitcast<vec4<f32>>(old2),
            bitcast<vec4<f32>>(old3),
        );
        totals = Tile(
            bitcast<vec4<i32>>(old0),
            bitcast<vec4<i32>>(old1),
            bitcast<vec4<i32>>(old2),
            bitcast<vec4<i32>>(old3),
        );
    }
    for (var s = 0u; s < params.segments; s++) {
        let segment = params.first_segment + s;
        let v = segment_tile(rows, columns, segment);
        if OUTPUT_I32 {
            totals = Tile(totals.r0 + v.r0, totals.r1 + v.r1, totals.r2 + v.r2, totals.r3 + v.r3);
        } else {
            sums.r0 += vec4<f32>(v.r0) * row_scales(rows.x, columns, segment);
            sums.r1 += vec4<f32>(v.r1) * row_scales(rows.y, columns, segment);
            sums.r2 += vec4<f32>(v.r2) * row_scales(rows.z, columns, segment);
            sums.r3 += vec4<f32>(v.r3) * row_scales(rows.w, columns, segment);
        }
    }
    write_row(row, column, sums.r0, totals.r0);
    write_row(row + 1u, column, sums.r1, totals.r1);
    write_row(row + 2u, column, sums.r2, totals.r2);
    write_row(row + 3u, column, sums.r3, totals.r3);
}

// The words of four rows of an operand at their four indices.
fn lhs_words(at: vec4<u32>) -> vec4<u32> {
    return vec4(lhs[at.x], lhs[at.y], lhs[at.z], lhs[at.w]);
}

fn rhs_words(at: vec4<u32>) -> vec4<u32> {
    return vec4(rhs[at.x], rhs[at.y], rhs[at.z], rhs[at.w]);
}

// Words of four rows in the planes of one step; planes past the step are zero.
struct Planes {
    p0: vec4<u32>,
    p1: vec4<u32>,
    p2: vec4<u32>,
    p3: vec4<u32>,
}

fn lhs_planes(at: vec4<u32>) -> Planes {
    let stride = params.m * params.row_words;
    var planes = Planes(lhs_words(at), vec4<u32>(), vec4<u32>(), vec4<u32>());
    if LHS_STEP >= 2u {
        planes.p1 = lhs_words(at + stride);
    }
    if LHS_STEP == 4u {
        planes.p2 = lhs_words(at + 2u * stride);
        planes.p3 = lhs_words(at + 3u * stride);
    }
    return planes;
}

fn rhs_planes(at: vec4<u32>) -> Planes {
    let stride = params.n * params.row_words;
    var planes = Planes(rhs_words(at), vec4<u32>(), vec4<u32>(), vec4<u32>());
    if RHS_STEP >= 2u {
        planes.p1 = rhs_words(at + stride);
    }
    if RHS_STEP == 4u {
        planes.p2 = rhs_words(at + 2u * stride);
        planes.p3 = rhs_words(at + 3u * stride);
    }
    return planes;
}

// Sum over the planes of a step of 2^(p+q) times the counts of plane p of one row with plane q of four
// columns.
fn step_counts(a: vec4<u32>, b: Planes, mask: vec4<u32>) -> vec4<u32> {
    var counts = plane_counts(a.x, b, mask);
    if LHS_STEP >= 2u {
        counts += 2u * plane_counts(a.y, b, mask);
    }
    if LHS_STEP == 4u {
        counts += 4u * plane_counts(a.z, b, mask) + 8u * plane_counts(a.w, b, mask);
    }
    return counts;
}

fn plane_counts(a: u32, b: Planes, mask: vec4<u32>) -> vec4<u32> {
    var counts = pair_counts(vec4(a), b.p0, mask);
    if RHS_STEP >= 2u {
        counts += 2u * pair_counts(vec4(a), b.p1, mask);
    }
    if RHS_STEP == 4u {
        counts += 4u * pair_counts(vec4(a), b.p2, mask) + 8u * pair_counts(vec4(a), b.p3, mask);
    }
    return counts;
}

// Indices of the first words of four rows in one plane and segment.
fn lhs_start(rows: vec4<u32>, plane: u32, segment: u32) -> vec4<u32> {
    return (plane * params.m + rows) * params.row_words + first_of(segment);
}

fn rhs_start(columns: vec4<u32>, plane: u32, segment: u32) -> vec4<u32> {
    return (plane * params.n + columns) * params.row_words + first_of(segment);
}

fn first_of(segment: u32) -> u32 {
    return segment * params.segment_words + params.first_word;
}

// v plus counts of the weight 2^shift.
fn add_shifted(v: Tile, c0: vec4<u32>, c1: vec4<u32>, c2: vec4<u32>, c3: vec4<u32>, shift: u32) -> Tile {
    let by = vec4(shift);
    return Tile(
        v.r0 + vec4<i32>(c0 << by),
        v.r1 + vec4<i32>(c1 << by),
        v.r2 + vec4<i32>(c2 << by),
        v.r3 + vec4<i32>(c3 << by),
    );
}

// factor * lhs_scale * rhs_scale of four elements of one row.
fn row_scales(row: u32, columns: vec4<u32>, segment: u32) -> vec4<f32> {
    var left = vec4<f32>();
    if LHS_SCALE_BY == BY_COLUMN {
        let at = columns / params.lhs_div;
        left = vec4(lhs_scale[at.x], lhs_scale[at.y], lhs_scale[at.z], lhs_scale[at.w]);
    } else {
        left = vec4(lhs_scale[scale_index(LHS_SCALE_BY, row, segment) / params.lhs_div]);
    }
    var right = vec4<f32>();
    if RHS_SCALE_BY == BY_COLUMN {
        let at = columns / params.rhs_div;
        right = vec4(rhs_scale[at.x], rhs_scale[at.y], rhs_scale[at.z], rhs_scale[at.w]);
    } else {
        right = vec4(rhs_scale[scale_index(RHS_SCALE_BY, row, segment) / params.rhs_div]);
    }
    return params.factor * left * right;
}

fn scale_index(by: u32, row: u32, segment: u32) -> u32 {
    return select(select(0u, segment, by == BY_SEGMENT), row, by == BY_ROW);
}

fn read_row(row: u32, columns: vec4<u32>) -> vec4<u32> {
    let at = row * params.dst_row_stride + columns * params.dst_col_stride;
    return vec4(dst[at.x], dst[at.y], dst[at.z], dst[at.w]);
}

fn write_row(row: u32, column: u32, sums: vec4<f32>, totals: vec4<i32>) {
    let words = select(bitcast<vec4<u32>>(sums), bitcast<vec4<u32>>(totals), OUTPUT_I32);
    let at = row * params.dst_row_stride + column * params.dst_col_stride;
    if row < params.m {
        if column < params.n {
            dst[at] = words.x;
        }
        if column + 1u < params.n {
            dst[at + params.dst_col_stride] = words.y;
        }
        if column + 2u < params.n {
            dst[at + 2u * params.dst_col_stride] = words.z;
        }
        if column + 3u < params.n {
            dst[at + 3u * params.dst_col_stride] = words.w;
        }
    }
}
