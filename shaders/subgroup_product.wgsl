//#import dispatch
//#import product_params
//#import register_tile
//#import plane_counts
// Products of packed operands where every subgroup has LANES lanes: one subgroup a workgroup, no workgroup memory.
// dst[i, j] = [dst +] sum over segments s of f32(v[s, i, j]) * (factor * lhs_scale * rhs_scale), or the sum of v itself,
// v = sum over p, q of 2^(p+q) popcount(a_p & b_q) for unit planes, twice that less n_rhs * (sum of a) where rhs has
// sign planes, and n_lhs n_rhs popcount(m) - 2 sum of 2^(p+q) popcount((a_p ^ b_q) & m) where both have, m the masks of both.
// Elements that the mask of rhs leaves out count nowhere, and its words of zeros cost no count.
// lhs: planes x m x row_words; rhs: planes x n x row_words, both read LOAD words at a time;
// dst: f32 or i32 bits at i * dst_row_stride + j * dst_col_stride.
// A lane owns the rows lane, lane + LANES, ... of the tile and COLUMNS columns, whose words the lanes load in turn and
// spread by shuffles. The tile is written out because drivers keep unrolled scalars in registers and arrays not.
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lhs: array<{{ "u32" if LOAD == 1 else "vec" ~ LOAD ~ "<u32>" }}>;
@group(0) @binding(2) var<storage, read> rhs: array<{{ "u32" if LOAD == 1 else "vec" ~ LOAD ~ "<u32>" }}>;
@group(0) @binding(3) var<storage, read> lhs_scale: array<f32>;
@group(0) @binding(4) var<storage, read> rhs_scale: array<f32>;
@group(0) @binding(5) var<storage, read_write> dst: array<{{ "vec4<u32>" if STORE == 4 else "u32" }}>;
{% set parts = {1: [""], 2: [".x", ".y"], 4: [".x", ".y", ".z", ".w"]}[LOAD] %}
{% set word = "u32" if LOAD == 1 else "vec" ~ LOAD ~ "<u32>" %}
{% set loads = (COLUMNS + LANES - 1) // LANES %}
{% set kept = "kept" if RHS_MASKED else "" %}
{% set weights = range(LHS_PLANES + RHS_PLANES - 1) %}

override ACCUMULATE: bool;

@compute @workgroup_size({{ LANES }})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    // Neighbors share their rows, whose words are then still in the cache.
    let column_tiles = (params.n + {{ COLUMNS - 1 }}u) / {{ COLUMNS }}u;
    let tile = linear_group(group, groups);
    let first_row = tile / column_tiles * {{ ROWS * LANES }}u;
    let first_column = tile % column_tiles * {{ COLUMNS }}u;
    if first_row >= params.m {
        return;
    }
    let row_words = params.row_words / {{ LOAD }}u;
{% if not SINGLE %}
    let steps = (params.words + {{ LOAD - 1 }}u) / {{ LOAD }}u;
{% endif %}
    // A row or column past the edge repeats the last one and is not stored.
{% for i in range(ROWS) %}
    let row{{ i }} = first_row + lane + {{ i * LANES }}u;
    let read_row{{ i }} = min(row{{ i }}, params.m - 1u);
{% for p in range(LHS_PLANES) %}
    let lhs{{ i }}_{{ p }} = ((params.lhs_plane + {{ p }}u) * params.m + read_row{{ i }}) * row_words;
{% endfor %}
{% if MASKED %}
    let mask{{ i }} = (params.lhs_mask * params.m + read_row{{ i }}) * row_words;
{% endif %}
{% endfor %}
{% for b in range(loads) %}
    let read_column{{ b }} = min(first_column + min(lane + {{ b * LANES }}u, {{ COLUMNS - 1 }}u), params.n - 1u);
{% for q in range(RHS_PLANES) %}
    let rhs{{ b }}_{{ q }} = ((params.rhs_plane + {{ q }}u) * params.n + read_column{{ b }}) * row_words;
{% endfor %}
{% if RHS_MASKED %}
    let rhs_mask{{ b }} = (params.rhs_mask * params.n + read_column{{ b }}) * row_words;
{% endif %}
{% endfor %}
{% for j in range(COLUMNS) %}
    let column{{ j }} = first_column + {{ j }}u;
{% endfor %}
{{ begin_sums() }}
    for (var s = params.first_segment; s < params.first_segment + params.segments; s++) {
        let begin = (s * params.segment_words + params.first_word) / {{ LOAD }}u;
{% for i in range(ROWS) %}{% for j in range(COLUMNS) %}{% for w in (weights if CARRY_SAVE else [0]) %}
        var count{{ i }}_{{ j }}_{{ w }} = 0u;
{%- if CARRY_SAVE %}
        var ones{{ i }}_{{ j }}_{{ w }} = 0u;
        var twos{{ i }}_{{ j }}_{{ w }} = 0u;
{%- endif %}
{%- endfor %}{% endfor %}{% endfor %}

{% for i in range(ROWS) if OFFSET %}{% for j in range(COLUMNS if RHS_MASKED else 1) %}
        var offset{{ i }}{{ "_" ~ j if RHS_MASKED else "" }} = 0u;
{%- endfor %}{% endfor %}

{% if SINGLE %}
        {
            let w = begin;
{% else %}
        for (var w = begin; w < begin + steps; w++) {
{% endif %}
{% for i in range(ROWS) %}
{% for p in range(LHS_PLANES) %}
            let a{{ i }}_{{ p }} = lhs[lhs{{ i }}_{{ p }} + w];
{% endfor %}
{% if MASKED %}
            let m{{ i }} = lhs[mask{{ i }} + w];
{% endif %}
{% if RHS_MASKED %}
{% elif OFFSET == 1 %}
            offset{{ i }} += {% for p in range(LHS_PLANES) %}{% for x in parts %}(countOneBits(a{{ i }}_{{ p }}{{ x }}) << {{ p }}u){{ "" if loop.last else " + " }}{% endfor %}{{ "" if loop.last else " + " }}{% endfor %};
{% elif OFFSET == 2 %}
            offset{{ i }} += {% for x in parts %}countOneBits(m{{ i }}{{ x }}){{ "" if loop.last else " + " }}{% endfor %};
{% endif %}
{% endfor %}
{% for b in range(loads) %}{% for q in range(RHS_PLANES) %}
            let spread{{ b }}_{{ q }} = rhs[rhs{{ b }}_{{ q }} + w];
{% endfor %}
{% if RHS_MASKED %}
            let mask_spread{{ b }} = rhs[rhs_mask{{ b }} + w];
{% endif %}
{% endfor %}
{% for j in range(COLUMNS) %}
            {
{% for q in range(RHS_PLANES) %}
                let b{{ q }} = {{ word }}({% for x in parts %}subgroupShuffle(spread{{ j // LANES }}_{{ q }}{{ x }}, {{ j % LANES }}u){{ "" if loop.last else ", " }}{% endfor %});
{% endfor %}
{% if RHS_MASKED %}
                let kept = {{ word }}({% for x in parts %}subgroupShuffle(mask_spread{{ j // LANES }}{{ x }}, {{ j % LANES }}u){{ "" if loop.last else ", " }}{% endfor %});
                // All lanes of the subgroup see the same words.
                if any(kept != {{ word }}()) {
{% for i in range(ROWS) if OFFSET %}
                offset{{ i }}_{{ j }} += {% if SIGN %}{% for x in parts %}countOneBits(kept{{ x }}{{ " & m" ~ i ~ x if MASKED else "" }}){{ "" if loop.last else " + " }}{% endfor %}{% else %}{% for p in range(LHS_PLANES) %}{% for x in parts %}(countOneBits(a{{ i }}_{{ p }}{{ x }} & kept{{ x }}) << {{ p }}u){{ "" if loop.last else " + " }}{% endfor %}{{ "" if loop.last else " + " }}{% endfor %}{% endif %};
{% endfor %}
{% endif %}
{% for i in range(ROWS) %}
{% if CARRY_SAVE %}
{% for p in range(LHS_PLANES) %}{% for q in range(RHS_PLANES) %}
{% set at = i ~ "_" ~ j ~ "_" ~ (p + q) %}
                {
                    let v = {{ paired(i, "a" ~ i ~ "_" ~ p, "b" ~ q, "", kept) }};
                    let u = ones{{ at }} ^ v.x;
                    let t1 = (ones{{ at }} & v.x) | (u & v.y);
                    let m = u ^ v.y;
                    let r = m ^ v.z;
                    let t2 = (m & v.z) | (r & v.w);
                    ones{{ at }} = r ^ v.w;
                    let s = twos{{ at }} ^ t1;
                    count{{ at }} += countOneBits((twos{{ at }} & t1) | (s & t2));
                    twos{{ at }} = s ^ t2;
                }
{% endfor %}{% endfor %}
{% else %}
                count{{ i }}_{{ j }}_0 += {% for w in weights %}(({% for p in range(LHS_PLANES) if w - p >= 0 and w - p < RHS_PLANES %}{% for x in parts %}countOneBits({{ paired(i, "a" ~ i ~ "_" ~ p, "b" ~ (w - p), x, kept) }}){{ "" if loop.last else " + " }}{% endfor %}{{ "" if loop.last else " + " }}{% endfor %}) << {{ w }}u){{ "" if loop.last else " + " }}{% endfor %};
{% endif %}
{% endfor %}
{% if RHS_MASKED %}
                }
{% endif %}
            }
{% endfor %}
        }
{{ segment_scales() }}
{% for i in range(ROWS) %}{% for j in range(COLUMNS) %}
        {
{% if CARRY_SAVE %}
            let count = {% for w in weights %}((4u * count{{ i }}_{{ j }}_{{ w }} + 2u * countOneBits(twos{{ i }}_{{ j }}_{{ w }}) + countOneBits(ones{{ i }}_{{ j }}_{{ w }})) << {{ w }}u){{ "" if loop.last else " + " }}{% endfor %};
{% else %}
            let count = count{{ i }}_{{ j }}_0;
{% endif %}
            let v = {{ segment_integer(i, "count", "_" ~ j if RHS_MASKED else "") }};
{{ add_segment(i, j, "v") }}
        }
{% endfor %}{% endfor %}
    }

{{ store_sums() }}
}
