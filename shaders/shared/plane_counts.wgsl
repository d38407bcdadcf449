// From counts of ones to the integer of a segment: unit planes give their count; sign planes on the right take twice that
// less n_rhs * offset, the sum of the codes of the row; with signs on both sides it is n_lhs n_rhs * valid - 2 * count,
// valid the elements that the row's mask keeps, its offset, or all of them.
// Where the right operand has a mask too, the offset is one of row and column, whose name ends in `of`, and `kept` names the
// words of that mask.
{% macro segment_integer(i, count, of="") -%}
{% if SIGN -%}
{{ (2 ** LHS_PLANES - 1) * (2 ** RHS_PLANES - 1) }} * {{ "i32(offset" ~ i ~ of ~ ")" if MASKED or of else "i32(params.k)" }} - 2 * i32({{ count }})
{%- elif OFFSET -%}
2 * i32({{ count }}) - {{ 2 ** RHS_PLANES - 1 }} * i32(offset{{ i }}{{ of }})
{%- else -%}
i32({{ count }})
{%- endif %}
{%- endmacro %}
{% macro paired(i, a, b, part="", kept="") -%}
{% if SIGN %}({{ a }}{{ part }} ^ {{ b }}{{ part }}){{ " & m" ~ i ~ part if MASKED else "" }}{% else %}{{ a }}{{ part }} & {{ b }}{{ part }}{% endif %}{{ " & " ~ kept ~ part if kept else "" }}
{%- endmacro %}
