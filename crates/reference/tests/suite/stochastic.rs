//! The stochastic gradient quantizer and dropout, by hand and in distribution.

use crate::data::normals;
use reference::dropout::{dropout, dropout_codes, keep, keep_mask};
use reference::quantize::{
    GradientScale, distance_to_rounding, gradient_codes, gradient_codes_by, gradient_scale,
    gradient_scale_by, gradient_unrounded, levels, power_of_two_from,
};
use reference::random::uniform;

#[test]
fn scale_is_the_largest_magnitude_of_each_sample() {
    assert_eq!(gradient_scale(&[1.0, -3.0, 0.0, -0.0, 0.5, 0.25], 3), [3.0, 0.0, 0.5]);
}

#[test]
fn other_scales_span_powers_of_two_or_the_batch() {
    let g = [1.0, -3.0, 0.0, -0.0, 0.5, 0.25];
    assert_eq!(gradient_scale_by(&g, 3, GradientScale::Sample), [3.0, 0.0, 0.5]);
    assert_eq!(gradient_scale_by(&g, 3, GradientScale::Pow2), [4.0, 0.0, 0.5]);
    assert_eq!(gradient_scale_by(&g, 3, GradientScale::Batch), [3.0; 3]);
    for s in [1e-3, 0.7, 1.0, 1.0 + 1e-7, 3e30] {
        let power = power_of_two_from(s);
        assert_eq!(power.log2().fract(), 0.0);
        assert!(s <= power && power < 2.0 * s, "{s} becomes {power}");
    }
    assert_eq!(power_of_two_from(1e-45), f64::from(f32::MIN_POSITIVE));
    assert_eq!(power_of_two_from(3e38), 3e38);
    // Scale 4 and n = 3: 3 (g / 8 + 1/2) without noise.
    let quantized = gradient_codes_by(&[3.0, -3.0, 1.0, 0.0], 1, (2, GradientScale::Pow2), &[0.5; 4]);
    assert_eq!((quantized.codes, quantized.scale), (vec![3, 0, 2, 2], vec![4.0]));
}

#[test]
fn codes_by_hand() {
    // n = 3; without noise (noise = 1/2) the products n x are 3, 0, 1.5 and 2.25.
    let g = [2.0, -2.0, 0.0, 1.0];
    let quantized = gradient_codes(&g, 1, 2, &[0.5; 4]);
    assert_eq!((quantized.codes, quantized.scale), (vec![3, 0, 2, 2], vec![2.0]));
    // Noise shifts n x by noise - 1/2: 2.5, 0 (clipped), 1 and 1.75; then 3 (clipped), 0.49, 1.99 and 2.74.
    assert_eq!(gradient_codes(&g, 1, 2, &[0.0; 4]).codes, [2, 0, 1, 2]);
    assert_eq!(gradient_codes(&g, 1, 2, &[0.99; 4]).codes, [3, 0, 2, 3]);
    let unrounded = gradient_unrounded(&g, 1, 2, &[0.0; 4]);
    assert_eq!(unrounded, [2.5, 0.0, 1.0, 1.75]);
    assert_eq!(distance_to_rounding(unrounded[0]), 0.0);
}

#[test]
fn a_sample_of_zeros_has_scale_and_codes_zero() {
    assert_eq!(gradient_unrounded(&[0.0, -0.0], 1, 3, &[0.9; 2]), [0.0, 0.0]);
    let quantized = gradient_codes(&[0.0, -0.0, 1.0, -1.0], 2, 3, &[0.9; 4]);
    assert_eq!((quantized.codes, quantized.scale), (vec![0, 0, 7, 0], vec![0.0, 1.0]));
}

#[test]
fn stochastic_rounding_is_unbiased() {
    const DRAWS: u32 = 4000;
    let (samples, len) = (2, 8);
    let g: Vec<f64> = normals(1, samples * len).into_iter().map(|g| 1e-3 * g).collect();
    let of_samples = [1, 2, 3, 4, 8].map(|bits| (bits, GradientScale::Sample));
    let others = [(2, GradientScale::Pow2), (4, GradientScale::Batch), (1, GradientScale::Batch)];
    for (bits, rule) in of_samples.into_iter().chain(others) {
        let scales = gradient_scale_by(&g, samples, rule);
        let n = f64::from(levels(bits));
        let mut mean = vec![0.0; g.len()];
        for step in 0..DRAWS {
            let noise: Vec<f64> = (0..g.len() as u32).map(|row| uniform(1, step, bits, row, 3)).collect();
            let quantized = gradient_codes_by(&g, samples, (bits, rule), &noise);
            for (index, &code) in quantized.codes.iter().enumerate() {
                let value = quantized.scale[index / len] * (2.0 * f64::from(code) - n) / n;
                mean[index] += value / f64::from(DRAWS);
            }
        }
        for (index, (mean, g)) in mean.iter().zip(&g).enumerate() {
            // A code is one of two neighbors, the upper one with the probability of the fraction.
            let scale = scales[index / len];
            let fraction = (n * (g / (2.0 * scale) + 0.5)).fract();
            let deviation = 2.0 * scale / n * (fraction * (1.0 - fraction)).sqrt();
            let error = deviation / f64::from(DRAWS).sqrt();
            assert!(
                (mean - g).abs() <= 5.0 * error + 1e-12,
                "{bits} bits {rule:?}, element {index}: {mean}, not {g}"
            );
        }
    }
}

#[test]
fn dropout_keeps_the_uniform_numbers_from_the_rate_on() {
    assert!(keep(0.5, 0.5) && keep(0.0, 0.0) && !keep(0.499, 0.5));
    let mask = keep_mask(5, 6, 7, 300, 33, 0.3);
    for (element, &kept) in mask.iter().enumerate() {
        assert_eq!(kept, uniform(5, 6, 7, element as u32 / 33, element as u32 % 33) >= 0.3);
    }
    let kept = mask.iter().filter(|&&kept| kept).count() as f64 / mask.len() as f64;
    assert!((kept - 0.7).abs() < 5.0 * (0.21 / mask.len() as f64).sqrt(), "kept {kept}");
    assert_eq!(dropout_codes(&[1, 2, 3], &[true, false, true]), [1, 0, 3]);
    assert_eq!(dropout(&[1.0, 2.0, -3.0], &[true, false, true], 0.75), [4.0, 0.0, -12.0]);
}
