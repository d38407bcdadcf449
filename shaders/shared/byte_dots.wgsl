// Integers of bytes in one part, or in two as twice the first and the second. The template that imports this names the
// vectors of each part of an operand by a prefix and the part.
{% set parts = ["x", "y", "z", "w"] %}
{% macro floats(name, member, count) %}vec4<f32>({% if count == 2 %}2i * {% endif %}unpack4xI8({{ name }}_0{{ member }}){% if count == 2 %} + unpack4xI8({{ name }}_1{{ member }}){% endif %}){% endmacro %}
{% macro dots(left, right) %}{% for p in range(LHS_PARTS) %}{% for q in range(RHS_PARTS) %}(({% for x in parts %}dot4I8Packed({{ left }}{{ p }}.{{ x }}, {{ right }}{{ q }}.{{ x }}){{ "" if loop.last else " + " }}{% endfor %}) << {{ LHS_PARTS + RHS_PARTS - 2 - p - q }}u){{ "" if loop.last else " + " }}{% endfor %}{{ "" if loop.last else " + " }}{% endfor %}{% endmacro %}
