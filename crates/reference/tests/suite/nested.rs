use reference::nested::{NestedForm, shared_scale, weights, weights_backward};
use reference::quantize::{Rounding, levels, prefix, quantize_unit_by};
use reference::random::uniform;

/// Every place where a code of up to 8 bits may change, its neighbors, the ends, and random places.
fn places() -> Vec<f64> {
    let ends = [-1.0, -0.0, 0.0, 0.5, 1.0, 2.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let mut places = ends.to_vec();
    for bits in 1..=8 {
        let n = f64::from(levels(bits));
        for code in 0..=levels(bits) {
            for x in [f64::from(code) / (n + 1.0), (f64::from(code) + 0.5) / n] {
                places.extend([x, x.next_down(), x.next_up()]);
            }
        }
    }
    places.extend((0..4000).map(|element| uniform(7, 0, 1, 0, element)));
    places
}

#[test]
fn upper_bits_are_the_code_of_fewer_bits() {
    let places = places();
    for form in [NestedForm::MidRise, NestedForm::Shift] {
        for (widest, bits) in (1..=8).flat_map(|widest| (1..=widest).map(move |bits| (widest, bits))) {
            let rounding = form.rounding(widest);
            for &x in &places {
                let whole = quantize_unit_by(x, widest, rounding);
                let fewer = quantize_unit_by(x, bits, rounding);
                assert_eq!(prefix(whole, widest, bits), fewer, "{form:?} {widest} to {bits} bits at {x}");
            }
        }
    }
}

#[test]
fn mid_rise_codes_are_intervals_of_equal_width() {
    let codes =
        |bits| [0.0, 0.25, 0.49, 0.5, 0.75, 1.0].map(|x| quantize_unit_by(x, bits, Rounding::MidRise));
    assert_eq!(codes(1), [0, 0, 0, 1, 1, 1]);
    assert_eq!(codes(2), [0, 1, 1, 2, 3, 3]);
    assert_eq!(codes(3), [0, 2, 3, 4, 6, 7]);
}

#[test]
fn weights_stand_for_the_middle_of_their_interval() {
    let w = [0.9, -0.9, 0.1, -0.2, 0.0];
    let scale = 2.1 / 5.0;
    assert!((shared_scale(&w) - scale).abs() < 1e-12);
    let max = 0.9f64.tanh();
    for bits in 1..=8 {
        let quantized = weights(&w, (bits, 8), NestedForm::MidRise);
        let half_interval = 1.0 / f64::from(levels(bits) + 1);
        for (w, code) in w.iter().zip(&quantized.codes) {
            let value = quantized.scale * (2.0 * f64::from(*code) - f64::from(levels(bits)));
            let wanted = scale * w.tanh() / max;
            assert!((value - wanted).abs() <= scale * half_interval * (1.0 + 1e-12), "{bits} bits of {w}");
        }
    }
    // The widest rounded code is DoReFa-Net's.
    let shifted = weights(&w, (4, 4), NestedForm::Shift);
    assert_eq!(shifted.codes, reference::quantize::weights_tanh(&w, 4).codes);
    assert!((shifted.scale - shared_scale(&w) / 15.0).abs() < 1e-15);
}

/// The gradient that all widths share is that of the function without its rounding.
#[test]
fn the_gradient_is_that_of_the_scaled_tangent() {
    let w = [0.7, -0.4, 0.05, -0.9];
    let grad = [1.0, -2.0, 3.0, 0.5];
    let (scale, max) = (shared_scale(&w), 0.9f64.tanh());
    let smooth = |w: f64| scale * w.tanh() / max;
    for (at, actual) in weights_backward(&w, &grad).into_iter().enumerate() {
        let slope = (smooth(w[at] + 1e-6) - smooth(w[at] - 1e-6)) / 2e-6;
        assert!((actual - grad[at] * slope).abs() < 1e-8, "element {at}");
    }
    assert_eq!(weights_backward(&[0.0; 3], &[1.0; 3]), [0.0; 3]);
}
