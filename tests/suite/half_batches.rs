//! With the statistics of batch norm frozen, the gradients of two half-batches, averaged, are those of the whole batch.
//!
//! Each half's loss is a mean over its own samples, so each gradient weighs one half. Samples are independent of each
//! other then; only the order of f32 sums over samples differs, as long as both halves number their random numbers by
//! the sample's position in the whole batch.

use bitplane::models::Model;
use graph::{Batch, NamedTensor, SessionOptions};
use pollster::block_on;
use tests::{Pictures, bits, deviation, gpu_session, largest, model, options, train};

const HALF: u32 = 48;
/// Of the largest gradient of a tensor; sums over a batch in f32, in another order.
const BOUND: f64 = 4e-6;

/// State after two steps with batch statistics, so that the frozen ones are not the initial ones.
fn trained(model: &Model) -> Option<Vec<NamedTensor>> {
    let mut session = gpu_session(model, &options(model, HALF))?;
    train(&mut session, &Pictures::new(model, HALF, 5).batch(), 0, 2);
    Some(block_on(session.state()).expect("state"))
}

/// Loss and gradients of one batch in step 2.
fn gradients(
    model: &Model,
    state: &[NamedTensor],
    options: &SessionOptions,
    batch: &Batch<'_>,
) -> Option<(f64, Vec<NamedTensor>)> {
    let mut session = gpu_session(model, &SessionOptions { frozen_batch_norm: true, ..options.clone() })?;
    session.load_state(state).expect("its own state");
    block_on(session.forward(batch, 2)).expect("forward");
    block_on(session.backward()).expect("backward");
    let loss = block_on(session.report()).expect("a report").loss;
    let gradients = block_on(session.gradients()).expect("gradients");
    for (before, after) in state.iter().zip(block_on(session.state()).expect("state")) {
        assert_eq!(*before, after, "neither parameters nor frozen statistics change before the update");
    }
    Some((f64::from(loss), gradients))
}

/// The largest deviation of the halves from the whole, over all tensors, relative to each tensor's largest gradient.
/// The second half starts at sample `second` of the noise.
fn halves_against_whole(name: &str, size: u32, widths: [u32; 3], second: u32) -> Option<f64> {
    let model = model(name, size, bits(widths));
    let state = trained(&model)?;
    let pictures = Pictures::new(&model, 2 * HALF, 6);
    let (loss, whole) = gradients(&model, &state, &options(&model, 2 * HALF), &pictures.batch())?;
    let half = |index: u32, first_sample: u32| {
        let options = SessionOptions { first_sample, ..options(&model, HALF) };
        let (from, to) = (index * HALF, (index + 1) * HALF);
        gradients(&model, &state, &options, &pictures.part(from as usize, to as usize))
    };
    let ((first_loss, first), (second_loss, second)) = (half(0, 0)?, half(1, second)?);
    let mean_loss = (first_loss + second_loss) / 2.0;
    assert!((mean_loss - loss).abs() <= 1e-6 * loss, "loss {mean_loss} of the halves, {loss} of the whole");
    let mut worst = 0.0f64;
    for ((whole, first), second) in whole.iter().zip(&first).zip(&second) {
        let mean: Vec<f32> = first.values.iter().zip(&second.values).map(|(a, b)| (a + b) / 2.0).collect();
        let scale = largest(&whole.values);
        assert!(scale > 0.0 && deviation(&first.values, &second.values) > 0.1 * scale, "{}", whole.name);
        worst = worst.max(deviation(&mean, &whole.values) / scale);
    }
    println!("{name} {widths:?}: worst {worst:.1e}");
    Some(worst)
}

fn halves_equal_whole(name: &str, size: u32, widths: [u32; 3]) {
    let Some(worst) = halves_against_whole(name, size, widths, HALF) else { return };
    assert!(worst <= BOUND, "{name} {widths:?}: off by {worst:.1e} of the largest gradient");
}

#[test]
fn digits_full_precision() {
    halves_equal_whole("digits", 8, [32, 32, 32]);
}

#[test]
fn digits_f32_gradients() {
    halves_equal_whole("digits", 8, [1, 2, 32]);
}

#[test]
fn digits_1_2_4() {
    halves_equal_whole("digits", 8, [1, 2, 4]);
}

#[test]
fn svhn_d_2_2_2_with_dropout() {
    halves_equal_whole("svhn-d", 32, [2, 2, 2]);
}

#[test]
fn noise_numbered_from_zero_in_both_halves_is_noticed() {
    let Some(worst) = halves_against_whole("digits", 8, [1, 2, 4], 0) else { return };
    assert!(worst > 1000.0 * BOUND, "off by only {worst:.1e}");
}
