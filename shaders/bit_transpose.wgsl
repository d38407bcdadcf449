//#import dispatch
//#import bits
// transposed[p, j, n, position] = planes[p, (n, position), j]: the position axis becomes the packed one,
// sample by sample. Positions past `rows`, which the last sample may lack, are zero.
// planes: planes x rows x words_for(k); transposed: planes x k x samples x
// words_for(positions).
// One invocation transposes VECTOR neighboring blocks of 32 positions by 32 elements in registers; blocks at the edges
// are partly zero.
struct Params {
    samples: u32,
    positions: u32,
    rows: u32,
    k: u32,
    planes: u32,
}

alias Words = {{ "u32" if VECTOR == 1 else "vec" ~ VECTOR ~ "<u32>" }};

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> planes: array<u32>;
@group(0) @binding(2) var<storage, read_write> transposed: array<Words>;

override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row_words = words_for(params.k);
    // Words that only pad a row have no rows in the result.
    let words = (params.k + 31u) / 32u;
    let vectors = words_for(params.positions) / {{ VECTOR }}u;
    let index = linear_group(group, groups) * WORKGROUP + local;
    if index >= params.planes * params.samples * vectors * words {
        return;
    }
    let line = index / words;
    let word = index - line * words;
    let image = line / vectors;
    let position_vector = line - image * vectors;
    let plane = image / params.samples;
    let sample = image - plane * params.samples;
    let position = position_vector * {{ 32 * VECTOR }}u;
    // A read past the last position repeats it and is dropped, so that every lane loads alike.
    let first_row = sample * params.positions;
    let last = min(params.positions, params.rows - first_row) - 1u;
    let source = (plane * params.rows + first_row) * row_words + word;
{%- for i in range(32) %}
    var row{{ i }} = Words(
{%- for lane in range(VECTOR) %}
{%- set at = "position + " ~ (32 * lane + i) ~ "u" -%}
select(0u, planes[source + min({{ at }}, last) * row_words], {{ at }} <= last){{ ", " if not loop.last }}
{%- endfor -%}
    );
{%- endfor %}
{#- One stage: swaps the off-diagonal quarters of every square of 2 * distance rows, where `low` selects the columns of
the left half. #}
{%- for distance, low in [(16, "0x0000ffffu"), (8, "0x00ff00ffu"), (4, "0x0f0f0f0fu"), (2, "0x33333333u"), (1, "0x55555555u")] %}
{%- for pair in range(16) %}
{%- set upper = pair // distance * 2 * distance + pair % distance %}
{%- set moved = "moved" ~ distance ~ "_" ~ pair %}
    let {{ moved }} = ((row{{ upper }} >> Words({{ distance }}u)) ^ row{{ upper + distance }}) & Words({{ low }});
    row{{ upper + distance }} ^= {{ moved }};
    row{{ upper }} ^= {{ moved }} << Words({{ distance }}u);
{%- endfor %}
{%- endfor %}
    let stride = params.samples * vectors;
    let first = (plane * params.k + word * 32u) * stride + sample * vectors + position_vector;
{%- for j in range(32) %}
    if word * 32u + {{ j }}u < params.k {
        transposed[first + {{ j }}u * stride] = row{{ j }};
    }
{%- endfor %}
}
