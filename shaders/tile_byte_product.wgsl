//#import dispatch
//#import product_params
//#import register_tile
//#import byte_dots
// Products of operands of signed bytes by workgroups that share what they load through workgroup memory; needs no subgroups.
// v = sum of a * b over the elements of a segment, with FLOAT in f32, exact while sums stay below 2^24, otherwise by dot4.
// lhs: LHS_PARTS x m x row_words x 32 bytes; rhs: RHS_PARTS x n x row_words x 32 bytes, read 4 at a time with FLOAT, otherwise
// 16; an integer of two parts is twice the first and the second;
// dst: f32 or i32 bits at i * dst_row_stride + j * dst_col_stride.
// THREAD_ROWS x THREAD_COLUMNS invocations own ROWS x COLUMNS elements each, THREAD_ROWS rows and THREAD_COLUMNS columns
// apart, so that neighbors read neighboring vectors. A step brings DEPTH loads of every row and column.
{% set word = "u32" if FLOAT else "vec4<u32>" %}
{% set held = "vec4<f32>" if FLOAT else "vec4<u32>" %}
{% set zero = "0f" if FLOAT else "0i" %}
{% set elements = 4 if FLOAT else 16 %}
// Vectors of an integer in workgroup memory: floats are whole.
{% set left_kept, right_kept = 1 if FLOAT else LHS_PARTS, 1 if FLOAT else RHS_PARTS %}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lhs: array<{{ word }}>;
@group(0) @binding(2) var<storage, read> rhs: array<{{ word }}>;
@group(0) @binding(3) var<storage, read> lhs_scale: array<f32>;
@group(0) @binding(4) var<storage, read> rhs_scale: array<f32>;
@group(0) @binding(5) var<storage, read_write> dst: array<u32>;
{% set threads = THREAD_ROWS * THREAD_COLUMNS %}
{% set tile_rows, tile_columns = THREAD_ROWS * ROWS, THREAD_COLUMNS * COLUMNS %}
{% set left_sweeps = (tile_rows * DEPTH + threads - 1) // threads %}
{% set right_sweeps = (tile_columns * DEPTH + threads - 1) // threads %}
{% set sweep = threads // DEPTH %}
// The loads of one depth start PAD vectors further than they need to, against bank conflicts of the writes.
{% set left_stride, right_stride = tile_rows + PAD, tile_columns + PAD %}

override ACCUMULATE: bool;

var<workgroup> left_values: array<{{ held }}, {{ left_kept * DEPTH * left_stride }}>;
var<workgroup> right_values: array<{{ held }}, {{ right_kept * DEPTH * right_stride }}>;

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
    let row_loads = params.row_words * {{ 32 // elements }}u;
    let left_part = params.m * row_loads;
    let right_part = params.n * row_loads;
    let steps = (params.k + {{ elements - 1 }}u) / {{ elements }}u;
    let thread_row = local / {{ THREAD_COLUMNS }}u;
    let thread_column = local % {{ THREAD_COLUMNS }}u;
{% for i in range(ROWS) %}
    let row{{ i }} = first_row + thread_row + {{ i * THREAD_ROWS }}u;
    let read_row{{ i }} = min(row{{ i }}, params.m - 1u);
{% endfor %}
{% for j in range(COLUMNS) %}
    let column{{ j }} = first_column + thread_column + {{ j * THREAD_COLUMNS }}u;
{% endfor %}
    // What an invocation brings: one depth of some rows and columns.
    let depth = local % {{ DEPTH }}u;
{% for u in range(left_sweeps) %}
    let left_row{{ u }} = local / {{ DEPTH }}u + {{ u * sweep }}u;
    let left_from{{ u }} = min(first_row + left_row{{ u }}, params.m - 1u) * row_loads;
{% endfor %}
{% for u in range(right_sweeps) %}
    let right_row{{ u }} = local / {{ DEPTH }}u + {{ u * sweep }}u;
    let right_from{{ u }} = min(first_column + right_row{{ u }}, params.n - 1u) * row_loads;
{% endfor %}
{{ begin_sums() }}
    for (var s = params.first_segment; s < params.first_segment + params.segments; s++) {
        let begin = (s * params.segment_words + params.first_word) * {{ 32 // elements }}u;
{% for i in range(ROWS) %}{% for j in range(COLUMNS) %}
        var v{{ i }}_{{ j }} = {{ zero }};
{%- endfor %}{% endfor %}

        for (var first = 0u; first < steps; first += {{ DEPTH }}u) {
            let inside = first + depth < steps;
            let at = begin + min(first + depth, steps - 1u);
            // Everyone has read the values of the step before.
            workgroupBarrier();
{% for side, operand, count, sweeps, edge, stride in [("left", "lhs", LHS_PARTS, left_sweeps, tile_rows, left_stride), ("right", "rhs", RHS_PARTS, right_sweeps, tile_columns, right_stride)] %}
{% for u in range(sweeps) %}
            if {{ side }}_row{{ u }} < {{ edge }}u {
                let to = depth * {{ stride }}u + {{ side }}_row{{ u }};
{% for p in range(count) %}
                let word_{{ p }} = select({{ word }}(), {{ operand }}[{{ side }}_from{{ u }} + {{ p }}u * {{ side }}_part + at], inside);
{% if not FLOAT %}
                {{ side }}_values[{{ p * DEPTH * stride }}u + to] = word_{{ p }};
{% endif %}
{% endfor %}
{% if FLOAT %}
                {{ side }}_values[to] = {{ floats("word", "", count) }};
{% endif %}
            }
{% endfor %}
{% endfor %}
            workgroupBarrier();
{% for d in range(DEPTH) %}
            {
{% for p in range(left_kept) %}{% for i in range(ROWS) %}
                let a{{ i }}_{{ p }} = left_values[{{ (p * DEPTH + d) * left_stride + i * THREAD_ROWS }}u + thread_row];
{% endfor %}{% endfor %}
{% for j in range(COLUMNS) %}
                {
{% for q in range(right_kept) %}
                    let b{{ q }} = right_values[{{ (q * DEPTH + d) * right_stride + j * THREAD_COLUMNS }}u + thread_column];
{% endfor %}
{% for i in range(ROWS) %}
{% if FLOAT %}
{% for x in parts %}
                    v{{ i }}_{{ j }} = fma(a{{ i }}_0.{{ x }}, b0.{{ x }}, v{{ i }}_{{ j }});
{% endfor %}
{% else %}
                    v{{ i }}_{{ j }} += {{ dots("a" ~ i ~ "_", "b") }};
{% endif %}
{% endfor %}
                }
{% endfor %}
            }
{% endfor %}
        }
{{ segment_scales() }}
{% for i in range(ROWS) %}{% for j in range(COLUMNS) %}
{{ add_segment(i, j, "v" ~ i ~ "_" ~ j) }}
{% endfor %}{% endfor %}
    }

{{ store_sums() }}
}
