use crate::data::normals;
use reference::quantize::{
    Rounding, activation_backward, activation_codes, distance_to_rounding, levels, quantize_unit,
    quantize_unit_by, round_half_even, sign, weights_binary, weights_binary_backward, weights_tanh,
    weights_tanh_by, weights_tanh_unrounded,
};

#[test]
fn levels_are_all_ones() {
    assert_eq!((1..=8).map(levels).collect::<Vec<_>>(), [1, 3, 7, 15, 31, 63, 127, 255]);
    assert_eq!(levels(31), u32::MAX >> 1);
}

#[test]
fn ties_round_to_even() {
    let cases = [(0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (-0.5, 0.0), (-1.5, -2.0), (0.49, 0.0), (2.51, 3.0)];
    for (x, expected) in cases {
        assert_eq!(round_half_even(x), expected, "{x}");
    }
    // x = (2 q + 1) / (2 n) is the tie between q and q + 1; n = 1, 3, 15 give exact ties at one half.
    assert_eq!(quantize_unit(0.5, 1), 0);
    assert_eq!(quantize_unit(0.5, 2), 2);
    assert_eq!(quantize_unit(0.5, 4), 8);
}

#[test]
fn unit_quantizer_covers_its_range_and_clamps() {
    for bits in 1..=8 {
        let n = levels(bits);
        for code in 0..=n {
            let x = f64::from(code) / f64::from(n);
            assert_eq!(quantize_unit(x, bits), code, "a level of {bits} bits is its own code");
        }
    }
    assert_eq!(
        [-3.0, -0.0, 1.0, 1.7, f64::INFINITY, f64::NAN].map(|x| quantize_unit(x, 3)),
        [0, 0, 7, 7, 7, 0]
    );
}

#[test]
fn distance_to_the_rounding_boundary() {
    for (x, expected) in [(0.0, 0.5), (0.5, 0.0), (1.75, 0.25), (2.25, 0.25), (-0.75, 0.25)] {
        assert_eq!(distance_to_rounding(x), expected, "{x}");
    }
}

#[test]
fn zero_of_either_sign_is_positive() {
    assert_eq!([0.0, -0.0, 1e-300, -1e-300].map(sign), [1.0, 1.0, 1.0, -1.0]);
}

#[test]
fn binary_weights_are_signs_times_the_mean_magnitude() {
    let quantized = weights_binary(&[0.5, -1.5, 0.0, -0.0]);
    assert_eq!((quantized.codes, quantized.scale), (vec![1, 0, 1, 1], 0.5));
    assert_eq!(weights_binary(&[-2.0]).scale, 2.0);
    assert_eq!(weights_binary(&[]).scale, 0.0);
    assert_eq!(weights_binary_backward(&[3.0, -4.0]), [3.0, -4.0]);
}

#[test]
fn tanh_weights_by_hand() {
    // tanh(w) / (2 max) + 1/2 is 1, 0, 1/2 and, with atanh, exactly placed in between.
    let half = (0.5 * 1f64.tanh()).atanh();
    let quantized = weights_tanh(&[1.0, -1.0, 0.0, half, -half], 2);
    assert_eq!((quantized.codes, quantized.scale), (vec![3, 0, 2, 2, 1], 1.0 / 3.0));
    assert_eq!(weights_tanh_unrounded(&[1.0, -1.0, 0.0], 3), [7.0, 0.0, 3.5]);
    assert_eq!(weights_tanh(&[-7.0], 4).codes, [0]);
    assert_eq!(weights_tanh(&[0.0, -0.0], 1).codes, [0, 0]);
    assert_eq!(weights_tanh(&[0.0; 3], 3).codes, [4; 3]);
}

#[test]
fn tanh_weights_stay_within_half_a_step() {
    let w = normals(1, 500);
    let max = w.iter().fold(0.0, |max: f64, w| max.max(w.tanh().abs()));
    for bits in 1..=8 {
        let n = f64::from(levels(bits));
        let quantized = weights_tanh(&w, bits);
        let unrounded = weights_tanh_unrounded(&w, bits);
        for ((w, &code), unrounded) in w.iter().zip(&quantized.codes).zip(unrounded) {
            let value = quantized.scale * (2.0 * f64::from(code) - n);
            assert!((value - w.tanh() / max).abs() <= 1.0 / n + 1e-12, "{w} became {value} at {bits} bits");
            assert!((unrounded - f64::from(code)).abs() <= 0.5);
        }
    }
}

#[test]
fn activations_clip_and_pass_the_gradient_inside() {
    assert_eq!(activation_codes(&[-0.1, 0.0, 0.4, 0.5, 0.6, 1.0, 2.0], 2), [0, 0, 1, 2, 2, 3, 3]);
    let x = [-1e-9, 0.0, -0.0, 0.3, 1.0, 1.0 + 1e-9];
    assert_eq!(activation_backward(&x, &[2.0; 6]), [0.0, 2.0, 2.0, 2.0, 2.0, 0.0]);
}

#[test]
fn ties_go_up_where_a_half_is_added_before_the_floor() {
    let codes = |x: f64, bits| [Rounding::Even, Rounding::Floor].map(|r| quantize_unit_by(x, bits, r));
    assert_eq!(codes(0.5, 1), [0, 1]);
    assert_eq!(codes(0.5, 2), [2, 2]);
    assert_eq!(codes(0.5 / 7.0, 3), [0, 1]);
    assert_eq!(codes(2.5 / 7.0, 3), [2, 3]);
    assert_eq!(codes(-1.0, 3), [0, 0]);
    assert_eq!(codes(2.0, 3), [7, 7]);
    // Both are the nearest code elsewhere.
    for step in 0..1000 {
        let x = f64::from(step) / 999.0 + 1e-7;
        let [even, floor] = codes(x, 4);
        assert_eq!(even, floor, "{x}");
        assert!((f64::from(floor) - 15.0 * x.min(1.0)).abs() <= 0.5);
    }
    // A weight of 0 lies halfway between two codes.
    let weights = [1.0, -1.0, 0.0];
    assert_eq!(weights_tanh_by(&weights, 3, Rounding::Floor).codes, [7, 0, 4]);
    assert_eq!(weights_tanh_by(&weights, 2, Rounding::Floor).codes, [3, 0, 2]);
    assert_eq!(weights_tanh_by(&weights, 1, Rounding::Floor).codes, [1, 0, 1]);
    assert_eq!(weights_tanh(&weights, 1).codes, [1, 0, 0]);
}

/// Dropping low bits of a rounded code gives the code of fewer bits for one bit only, but at the tie 1/2.
#[test]
fn rounded_codes_are_nested_for_one_bit_only() {
    const STEPS: u32 = 50_400;
    let differing = |from: u32, to: u32| {
        let differs = |&step: &u32| {
            let x = (f64::from(step) + 0.5) / f64::from(STEPS);
            quantize_unit(x, from) >> (from - to) != quantize_unit(x, to)
        };
        (0..STEPS).filter(differs).count() as f64 / f64::from(STEPS)
    };
    for bits in 2..=8 {
        assert_eq!(differing(bits, 1), 0.0, "{bits} bits to 1");
        assert_eq!((quantize_unit(0.5, bits) >> (bits - 1), quantize_unit(0.5, 1)), (1, 0));
    }
    for (from, to, fraction) in [(3, 2, 0.0952), (4, 2, 0.1333), (4, 3, 0.1143), (8, 4, 0.22)] {
        let actual = differing(from, to);
        assert!((actual - fraction).abs() < 2e-3, "{from} to {to} bits differs in {actual}, not {fraction}");
    }
}
