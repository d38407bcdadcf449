// Output pixels that read an input pixel; the importing shader's Params hold the members that `window` lists
// and out_channels.
// An input pixel in padded coordinates, divided by the stride: quotients and remainders, and its sample's
// first output line.
struct Reader {
    line: u32,
    quotient: vec2<u32>,
    remainder: vec2<u32>,
}

fn reader_of(pixel: u32) -> Reader {
    let line = pixel / params.width;
    let padded = vec2(line % params.height + params.pad_top, pixel % params.width + params.pad_left);
    let first = line / params.height * params.out_height;
    return Reader(first, padded / params.stride, padded % params.stride);
}

struct Source {
    first: u32,
    inside: bool,
}

// The gradients of the output pixel that reads the input pixel through the tap at stride * down + phase.
fn source(reader: Reader, down: vec2<u32>, phase: vec2<u32>) -> Source {
    // Before the first output the difference wraps to a huge coordinate.
    let at = reader.quotient - down;
    let inside = all(reader.remainder == phase) && at.x < params.out_height && at.y < params.out_width;
    let pixel = (reader.line + at.x) * params.out_width + at.y;
    return Source(select(0u, pixel * params.out_channels, inside), inside);
}
