//#import dispatch
// sums[row, segment] = sum over the segment's elements of their codes = sum over p of 2^p
// popcount(planes[first_plane + p, row, segment]).
// planes: at least first_plane + BITS planes of rows x (segments * segment_words), pad bits zero; sums: rows x segments.
// One invocation sums one segment of one row.
struct Params {
    rows: u32,
    segments: u32,
    // Vectors of a segment's words.
    segment_vectors: u32,
    first_plane: u32,
}

alias Words = {{ "u32" if VECTOR == 1 else "vec" ~ VECTOR ~ "<u32>" }};

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> planes: array<Words>;
@group(0) @binding(2) var<storage, read_write> sums: array<i32>;

override WORKGROUP: u32;
override BITS: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let total = params.rows * params.segments;
    if index >= total {
        return;
    }
    var sum = 0u;
    for (var plane = 0u; plane < BITS; plane++) {
        let start = ((params.first_plane + plane) * total + index) * params.segment_vectors;
        var ones = Words(0u);
        for (var vector = 0u; vector < params.segment_vectors; vector++) {
            ones += countOneBits(planes[start + vector]);
        }
        sum += ({{ "ones" if VECTOR == 1 else "ones.x + ones.y" if VECTOR == 2 else "ones.x + ones.y + ones.z + ones.w" }}) << plane;
    }
    sums[index] = i32(sum);
}
