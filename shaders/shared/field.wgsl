// Receptive fields of output pixels; the importing shader's Params hold the members that `window` lists.
const OUTSIDE = 0xffffffffu;

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

// The field of the next output pixel; after the last one, a field outside every image.
fn next_field(field: Field) -> Field {
    let x = field.x + params.stride;
    if x != params.out_width * params.stride - params.pad_left {
        return Field(field.line, field.y, x);
    }
    let y = field.y + params.stride;
    if y != params.out_height * params.stride - params.pad_top {
        return Field(field.line, y, 0u - params.pad_left);
    }
    let line = field.line + params.height;
    let exists = line < params.samples * params.height;
    return Field(line, select(0x80000000u, 0u - params.pad_top, exists), 0u - params.pad_left);
}

// The input pixel under a tap, or OUTSIDE; coordinates above or left of the image have wrapped to huge ones.
fn tap_pixel(field: Field, ky: u32, kx: u32) -> u32 {
    let y = field.y + ky;
    let x = field.x + kx;
    return select(OUTSIDE, (field.line + y) * params.width + x, y < params.height && x < params.width);
}
