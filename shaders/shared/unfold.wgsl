{#- What a run of an unfolded row consists of: LINES lines of KERNEL_W taps, each CHANNELS bits in words of a source row,
laid side by side without gaps. Element 32 s of tap t goes to word e / 32 from bit e % 32 on, e = CHANNELS t + 32 s. -#}
{%- set TAPS = LINES * KERNEL_W -%}
{%- set TAP_WORDS = (CHANNELS + 31) // 32 -%}

{#- The bits of word `word` that come from word `s` of tap `t`, given as the expression `bits`. -#}
{%- macro shifted(word, t, s, bits) -%}
{%- set e = CHANNELS * t + 32 * s -%}
{%- if e // 32 == word %} | ({{ bits }} << {{ e % 32 }}u){% endif -%}
{%- if e // 32 + 1 == word and e % 32 + [32, CHANNELS - 32 * s]|min > 32 %} | ({{ bits }} >> {{ 32 - e % 32 }}u){% endif -%}
{%- endmacro -%}

{#- Word `word` of the run in one plane, from the vectors `tap<t>_<v>`. -#}
{%- macro plane_word(word) -%}
0u
{%- for t in range(TAPS) %}{% for s in range(TAP_WORDS) %}
{%- set part = "" if SOURCE_VECTOR == 1 else "." ~ "xyzw"[s % SOURCE_VECTOR] -%}
{{ shifted(word, t, s, "tap" ~ t ~ "_" ~ s // SOURCE_VECTOR ~ part) }}
{%- endfor %}{% endfor -%}
{%- endmacro -%}

{#- Ones for the channels in vector `v` of a source row. -#}
{%- macro border_vector(v) -%}
Source(
{%- for lane in range(SOURCE_VECTOR) %}{% set s = SOURCE_VECTOR * v + lane -%}
{% if s < TAP_WORDS %}0xffffffffu >> {{ 32 - [32, CHANNELS - 32 * s]|min }}u{% else %}0u{% endif %}{{ ", " if not loop.last }}
{%- endfor -%}
)
{%- endmacro -%}

{#- Word `word` of the run in the mask, from the words `ones<t>` of one bit repeated. -#}
{%- macro mask_word(word) -%}
0u
{%- for t in range(TAPS) %}{% for s in range(TAP_WORDS) %}
{%- set bits = [32, CHANNELS - 32 * s]|min -%}
{{ shifted(word, t, s, "(ones" ~ t ~ " >> " ~ (32 - bits) ~ "u)") }}
{%- endfor %}{% endfor -%}
{%- endmacro -%}

{#- Writes the run to plane `plane`, its words given by the macro `word_of`. -#}
{%- macro write_run(plane, word_of) %}
    {
        let first = (({{ plane }}) * rows + row) * ROW_VECTORS + run * RUN_VECTORS;
{%- for v in range(WORDS // VECTOR) %}
        unfolded[first + {{ v }}u] = Target(
{%- for lane in range(VECTOR) %}{{ word_of(VECTOR * v + lane) }}{{ ", " if not loop.last }}{% endfor -%}
        );
{%- endfor %}
    }
{%- endmacro -%}

alias Source = {{ "u32" if SOURCE_VECTOR == 1 else "vec" ~ SOURCE_VECTOR ~ "<u32>" }};
alias Target = {{ "u32" if VECTOR == 1 else "vec" ~ VECTOR ~ "<u32>" }};
{% if LINES > 0 -%}
const SOURCE_VECTORS = {{ SOURCE_WORDS // SOURCE_VECTOR }}u;
const RUNS = {{ RUNS }}u;
const RUN_VECTORS = {{ WORDS // VECTOR }}u;
const ROW_VECTORS = RUNS * RUN_VECTORS;
{%- endif %}
