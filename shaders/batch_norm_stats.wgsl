//#import dispatch
// partials[g, c] = sum over the rows r of group g of x[r, c], or of (x[r, c] - mean[c])^2 if CENTERED.
// x: rows x channels floats; mean: channels (not read unless CENTERED); partials: ceil(rows / group) x
// channels.
// One invocation sums one element of one group in row order: a channel, or four where VEC4. The variance takes a second
// pass over the centered values, because a difference of two large sums would lose it.
struct Params {
    rows: u32,
    channels: u32,
    group: u32,
}

{% if VEC4 %}
alias Element = vec4<f32>;
{% else %}
alias Element = f32;
{% endif %}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read> mean: array<Element>;
@group(0) @binding(3) var<storage, read_write> partials: array<Element>;

override WORKGROUP: u32;
override CENTERED: bool;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * WORKGROUP + local;
    let row_elements = params.channels / {{ 4 if VEC4 else 1 }}u;
    let part = index / row_elements;
    let element = index - part * row_elements;
    let first = part * params.group;
    if first >= params.rows {
        return;
    }
    let end = min(first + params.group, params.rows);
    var center = Element();
    if CENTERED {
        center = mean[element];
    }
    var sum = Element();
    var at = first * row_elements + element;
    for (var row = first; row < end; row++) {
        let value = x[at] - center;
        sum += select(value, value * value, CENTERED);
        at += row_elements;
    }
    partials[index] = sum;
}
