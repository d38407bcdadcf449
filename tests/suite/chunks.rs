//! A batch that is cut into chunks, for a small binding limit, gives the same bits as a whole one.

use bitplane::models::Model;
use graph::{Evaluation, GradientScale, Method, NamedTensor, SessionOptions, StepReport};
use pollster::block_on;
use tests::{Pictures, assert_same, bits, gpu_session, host_session, model, options};

use crate::method::by;

const SAMPLES: u32 = 96;

struct Outcome {
    reports: Vec<StepReport>,
    gradients: Vec<NamedTensor>,
    state: Vec<NamedTensor>,
    evaluations: Vec<Evaluation>,
    logits: Vec<u32>,
}

/// Two steps with their gradients, and evaluations of a full and of a short batch.
fn outcome(model: &Model, options: &SessionOptions, chunk: u32) -> Option<Outcome> {
    let pictures = Pictures::new(model, SAMPLES, 3);
    let mut session = gpu_session(model, options)?;
    assert_eq!(session.chunk_samples(), chunk);
    let (mut reports, mut gradients) = (Vec::new(), Vec::new());
    for step in 0..2 {
        block_on(session.forward(&pictures.batch(), step)).expect("forward");
        block_on(session.backward()).expect("backward");
        gradients.extend(
            block_on(session.gradients())
                .expect("gradients")
                .into_iter()
                .map(|tensor| NamedTensor { name: format!("step {step} {}", tensor.name), ..tensor }),
        );
        block_on(session.apply(1e-3)).expect("apply");
        reports.push(block_on(session.report()).expect("a report"));
    }
    block_on(session.freeze()).expect("freezes");
    let evaluations = [SAMPLES as usize, 70, 1]
        .map(|samples| block_on(session.evaluate(&pictures.part(0, samples))).expect("evaluates"));
    let logits = block_on(session.logits(&pictures.part(0, 70))).expect("evaluates");
    let state = block_on(session.state()).expect("state");
    let logits = logits.into_iter().map(f32::to_bits).collect();
    Some(Outcome { reports, gradients, state, evaluations: evaluations.to_vec(), logits })
}

/// The largest binding limit that cuts the batch into chunks of `chunk`.
pub fn limit_for(model: &Model, whole: &SessionOptions, chunk: u32) -> SessionOptions {
    let limits = std::iter::successors(Some(1u64 << 22), |limit| Some(limit * 7 / 8));
    for limit in limits.take_while(|limit| *limit > 1 << 14) {
        let options = SessionOptions { max_binding_words: Some(limit), ..whole.clone() };
        if host_session(model, &options).chunk_samples() == chunk {
            return options;
        }
    }
    panic!("no limit cuts the batch into chunks of {chunk}");
}

fn chunks_are_bit_identical(name: &str, size: u32, widths: [u32; 3], chunks: &[u32]) {
    model_is_bit_identical(&format!("{name} {widths:?}"), &model(name, size, bits(widths)), chunks);
}

pub fn model_is_bit_identical(name: &str, model: &Model, chunks: &[u32]) {
    let options = options(model, SAMPLES);
    let Some(whole) = outcome(model, &options, SAMPLES) else { return };
    assert_eq!(whole.evaluations[1].samples, 70);
    assert_eq!(whole.logits.len(), 70 * 10);
    for &chunk in chunks {
        let what = format!("{name} in chunks of {chunk}");
        let Some(cut) = outcome(model, &limit_for(model, &options, chunk), chunk) else { return };
        assert_same(&cut.gradients, &whole.gradients, &what);
        assert_same(&cut.state, &whole.state, &what);
        assert_eq!(cut.reports, whole.reports, "{what}");
        assert_eq!(cut.evaluations, whole.evaluations, "{what}");
        assert_eq!(cut.logits, whole.logits, "{what}");
    }
}

#[test]
fn digits_1_2_4() {
    chunks_are_bit_identical("digits", 8, [1, 2, 4], &[64, 32]);
}

#[test]
fn digits_3_2_2() {
    chunks_are_bit_identical("digits", 8, [3, 2, 2], &[64, 32]);
}

#[test]
fn digits_full_precision() {
    chunks_are_bit_identical("digits", 8, [32, 32, 32], &[64, 32]);
}

#[test]
fn svhn_d_1_2_4_with_dropout() {
    chunks_are_bit_identical("svhn-d", 32, [1, 2, 4], &[32]);
}

#[test]
fn one_scale_for_the_batch_is_the_largest_of_all_chunks() {
    let method = Method { gradient_scale: GradientScale::Batch, ..Method::default() };
    model_is_bit_identical("batch scale", &by(model("digits", 8, bits([1, 2, 4])), &method), &[64, 32]);
}

#[test]
fn stored_pictures_larger_than_a_binding_cut_the_batch() {
    let mut model = model("digits", 8, bits([1, 2, 4]));
    (model.input.source_height, model.input.source_width) = (256, 256);
    let limit = 48 * model.input.source_len() / 4;
    let options = SessionOptions { max_binding_words: Some(u64::from(limit)), ..options(&model, SAMPLES) };
    assert_eq!(host_session(&model, &options).chunk_samples(), 32);
}
