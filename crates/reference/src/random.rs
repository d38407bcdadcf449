//! Counter-based random numbers: every draw is a pure function of its name (seed, step, tensor, element).
//!
//! The generator is Philox4x32-10 (Salmon et al. 2011). The last counter word separates the users:
//! training draws hold the step there, [`PERMUTATION_STREAM`] and [`NORMAL_STREAM`] are reserved and must
//! not be used as a step.

/// Fourth counter word of [`normal`]; no training step reaches it.
pub const NORMAL_STREAM: u32 = u32::MAX;

/// Fourth counter word of [`permutation`]; no training step reaches it.
pub const PERMUTATION_STREAM: u32 = u32::MAX - 1;

/// Philox4x32 with 10 rounds: four random words for a counter and a key.
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let (high0, low0) = wide_product(MULTIPLIER[0], c0);
        let (high1, low1) = wide_product(MULTIPLIER[1], c2);
        (c0, c1, c2, c3) = (high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0);
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [c0, c1, c2, c3]
}

/// The uniform number in `[0, 1)` of element (`row`, `column`) of a tensor in a training step.
///
/// `philox(counter = [row, column / 4, tensor, step], key = [seed_lo, seed_hi])[column % 4] >> 8`, times
/// `2^-24`: an exact multiple of `2^-24`, so `f32` holds it without error.
pub fn uniform(seed: u64, step: u32, tensor: u32, row: u32, column: u32) -> f64 {
    let words = philox4x32_10([row, column / 4, tensor, step], key(seed));
    f64::from(words[(column % 4) as usize] >> 8) * 2f64.powi(-24)
}

/// The standard normal number of `element` of the parameter `tensor`, by Box-Muller.
///
/// Words 0 and 1 of `philox([element, 0, tensor, NORMAL_STREAM], seed)` give `u = (w0 + 1) 2^-32` in `(0, 1]`
/// and `v = w1 2^-32` in `[0, 1)`; the number is `sqrt(-2 ln u) cos(2 pi v)`. The platform's `ln` and `cos`
/// may differ in the last bit of the `f64`.
pub fn normal(seed: u64, tensor: u32, element: u32) -> f64 {
    let words = philox4x32_10([element, 0, tensor, NORMAL_STREAM], key(seed));
    let u = (f64::from(words[0]) + 1.0) * 2f64.powi(-32);
    let v = f64::from(words[1]) * 2f64.powi(-32);
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// A uniformly drawn order of `0..len` for an epoch, by Fisher-Yates.
///
/// Draw number `d` is word `d % 4` of `philox([d / 4 low, d / 4 high, epoch, PERMUTATION_STREAM], seed)`; a
/// draw below a bound is Lemire's multiply-and-reject, so every order is equally likely up to the generator.
///
/// # Panics
///
/// When `len` does not fit in 32 bits.
pub fn permutation(seed: u64, epoch: u32, len: usize) -> Vec<u32> {
    let len = u32::try_from(len).expect("a permutation holds at most 2^32 - 1 indices");
    let mut order: Vec<u32> = (0..len).collect();
    let mut draw = 0u64;
    let mut next_word = || {
        let block = draw / 4;
        let words = philox4x32_10([low(block), high(block), epoch, PERMUTATION_STREAM], key(seed));
        let word = words[(draw % 4) as usize];
        draw += 1;
        word
    };
    for last in (1..len).rev() {
        let other = below(last + 1, &mut next_word);
        order.swap(last as usize, other as usize);
    }
    order
}

/// A number in `0..bound` without bias: products whose low half falls in the uneven remainder are redrawn.
fn below(bound: u32, next_word: &mut impl FnMut() -> u32) -> u32 {
    let uneven = bound.wrapping_neg() % bound;
    loop {
        let (chosen, fraction) = wide_product(next_word(), bound);
        if fraction >= uneven {
            return chosen;
        }
    }
}

fn key(seed: u64) -> [u32; 2] {
    [low(seed), high(seed)]
}

fn wide_product(a: u32, b: u32) -> (u32, u32) {
    let product = u64::from(a) * u64::from(b);
    (high(product), low(product))
}

fn low(value: u64) -> u32 {
    (value & 0xFFFF_FFFF) as u32
}

fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn a_bounded_draw_rejects_the_uneven_remainder() {
        // 2^32 = 1 modulo 3, so exactly one of the 2^32 words must be redrawn.
        let mut words = [0, u32::MAX].into_iter();
        assert_eq!(below(3, &mut || words.next().expect("two words are enough")), 2);
        assert_eq!(words.next(), None);
        let mut words = [1].into_iter();
        assert_eq!(below(3, &mut || words.next().expect("one word is enough")), 0);
    }
}
