// Levels of residual binarization: e = x, then e - mean sign(e) again and again, sign(0) = 1. The means lie STRIDE words
// apart in `means`. Signs are read from the bits, so that the smallest values keep theirs.
fn is_negative(e: f32) -> bool {
    return bitcast<u32>(e) > 0x80000000u;
}

fn level_step(e: f32, level: u32) -> f32 {
    let mean = means[level * STRIDE];
    return select(mean, -mean, is_negative(e));
}

// What the first `levels` levels leave of x.
fn residual(x: f32, levels: u32) -> f32 {
    var e = x;
    for (var level = 0u; level < levels; level++) {
        e -= level_step(e, level);
    }
    return e;
}
