// Receptive fields of output pixels; the importing shader's Params hold the members that `window` lists.
// The top left corner of a field; above or left of the image it wraps to huge coordinates. `line` is the
// sample's first.
struct Field {
    line: u32,
    y: u32,
    x: u32,
}

fn field_of(out_pixel: u32) -> Field {
    let line = out_pixel / params.out_width;
    let y = line % params.out_height * params.stride - params.pad_top;
    let x = out_pixel % params.out_width * params.stride - params.pad_left;
    return Field(line / params.out_height * params.height, y, x);
}

struct Source {
    pixel: u32,
    inside: bool,
}

// The input pixel under one tap of a field, or pixel 0 outside the image.
fn source(field: Field, ky: u32, kx: u32) -> Source {
    let y = field.y + ky;
    let x = field.x + kx;
    let inside = y < params.height && x < params.width;
    return Source(select(0u, (field.line + y) * params.width + x, inside), inside);
}
