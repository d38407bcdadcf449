//! Whole training steps on the device and on the reference, from the same seed.

use graph::{NamedTensor, Optimizer, Session, SessionOptions, StepReport};
use pollster::block_on;
use recording::Executor;
use tests::{Pictures, bits, gpu_session, host_session, largest, model, options, train};

const SAMPLES: u32 = 4;

struct Outcome {
    reports: Vec<StepReport>,
    state: Vec<NamedTensor>,
    logits: Vec<f32>,
}

fn outcome<E: Executor>(mut session: Session<E>, pictures: &Pictures) -> Outcome {
    let reports = train(&mut session, &pictures.batch(), 0, 2);
    block_on(session.freeze()).expect("freezes");
    let logits = block_on(session.logits(&pictures.batch())).expect("evaluates");
    Outcome { reports, state: block_on(session.state()).expect("state"), logits }
}

/// Two steps on both; a tensor may deviate by `bound` of its largest value. Where codes occur, one of them may fall on
/// the other side of a rounding boundary, which moves a small batch's sums by a percent; the bound is wide enough for a
/// few. That every single dispatch is right is shown in `steps`.
fn steps_agree(widths: [u32; 3], bound: f64) {
    let model = model("digits", 8, bits(widths));
    // Adam's first steps have the size of the rate whatever the gradient's; the update of SGD shows the gradient.
    let optimizer = Optimizer::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.0 };
    let options = SessionOptions { optimizer, ..options(&model, SAMPLES) };
    let pictures = Pictures::new(&model, SAMPLES, 12);
    let Some(session) = gpu_session(&model, &options) else { return };
    let (device, host) = (outcome(session, &pictures), outcome(host_session(&model, &options), &pictures));
    let mut worst = 0.0f64;
    for (device, host) in device.state.iter().zip(&host.state) {
        assert_eq!((&device.name, &device.shape), (&host.name, &host.shape));
        let scale = largest(&host.values).max(f64::MIN_POSITIVE);
        let error = tests::deviation(&device.values, &host.values) / scale;
        assert!(error <= bound, "{}: off by {error:.1e} of its largest value", host.name);
        worst = worst.max(error);
    }
    for (device, host) in device.reports.iter().zip(&host.reports) {
        assert_eq!((device.top1, device.top5, device.samples), (host.top1, host.top5, host.samples));
        assert!(
            (device.loss - host.loss).abs() <= bound as f32 * host.loss,
            "loss {} and {}",
            device.loss,
            host.loss
        );
    }
    assert_eq!(tests::classes_of(&device.logits, 10), tests::classes_of(&host.logits, 10));
    let logits = tests::deviation(&device.logits, &host.logits) / largest(&host.logits);
    println!("{widths:?}: state off by at most {worst:.1e}, logits by {logits:.1e}");
}

#[test]
fn full_precision() {
    steps_agree([32, 32, 32], 1e-5);
}

#[test]
fn widths_1_2_4() {
    steps_agree([1, 2, 4], 5e-2);
}

#[test]
fn widths_3_4_8() {
    steps_agree([3, 4, 8], 5e-2);
}
