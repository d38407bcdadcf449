//#import dispatch
//#import product_params
//#import register_tile
//#import plane_counts
// Products of packed operands by workgroups that share what they load through workgroup memory; needs no subgroups.
// v = sum over p, q of 2^(p+q) popcount(a_p & b_q) for unit planes, twice that less n_rhs * (sum of a) where rhs has
// sign planes, and n_lhs n_rhs popcount(m) - 2 sum of 2^(p+q) popcount((a_p ^ b_q) & m) where both have, m the mask of lhs.
// lhs: planes x m x row_words; rhs: planes x n x row_words, both read LOAD words at a time;
// dst: f32 or i32 bits at i * dst_row_stride + j * dst_col_stride.
// THREAD_ROWS x THREAD_COLUMNS invocations own ROWS x COLUMNS elements each, THREAD_ROWS rows and THREAD_COLUMNS columns
// apart, so that neighbors read neighboring vectors. A step brings DEPTH loads of every row, column and plane.
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lhs: array<{{ "u32" if LOAD == 1 else "vec" ~ LOAD ~ "<u32>" }}>;
@group(0) @binding(2) var<storage, read> rhs: array<{{ "u32" if LOAD == 1 else "vec" ~ LOAD ~ "<u32>" }}>;
@group(0) @binding(3) var<storage, read> lhs_scale: array<f32>;
@group(0) @binding(4) var<storage, read> rhs_scale: array<f32>;
@group(0) @binding(5) var<storage, read_write> dst: array<u32>;
{% set word = "u32" if LOAD == 1 else "vec" ~ LOAD ~ "<u32>" %}
{% set parts = {1: [""], 2: [".x", ".y"], 4: [".x", ".y", ".z", ".w"]}[LOAD] %}
{% set threads = THREAD_ROWS * THREAD_COLUMNS %}
{% set tile_rows, tile_columns = THREAD_ROWS * ROWS, THREAD_COLUMNS * COLUMNS %}
{% set left_sweeps = (tile_rows * DEPTH + threads - 1) // threads %}
{% set right_sweeps = (tile_columns * DEPTH + threads - 1) // threads %}
{% set sweep = threads // DEPTH %}
// The loads of one depth start PAD vectors further than they need to, against bank conflicts of the writes.
{% set left_stride, right_stride = tile_rows + PAD, tile_columns + PAD %}
// Planes of lhs, written out or in a loop where the body would grow too long.
{% set planes = ["plane"] if ROLLED else range(LHS_PLANES) %}
{% set weights = range(LHS_PLANES + RHS_PLANES - 1) %}

override ACCUMULATE: bool;

var<workgroup> left_words: array<{{ word }}, {{ (LHS_PLANES + MASKED) * DEPTH * left_stride }}>;
var<workgroup> right_words: array<{{ word }}, {{ RHS_PLANES * DEPTH * right_stride }}>;
{% if OFFSET %}
// Offsets of the rows, summed over all segments so far.
var<workgroup> offsets: array<atomic<u32>, {{ tile_rows }}>;
{% endif %}

@compute @workgroup_size({{ threads }})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let column_tiles = (params.n + {{ tile_columns - 1 }}u) / {{ tile_columns }}u;
    let tile = linear_group(group, groups);
    let first_row = tile / column_tiles * {{ tile_rows }}u;
    let first_column = tile % column_tiles * {{ tile_columns }}u;
    if first_row >= params.m {
        return;
    }
    let row_words = params.row_words / {{ LOAD }}u;
    let steps = (params.words + {{ LOAD - 1 }}u) / {{ LOAD }}u;
    let left_plane = params.m * row_words;
    let right_plane = params.n * row_words;
    let thread_row = local / {{ THREAD_COLUMNS }}u;
    let thread_column = local % {{ THREAD_COLUMNS }}u;
{% for i in range(ROWS) %}
    let row{{ i }} = first_row + thread_row + {{ i * THREAD_ROWS }}u;
    let read_row{{ i }} = min(row{{ i }}, params.m - 1u);
{% if OFFSET %}
    var seen{{ i }} = 0u;
{% endif %}
{% endfor %}
{% for j in range(COLUMNS) %}
    let column{{ j }} = first_column + thread_column + {{ j * THREAD_COLUMNS }}u;
{% endfor %}
    // What an invocation brings: one depth of some rows and columns.
    let depth = local % {{ DEPTH }}u;
{% for u in range(left_sweeps) %}
    let left_row{{ u }} = local / {{ DEPTH }}u + {{ u * sweep }}u;
    let left_from{{ u }} = min(first_row + left_row{{ u }}, params.m - 1u) * row_words + params.lhs_plane * left_plane;
{% if MASKED %}
    let mask_from{{ u }} = min(first_row + left_row{{ u }}, params.m - 1u) * row_words + params.lhs_mask * left_plane;
{% endif %}
{% endfor %}
{% for u in range(right_sweeps) %}
    let right_row{{ u }} = local / {{ DEPTH }}u + {{ u * sweep }}u;
    let right_from{{ u }} = min(first_column + right_row{{ u }}, params.n - 1u) * row_words + params.rhs_plane * right_plane;
{% endfor %}
{{ begin_sums() }}
    for (var s = params.first_segment; s < params.first_segment + params.segments; s++) {
        let begin = (s * params.segment_words + params.first_word) / {{ LOAD }}u;
{% for i in range(ROWS) %}{% for j in range(COLUMNS) %}{% for w in (weights if CARRY_SAVE else [0]) %}
        var count{{ i }}_{{ j }}_{{ w }} = 0u;
{%- if CARRY_SAVE %}
        var ones{{ i }}_{{ j }}_{{ w }} = 0u;
{%- endif %}
{%- endfor %}{% endfor %}{% endfor %}

{% for u in range(left_sweeps) if OFFSET %}
        var offset_part{{ u }} = 0u;
{% endfor %}
        for (var first = 0u; first < steps; first += {{ DEPTH }}u) {
            let inside = first + depth < steps;
            let at = begin + min(first + depth, steps - 1u);
            // Everyone has read the words of the step before.
            workgroupBarrier();
{% for u in range(left_sweeps) %}
            if left_row{{ u }} < {{ tile_rows }}u {
                let to = depth * {{ left_stride }}u + left_row{{ u }};
{% for p in range(LHS_PLANES) %}
                let a{{ p }} = select({{ word }}(), lhs[left_from{{ u }} + {{ p }}u * left_plane + at], inside);
                left_words[{{ p * DEPTH * left_stride }}u + to] = a{{ p }};
{% if OFFSET == 1 %}
                offset_part{{ u }} += ({% for x in parts %}countOneBits(a{{ p }}{{ x }}){{ "" if loop.last else " + " }}{% endfor %}) << {{ p }}u;
{% endif %}
{% endfor %}
{% if MASKED %}
                let kept = select({{ word }}(), lhs[mask_from{{ u }} + at], inside);
                left_words[{{ LHS_PLANES * DEPTH * left_stride }}u + to] = kept;
                offset_part{{ u }} += {% for x in parts %}countOneBits(kept{{ x }}){{ "" if loop.last else " + " }}{% endfor %};
{% endif %}
            }
{% endfor %}
{% for u in range(right_sweeps) %}
            if right_row{{ u }} < {{ tile_columns }}u {
                let to = depth * {{ right_stride }}u + right_row{{ u }};
{% for q in range(RHS_PLANES) %}
                right_words[{{ q * DEPTH * right_stride }}u + to] = select({{ word }}(), rhs[right_from{{ u }} + {{ q }}u * right_plane + at], inside);
{% endfor %}
            }
{% endfor %}
            workgroupBarrier();
            for (var d = 0u; d < {{ DEPTH }}u; d++) {
{% if MASKED %}
{% for i in range(ROWS) %}
                let m{{ i }} = left_words[({{ LHS_PLANES * DEPTH }}u + d) * {{ left_stride }}u + thread_row + {{ i * THREAD_ROWS }}u];
{% endfor %}
{% endif %}
{% if ROLLED %}
                for (var plane = 0u; plane < {{ LHS_PLANES }}u; plane++) {
{% else %}
                {
{% endif %}
{% for p in planes %}{% for i in range(ROWS) %}
                    let a{{ i }}_{{ p }} = left_words[({{ p }} * {{ DEPTH }}u + d) * {{ left_stride }}u + thread_row + {{ i * THREAD_ROWS }}u];
{% endfor %}{% endfor %}
{% for j in range(COLUMNS) %}
                    {
{% for q in range(RHS_PLANES) %}
                        let b{{ q }} = right_words[({{ q * DEPTH }}u + d) * {{ right_stride }}u + thread_column + {{ j * THREAD_COLUMNS }}u];
{% endfor %}
{% for i in range(ROWS) %}
{% if CARRY_SAVE %}
{% for p in planes %}{% for q in range(RHS_PLANES) %}
{% set at = i ~ "_" ~ j ~ "_" ~ (p + q) %}
                        {
                            let v = {{ paired(i, "a" ~ i ~ "_" ~ p, "b" ~ q) }};
                            let half = ones{{ at }} ^ v.x;
                            count{{ at }} += countOneBits((ones{{ at }} & v.x) | (half & v.y));
                            ones{{ at }} = half ^ v.y;
{% if LOAD == 4 %}
                            let rest = ones{{ at }} ^ v.z;
                            count{{ at }} += countOneBits((ones{{ at }} & v.z) | (rest & v.w));
                            ones{{ at }} = rest ^ v.w;
{% endif %}
                        }
{% endfor %}{% endfor %}
{% else %}
                        count{{ i }}_{{ j }}_0 += {% for p in planes %}{% for q in range(RHS_PLANES) %}(({% for x in parts %}countOneBits({{ paired(i, "a" ~ i ~ "_" ~ p, "b" ~ q, x) }}){{ "" if loop.last else " + " }}{% endfor %}) << ({{ p }} + {{ q }}u)){{ "" if loop.last else " + " }}{% endfor %}{{ "" if loop.last else " + " }}{% endfor %};
{% endif %}
{% endfor %}
                    }
{% endfor %}
                }
            }
        }
{% if OFFSET %}
{% for u in range(left_sweeps) %}
        if left_row{{ u }} < {{ tile_rows }}u {
            atomicAdd(&offsets[left_row{{ u }}], offset_part{{ u }});
        }
{% endfor %}
        // The next segment adds behind two more barriers, when everyone has read.
        workgroupBarrier();
{% for i in range(ROWS) %}
        let total{{ i }} = atomicLoad(&offsets[thread_row + {{ i * THREAD_ROWS }}u]);
        let offset{{ i }} = total{{ i }} - seen{{ i }};
        seen{{ i }} = total{{ i }};
{% endfor %}
{% endif %}
{{ segment_scales() }}
{% for i in range(ROWS) %}{% for j in range(COLUMNS) %}
        {
{% if CARRY_SAVE %}
            let count = {% for w in weights %}((2u * count{{ i }}_{{ j }}_{{ w }} + countOneBits(ones{{ i }}_{{ j }}_{{ w }})) << {{ w }}u){{ "" if loop.last else " + " }}{% endfor %};
{% else %}
            let count = count{{ i }}_{{ j }}_0;
{% endif %}
            let v = {{ segment_integer(i, "count") }};
{{ add_segment(i, j, "v") }}
        }
{% endfor %}{% endfor %}
    }

{{ store_sums() }}
}
