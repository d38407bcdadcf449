//#import dispatch
//#import product_params
//#import register_tile
//#import byte_dots
// Products of operands of signed bytes where every subgroup has LANES lanes: one subgroup a workgroup, no workgroup memory.
// v = sum of a * b over the elements of a segment, with FLOAT in f32, exact while sums stay below 2^24, otherwise by dot4.
// lhs: LHS_PARTS x m x row_words x 2 vectors of 16 bytes; rhs: RHS_PARTS x n x row_words x 2 vectors; an integer of two
// parts is twice the first and the second;
// dst: f32 or i32 bits at i * dst_row_stride + j * dst_col_stride.
// A lane owns the rows lane, lane + LANES, ... of the tile and COLUMNS columns, whose bytes the lanes load in turn and
// spread by shuffles.
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lhs: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> rhs: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> lhs_scale: array<f32>;
@group(0) @binding(4) var<storage, read> rhs_scale: array<f32>;
@group(0) @binding(5) var<storage, read_write> dst: array<{{ "vec4<u32>" if STORE == 4 else "u32" }}>;
{% set loads = (COLUMNS + LANES - 1) // LANES %}
{% set zero = "0f" if FLOAT else "0i" %}

override ACCUMULATE: bool;

@compute @workgroup_size({{ LANES }})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    // Neighbors share their rows, whose bytes are then still in the cache.
    let column_tiles = (params.n + {{ COLUMNS - 1 }}u) / {{ COLUMNS }}u;
    let tile = linear_group(group, groups);
    let first_row = tile / column_tiles * {{ ROWS * LANES }}u;
    let first_column = tile % column_tiles * {{ COLUMNS }}u;
    if first_row >= params.m {
        return;
    }
    let row_vectors = 2u * params.row_words;
    let left_part = params.m * row_vectors;
    let right_part = params.n * row_vectors;
    let steps = (params.k + 15u) / 16u;
{% for i in range(ROWS) %}
    let row{{ i }} = first_row + lane + {{ i * LANES }}u;
    let read_row{{ i }} = min(row{{ i }}, params.m - 1u);
    let lhs{{ i }} = read_row{{ i }} * row_vectors;
{% endfor %}
{% for b in range(loads) %}
    let rhs{{ b }} = min(first_column + min(lane + {{ b * LANES }}u, {{ COLUMNS - 1 }}u), params.n - 1u) * row_vectors;
{% endfor %}
{% for j in range(COLUMNS) %}
    let column{{ j }} = first_column + {{ j }}u;
{% endfor %}
{{ begin_sums() }}
    for (var s = params.first_segment; s < params.first_segment + params.segments; s++) {
        let begin = 2u * (s * params.segment_words + params.first_word);
{% for i in range(ROWS) %}{% for j in range(COLUMNS) %}
        var v{{ i }}_{{ j }} = {{ zero }};
{%- endfor %}{% endfor %}

        for (var w = begin; w < begin + steps; w++) {
{% for i in range(ROWS) %}
{% for p in range(LHS_PARTS) %}
            let a{{ i }}_{{ p }} = lhs[lhs{{ i }} + {{ p }}u * left_part + w];
{% endfor %}
{% endfor %}
{% for b in range(loads) %}
{% for q in range(RHS_PARTS) %}
            let spread{{ b }}_{{ q }} = rhs[rhs{{ b }} + {{ q }}u * right_part + w];
{% endfor %}
{% endfor %}
{% if FLOAT %}
{% for x in parts %}
            {
{% for i in range(ROWS) %}
                let f{{ i }} = {{ floats("a" ~ i, "." ~ x, LHS_PARTS) }};
{% endfor %}
{% for b in range(loads) %}
                let g{{ b }} = {{ floats("spread" ~ b, "." ~ x, RHS_PARTS) }};
{% endfor %}
{% for j in range(COLUMNS) %}
                {
{% for e in parts %}
                    let b{{ e }} = subgroupShuffle(g{{ j // LANES }}.{{ e }}, {{ j % LANES }}u);
{% for i in range(ROWS) %}
                    v{{ i }}_{{ j }} = fma(f{{ i }}.{{ e }}, b{{ e }}, v{{ i }}_{{ j }});
{% endfor %}
{% endfor %}
                }
{% endfor %}
            }
{% endfor %}
{% else %}
{% for j in range(COLUMNS) %}
            {
{% for q in range(RHS_PARTS) %}
                let b{{ q }} = vec4({% for x in parts %}subgroupShuffle(spread{{ j // LANES }}_{{ q }}.{{ x }}, {{ j % LANES }}u){{ "" if loop.last else ", " }}{% endfor %});
{% endfor %}
{% for i in range(ROWS) %}
                v{{ i }}_{{ j }} += {{ dots("a" ~ i ~ "_", "b") }};
{% endfor %}
            }
{% endfor %}
{% endif %}
        }
{{ segment_scales() }}
{% for i in range(ROWS) %}{% for j in range(COLUMNS) %}
{{ add_segment(i, j, "v" ~ i ~ "_" ~ j) }}
{% endfor %}{% endfor %}
    }

{{ store_sums() }}
}
