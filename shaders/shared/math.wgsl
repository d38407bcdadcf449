// The built-in tanh may overflow for large arguments and has only an absolute error bound; this one is odd, exact
// at zero and within 8 ulp: with e = expm1(2 |x|), tanh |x| = e / (e + 2). The argument stops at 15, where tanh
// rounds to 1.
fn tanh_bounded(x: f32) -> f32 {
    let y = 2.0 * min(abs(x), 15.0);
    let n = round(y * 1.44269504);
    let r = y - n * 0.69314718;
    // The Taylor series of expm1 on |r| <= ln(2) / 2; the term left out is below 2^-27.
    var p = 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    let power = bitcast<f32>((u32(n) + 127u) << 23u);
    let e = power * (p * r) + (power - 1.0);
    let t = e / (e + 2.0);
    return select(t, -t, x < 0.0);
}

// 1 where the sign is +1, 0 where it is -1; both zeros count as +1. On bits, so that no driver flushes or reorders
// it.
fn sign_code(bits: u32) -> u32 {
    return select(1u, 0u, bits > 0x80000000u);
}
