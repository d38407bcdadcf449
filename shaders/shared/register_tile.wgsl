// The ends of a product whose register tile is written out: what is before the sum over segments and what is behind it.
// The template that imports this has declared row, read_row and column of each of ROWS x COLUMNS elements that an
// invocation owns; a row or column past the edge repeats the last one and is not stored.
// dst[i, j] = [dst +] sum over segments s of f32(v[s, i, j]) * (factor * lhs_scale * rhs_scale), or the sum of v itself.
{% set one, row, column, segment = 0, 1, 2, 3 %}
{% set number = "i32" if INTEGER else "f32" %}
{% macro begin_sums() %}
{% for j in range(COLUMNS) %}
{% if RHS_BY == column or LHS_BY == column %}
    let scaled{{ j }} = min(column{{ j }}, params.n - 1u);
{% endif %}
{% endfor %}
{% for i in range(ROWS) %}{% for j in range(COLUMNS) %}
    var sum{{ i }}_{{ j }} = {{ "0i" if INTEGER else "0f" }};
{%- endfor %}{% endfor %}

    if ACCUMULATE {
{% for i in range(ROWS) %}
        if row{{ i }} < params.m {
            let at = row{{ i }} * params.dst_row_stride;
{% if STORE == 4 %}
{% for j in range(0, COLUMNS, 4) %}
            if column{{ j }} < params.n {
                let old = bitcast<vec4<{{ number }}>>(dst[(at + column{{ j }}) / 4u]);
                sum{{ i }}_{{ j }} = old.x;
                sum{{ i }}_{{ j + 1 }} = old.y;
                sum{{ i }}_{{ j + 2 }} = old.z;
                sum{{ i }}_{{ j + 3 }} = old.w;
            }
{% endfor %}
{% else %}
{% for j in range(COLUMNS) %}
            if column{{ j }} < params.n {
                sum{{ i }}_{{ j }} = bitcast<{{ number }}>(dst[at + column{{ j }} * params.dst_col_stride]);
            }
{% endfor %}
{% endif %}
        }
{% endfor %}
    }
{% if not INTEGER %}
{% for i in range(ROWS) if LHS_BY == row %}
    let left{{ i }} = params.factor * lhs_scale[read_row{{ i }} / params.lhs_div];
{% endfor %}
{% for j in range(COLUMNS) if LHS_BY == column %}
    let left{{ j }} = params.factor * lhs_scale[scaled{{ j }} / params.lhs_div];
{% endfor %}
{% if LHS_BY == one %}
    let left = params.factor * lhs_scale[0];
{% endif %}
{% for i in range(ROWS) if RHS_BY == row %}
    let right{{ i }} = rhs_scale[read_row{{ i }} / params.rhs_div];
{% endfor %}
{% for j in range(COLUMNS) if RHS_BY == column %}
    let right{{ j }} = rhs_scale[scaled{{ j }} / params.rhs_div];
{% endfor %}
{% if RHS_BY == one %}
    let right = rhs_scale[0];
{% endif %}
{% endif %}
{% endmacro %}
{% macro segment_scales() %}
{% if not INTEGER %}
{% if LHS_BY == segment %}
        let left = params.factor * lhs_scale[s / params.lhs_div];
{% endif %}
{% if RHS_BY == segment %}
        let right = rhs_scale[s / params.rhs_div];
{% endif %}
{% endif %}
{% endmacro %}
{% macro add_segment(i, j, v) %}
{% if INTEGER %}
            sum{{ i }}_{{ j }} += i32({{ v }});
{% else %}
            sum{{ i }}_{{ j }} += f32({{ v }}) * (left{{ {0: "", 1: i, 2: j, 3: ""}[LHS_BY] }} * right{{ {0: "", 1: i, 2: j, 3: ""}[RHS_BY] }});
{% endif %}
{% endmacro %}
{% macro store_sums() %}
{% for i in range(ROWS) %}
    if row{{ i }} < params.m {
        let at = row{{ i }} * params.dst_row_stride;
{% if STORE == 4 %}
{% for j in range(0, COLUMNS, 4) %}
        if column{{ j }} < params.n {
            dst[(at + column{{ j }}) / 4u] = bitcast<vec4<u32>>(vec4(sum{{ i }}_{{ j }}, sum{{ i }}_{{ j + 1 }}, sum{{ i }}_{{ j + 2 }}, sum{{ i }}_{{ j + 3 }}));
        }
{% endfor %}
{% else %}
{% for j in range(COLUMNS) %}
        if column{{ j }} < params.n {
            dst[at + column{{ j }} * params.dst_col_stride] = bitcast<u32>(sum{{ i }}_{{ j }});
        }
{% endfor %}
{% endif %}
    }
{% endfor %}
{% endmacro %}
