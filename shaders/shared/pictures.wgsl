// Pictures of bytes. The importing shader binds `source`, bytes four a word, the first lowest; its Params end with
// first_image, images, subtract_0 to subtract_2 and divide_by_0 to divide_by_2.

// The place of a picture in source, at least params.images where it is not there; one before the first wraps to a huge place.
fn place_of(picture: u32) -> u32 {
    return picture - params.first_image;
}

fn byte_at(at: u32) -> u32 {
    return (source[at / 4u] >> (8u * (at % 4u))) & 255u;
}

// What the network makes of a value from 0 to 255; channels beyond the third are treated as the third.
fn scaled(value: f32, channel: u32) -> f32 {
    let subtract = vec3(params.subtract_0, params.subtract_1, params.subtract_2);
    let divide_by = vec3(params.divide_by_0, params.divide_by_1, params.divide_by_2);
    let at = min(channel, 2u);
    return (value - subtract[at]) / divide_by[at];
}

struct Neighbors {
    first: u32,
    second: u32,
    // Weight of the second, of 2 resized.
    share: u32,
}

// The source positions on both sides of the center of position `position` of `resized`, the edges repeated.
// The center is (position + 1/2) size / resized - 1/2; whole numbers keep its floor and its fraction exact.
fn neighbors(position: u32, size: u32, resized: u32) -> Neighbors {
    let center = (2u * position + 1u) * size + resized;
    let above = center / (2u * resized);
    return Neighbors(max(above, 1u) - 1u, min(above, size - 1u), center % (2u * resized));
}
