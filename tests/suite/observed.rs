//! What is looked at of a step is what the step computes with, and looking changes nothing.

use crate::chunks::limit_for;
use graph::{Data, Observed, Quantity, Session};
use pollster::block_on;
use recording::Executor;
use reference::quantize::{gradient_scale, weights_binary, weights_tanh_unrounded};
use tests::{Pictures, assert_same, bits, gpu_session, model, options, train};

const SAMPLES: u32 = 70;
const LAYERS: [&str; 4] = ["conv0", "conv1", "conv2", "fc1"];

fn observe<E: Executor>(session: &mut Session<E>, pictures: &Pictures, step: u32) -> Vec<Observed> {
    let mut seen = Vec::new();
    let layers = LAYERS.map(str::to_owned);
    block_on(session.observe(&pictures.batch(), step, &layers, |part| seen.push(part))).expect("a look");
    seen
}

/// All f32 values of a quantity, and all codes with their scales.
fn gathered(seen: &[Observed], layer: &str, quantity: Quantity) -> (Vec<f32>, Vec<u8>, Vec<f32>) {
    let mut all = (Vec::new(), Vec::new(), Vec::new());
    for part in seen.iter().filter(|part| part.layer == layer && part.quantity == quantity) {
        match &part.data {
            Data::Values { values, .. } => all.0.extend(values),
            Data::Codes { codes, scales, .. } => {
                all.1.extend(codes);
                all.2.extend(scales);
            }
        }
    }
    all
}

fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

#[test]
fn observed_codes_are_those_of_the_observed_values() {
    for widths in [[1, 2, 4], [3, 3, 6]] {
        let model = model("digits", 8, bits(widths));
        let Some(mut session) = gpu_session(&model, &options(&model, SAMPLES)) else { return };
        let pictures = Pictures::new(&model, SAMPLES, 5);
        train(&mut session, &pictures.batch(), 0, 2);
        let state = block_on(session.state()).expect("state");
        let seen = observe(&mut session, &pictures, 2);
        for layer in ["conv1", "conv2"] {
            let (latent, codes, scales) = gathered(&seen, layer, Quantity::Weights);
            let saved =
                state.iter().find(|tensor| tensor.name == format!("{layer}.weight")).expect("a weight");
            assert!(latent == saved.values, "{layer}");
            let most = f64::from((1 << widths[0]) - 1);
            if widths[0] == 1 {
                let wanted = weights_binary(&f64s(&latent));
                assert!(codes.iter().zip(&wanted.codes).all(|(code, wanted)| u32::from(*code) == *wanted));
                assert!((f64::from(scales[0]) / wanted.scale - 1.0).abs() < 1e-5, "{layer}: {scales:?}");
            } else {
                let unrounded = weights_tanh_unrounded(&f64s(&latent), widths[0]);
                let near = |(code, x): (&u8, &f64)| (f64::from(*code) - x).abs() < 0.501 && *x <= most;
                assert!(codes.iter().zip(&unrounded).all(near), "{layer}");
            }
            assert_eq!(codes.len(), latent.len());

            let (values, codes, scales) = gathered(&seen, layer, Quantity::Gradients);
            let wanted = gradient_scale(&f64s(&values), SAMPLES as usize);
            assert_eq!(f64s(&scales), wanted, "{layer}: the largest magnitude of each sample");
            let most = f64::from((1 << widths[2]) - 1);
            let each = values.len() / SAMPLES as usize;
            assert_eq!(codes.len(), values.len());
            for (at, (code, value)) in codes.iter().zip(&values).enumerate() {
                let exact = most * (f64::from(*value) / (2.0 * wanted[at / each]) + 0.5);
                assert!((f64::from(*code) - exact).abs() < 1.001, "{layer} {at}: {code} of {exact}");
            }
            let (values, codes, _) = gathered(&seen, layer, Quantity::Activations);
            assert!(values.is_empty() && codes.iter().all(|code| *code < 1 << widths[1]));
            let used = (0..1 << widths[1]).filter(|code| codes.contains(code)).count();
            assert_eq!(used, 1 << widths[1], "{layer}: every code occurs");
        }
        let (values, codes, _) = gathered(&seen, "conv0", Quantity::Activations);
        let wanted: Vec<f32> = pictures.pixels.iter().map(|byte| f32::from(*byte) / 255.0).collect();
        assert!(codes.is_empty() && values.len() == wanted.len());
        assert!(values.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-5), "the pictures");
        let (values, ..) = gathered(&seen, "fc1", Quantity::Gradients);
        assert_eq!(values.len(), 10 * SAMPLES as usize);
        for sample in values.chunks(10) {
            assert!(sample.iter().sum::<f32>().abs() < 1e-6, "probabilities minus the label: {sample:?}");
        }
    }
}

#[test]
fn looking_changes_neither_state_nor_later_steps() {
    let model = model("digits", 8, bits([1, 2, 4]));
    let options = options(&model, SAMPLES);
    let (Some(mut watched), Some(mut alone)) = (gpu_session(&model, &options), gpu_session(&model, &options))
    else {
        return;
    };
    let pictures = Pictures::new(&model, SAMPLES, 9);
    for step in 0..3 {
        let before = block_on(watched.state()).expect("state");
        let seen = observe(&mut watched, &pictures, step);
        assert!(observe(&mut watched, &pictures, step) == seen, "two looks at one step show the same");
        assert_same(&block_on(watched.state()).expect("state"), &before, "state after a look");
        let reports = train(&mut watched, &pictures.batch(), step, 1);
        assert_eq!(reports, train(&mut alone, &pictures.batch(), step, 1));
    }
    let state = block_on(alone.state()).expect("state");
    assert_same(&block_on(watched.state()).expect("state"), &state, "state of a watched session");
}

#[test]
fn a_batch_in_chunks_shows_the_same() {
    let model = model("digits", 8, bits([1, 2, 4]));
    let whole = options(&model, SAMPLES);
    let Some(mut session) = gpu_session(&model, &whole) else { return };
    let pictures = Pictures::new(&model, SAMPLES, 3);
    let wanted = observe(&mut session, &pictures, 4);
    let mut session = gpu_session(&model, &limit_for(&model, &whole, 32)).expect("a device");
    assert_eq!(session.chunk_samples(), 32);
    let seen = observe(&mut session, &pictures, 4);
    for layer in LAYERS {
        for quantity in [Quantity::Weights, Quantity::Activations, Quantity::Gradients] {
            let (seen, wanted) = (gathered(&seen, layer, quantity), gathered(&wanted, layer, quantity));
            let mut same = seen.0 == wanted.0 && seen.1 == wanted.1;
            if quantity == Quantity::Gradients {
                same &= seen.2 == wanted.2;
            }
            assert!(same, "{layer} {quantity:?}");
        }
    }
}
