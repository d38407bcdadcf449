//! Steps that are queued ahead are the steps that are waited for, one by one.

use bitplane::models::Model;
use graph::{Batch, GraphError, RING, SessionOptions};
use pollster::block_on;
use recording::Executor;
use tests::{Pictures, assert_same, bits, gpu_session, host_session, model, options, plant, train};

const SAMPLES: u32 = 16;

fn digits(widths: [u32; 3]) -> (Model, SessionOptions, Pictures) {
    let model = model("digits", 8, bits(widths));
    let options = options(&model, SAMPLES);
    let pictures = Pictures::of(&options.input, 4 * SAMPLES, 21);
    (model, options, pictures)
}

/// Another batch for each step, so that one in the place of another is seen.
fn batch_of(pictures: &Pictures, step: u32) -> Batch<'_> {
    let first = (step % 4 * SAMPLES) as usize;
    pictures.part(first, first + SAMPLES as usize)
}

#[test]
fn reports_and_state_are_those_of_single_steps() {
    for widths in [[1, 2, 4], [32, 32, 32]] {
        let (model, options, pictures) = digits(widths);
        let Some(mut single) = gpu_session(&model, &options) else { return };
        let mut want = Vec::new();
        for step in 0..20 {
            want.extend(train(&mut single, &batch_of(&pictures, step), step, 1));
        }
        let Some(mut queued) = gpu_session(&model, &options) else { return };
        let (mut reports, mut most) = (Vec::new(), 0);
        for step in 0..20 {
            if queued.in_flight() == RING {
                reports.extend(block_on(queued.next_report()).expect("a report"));
            }
            block_on(queued.submit_step(&batch_of(&pictures, step), step, 1e-3)).expect("queues");
            most = most.max(queued.in_flight());
        }
        while let Some(report) = block_on(queued.next_report()).expect("a report") {
            reports.push(report);
        }
        assert_eq!(most, RING);
        assert!(reports.iter().map(|report| report.step).eq(0..20));
        assert_eq!(reports, want, "{widths:?}");
        let states = [&mut queued, &mut single].map(|session| block_on(session.state()).expect("state"));
        assert_same(&states[0], &states[1], "queued");
    }
}

#[test]
fn polling_never_loses_a_report() {
    let (model, options, pictures) = digits([1, 2, 4]);
    let Some(mut session) = gpu_session(&model, &options) else { return };
    let mut seen = Vec::new();
    for step in 0..RING as u32 {
        block_on(session.submit_step(&batch_of(&pictures, step), step, 1e-3)).expect("queues");
    }
    while session.in_flight() > 0 {
        seen.extend(block_on(session.poll_report()).expect("a report").map(|report| report.step));
    }
    assert!(seen.into_iter().eq(0..RING as u32));
    assert_eq!(block_on(session.poll_report()), Ok(None));
    assert_eq!(block_on(session.next_report()), Ok(None));
}

/// A value that is not finite at step 3 of 6 that are queued: the report of step 3 says so, and no state comes out.
#[test]
fn a_value_that_is_not_finite_is_named_with_its_step_and_nothing_is_saved() {
    for layer in ["conv0", "conv2", "fc1"] {
        let (model, options, pictures) = digits([1, 2, 4]);
        let Some(mut session) = gpu_session(&model, &options) else { return };
        for step in 0..6 {
            if step == 3 {
                plant(&mut session, &format!("{layer}.weight"), -1, f32::NAN);
            }
            block_on(session.submit_step(&batch_of(&pictures, step), step, 1e-3)).expect("queues");
        }
        for step in 0..3 {
            refused(&mut session, "state", |session| block_on(session.state()).map(drop));
            let report = block_on(session.next_report()).expect("finite").expect("a report");
            assert_eq!(report.step, step);
        }
        let error = block_on(session.next_report()).expect_err("not finite");
        let named = matches!(&error, GraphError::NonFinite { layer: found, step: 3, .. } if found == layer);
        assert!(named, "{layer}: {error}");
        refused(&mut session, "state", |session| block_on(session.state()).map(drop));
    }
}

#[test]
fn what_needs_all_reports_is_refused_before() {
    let (model, options, pictures) = digits([1, 2, 4]);
    let Some(mut session) = gpu_session(&model, &options) else { return };
    for step in 0..RING as u32 {
        block_on(session.submit_step(&batch_of(&pictures, step), step, 1e-3)).expect("queues");
    }
    let batch = batch_of(&pictures, 0);
    refused(&mut session, "submit_step", |session| block_on(session.submit_step(&batch, 8, 1e-3)));
    refused(&mut session, "step", |session| block_on(session.step(&batch, 8, 1e-3)).map(drop));
    refused(&mut session, "state", |session| block_on(session.state()).map(drop));
    refused(&mut session, "freeze", |session| block_on(session.freeze()));
    while block_on(session.next_report()).expect("a report").is_some() {}
    block_on(session.freeze()).expect("all reports were seen");
    block_on(session.step(&batch, 8, 1e-3)).expect("a step");
}

fn refused<E: Executor>(
    session: &mut graph::Session<E>,
    call: &str,
    action: impl FnOnce(&mut graph::Session<E>) -> Result<(), GraphError>,
) {
    match action(session).expect_err(call) {
        GraphError::Order { call: found, .. } => assert_eq!(found, call),
        error => panic!("{call}: {error}"),
    }
}

#[test]
fn the_reference_queues_too() {
    let (model, _, pictures) = digits([1, 2, 4]);
    let options = tests::options(&model, 2);
    let run = |ahead: bool| {
        let mut session = host_session(&model, &options);
        let mut reports = Vec::new();
        for step in 0..2 {
            block_on(session.submit_step(&pictures.part(0, 2), step, 1e-3)).expect("queues");
            if !ahead {
                reports.extend(block_on(session.next_report()).expect("a report"));
            }
        }
        while let Some(report) = block_on(session.next_report()).expect("a report") {
            reports.push(report);
        }
        reports
    };
    assert_eq!(run(true), run(false));
}
