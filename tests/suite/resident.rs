//! Pictures that stay on the device train and evaluate like those that each batch brings, bit for bit.

use bitplane::models::Model;
use graph::{
    Batch, Change, Color, Evaluation, GraphError, Input, InputSpec, Light, NamedTensor, RING, Selection,
    Session, SessionOptions, StepReport, Transform,
};
use pollster::block_on;
use recording::Executor;
use reference::color::{ColorStep, ColorSteps};
use tests::{Pictures, assert_same, bits, gpu_session, host_session, model, options};

const HELD: u32 = 445;

// Their bytes make no whole number of words.
const SOURCE: [u32; 2] = [71, 67];

/// Samples that are among the held pictures, and what a batch of them would bring.
struct Chosen {
    pictures: Vec<u32>,
    pixels: Vec<u8>,
    labels: Vec<u32>,
    transforms: Vec<Transform>,
}

impl Chosen {
    /// Pictures from everywhere, some twice, each shown in another way.
    fn new(all: &Pictures, step: u32, samples: u32) -> Self {
        let size = all.pixels.len() / all.labels.len();
        let pictures: Vec<u32> = (0..samples).map(|sample| (7 * sample + 11 * step) % HELD).collect();
        let shown = |sample: u32| Transform {
            flip: (sample + step) % 2 == 1,
            dy: (sample % 3).cast_signed() - 1,
            dx: (step % 3).cast_signed() - 1,
            light: Light {
                offset: (13 * (sample + step) % 61).cast_signed() - 30,
                factor: 2048 + 97 * sample % 4096,
            },
            color: Color {
                part: [step % 5, sample % 7, 50 + sample % 10, 40],
                steps: ColorSteps {
                    order: [
                        ColorStep::Saturation,
                        ColorStep::Shift,
                        ColorStep::Contrast,
                        ColorStep::Brightness,
                    ],
                    contrast: 2900,
                    saturation: 5300,
                    shift: [step.cast_signed(), 0, 9],
                    ..ColorSteps::PLAIN
                },
            },
        };
        let image = |at: &u32| &all.pixels[*at as usize * size..][..size];
        Self {
            pixels: pictures.iter().flat_map(image).copied().collect(),
            labels: pictures.iter().map(|at| all.labels[*at as usize]).collect(),
            transforms: (0..samples).map(shown).collect(),
            pictures,
        }
    }

    fn input(&self, resident: bool) -> Input<'_> {
        let Self { pictures, pixels, labels, transforms } = self;
        match resident {
            true => Input::from(&Selection { pictures, labels, transforms }),
            false => Input::from(&Batch { pixels, labels, transforms }),
        }
    }
}

/// What a training left and said.
struct Trained {
    state: Vec<NamedTensor>,
    reports: Vec<StepReport>,
    evaluations: Vec<Evaluation>,
    scores: Vec<u32>,
}

fn trained<E: Executor>(session: &mut Session<E>, all: &Pictures, steps: u32, batch: u32) -> Trained {
    let resident = session.resident() > 0;
    let mut reports = Vec::new();
    for step in 0..steps {
        let chosen = Chosen::new(all, step, batch);
        reports.push(block_on(session.step(chosen.input(resident), step, 1e-3)).expect("a step"));
    }
    block_on(session.freeze()).expect("freezes");
    let mut evaluations = Vec::new();
    for samples in [batch, batch / 2 + 1, 1] {
        let chosen = Chosen::new(all, samples, samples);
        evaluations.push(block_on(session.evaluate(chosen.input(resident))).expect("evaluates"));
    }
    let chosen = Chosen::new(all, 3, batch);
    let scores = block_on(session.logits(chosen.input(resident))).expect("scores");
    let scores = scores.into_iter().map(f32::to_bits).collect();
    Trained { state: block_on(session.state()).expect("state"), reports, evaluations, scores }
}

/// The pictures in two parts whose border is no border of words.
fn parts(all: &Pictures, size: usize) -> [&[u8]; 2] {
    let (first, second) = all.pixels.split_at(13 * size);
    [first, second]
}

fn assert_equal(got: &Trained, want: &Trained, what: &str) {
    assert_eq!(got.reports, want.reports, "{what}");
    assert_eq!(got.evaluations, want.evaluations, "{what}");
    assert!(got.scores == want.scores, "{what}: other scores");
    assert_same(&got.state, &want.state, what);
}

/// A model that sees large pictures small.
fn subject(name: &str, size: u32, widths: [u32; 3], batch: u32) -> (Model, SessionOptions, Pictures) {
    let model = model(name, size, bits(widths));
    let options = options(&model, batch);
    let [source_height, source_width] = SOURCE;
    let options =
        SessionOptions { input: InputSpec { source_height, source_width, ..options.input }, ..options };
    let all = Pictures::of(&options.input, HELD, 5);
    (model, options, all)
}

#[test]
fn held_pictures_give_the_bits_of_those_that_batches_bring() {
    // The first limit, in words, spreads the pictures over several buffers.
    for (name, size, batch) in [("digits", 8, 48), ("resnet20", 12, 8)] {
        let (model, options, all) = subject(name, size, [1, 2, 4], batch);
        let Some(mut session) = gpu_session(&model, &options) else { return };
        let want = trained(&mut session, &all, 4, batch);
        for max_binding_words in [Some(1 << 18), None] {
            let options = SessionOptions { max_binding_words, resident: HELD, ..options.clone() };
            let mut session = gpu_session(&model, &options).expect("an adapter");
            session.load_pictures(&parts(&all, options.input.source_len() as usize)).expect("loads");
            let forward = session.recording(graph::Phase::Forward).expect("a forward pass");
            let gathers = forward.dispatches.iter().filter(|d| d.kernel.name() == "image_gather").count();
            println!("{name}: {gathers} gathers of {HELD} pictures, chunks of {}", session.chunk_samples());
            assert_eq!(gathers > 1, max_binding_words.is_some(), "{name}");
            assert_equal(&trained(&mut session, &all, 4, batch), &want, name);
        }
    }
}

#[test]
fn changed_pictures_train_alike_held_or_brought_and_are_evaluated_as_they_are() {
    for (change, name, size, batch) in [(Change::Light, "digits", 8, 48), (Change::Color, "resnet20", 12, 8)]
    {
        let (model, options, all) = subject(name, size, [1, 2, 4], batch);
        let changed = SessionOptions { change, ..options.clone() };
        let Some(mut session) = gpu_session(&model, &changed) else { return };
        let want = trained(&mut session, &all, 2, batch);
        let max_binding_words = Some(1 << 18);
        let held = SessionOptions { resident: HELD, max_binding_words, ..changed.clone() };
        let mut session = gpu_session(&model, &held).expect("an adapter");
        session.load_pictures(&parts(&all, options.input.source_len() as usize)).expect("loads");
        assert_equal(&trained(&mut session, &all, 2, batch), &want, "held");
        let mut session = gpu_session(&model, &options).expect("an adapter");
        let plain = trained(&mut session, &all, 2, batch);
        assert_ne!(plain.reports, want.reports, "{change:?} matters");
        // Before any training both show the same.
        let scores = [&changed, &options].map(|options| {
            let mut session = gpu_session(&model, options).expect("an adapter");
            block_on(session.freeze()).expect("freezes");
            block_on(session.logits(Chosen::new(&all, 0, batch).input(false))).expect("scores")
        });
        assert_eq!(scores[0], scores[1], "{change:?}");
    }
}

#[test]
fn changes_that_cannot_be_made_are_refused() {
    let (model, options, all) = subject("digits", 8, [1, 2, 4], 4);
    let Some(mut session) = gpu_session(&model, &options) else { return };
    let large = InputSpec { resize_height: 300, resize_width: 300, ..options.input };
    let lit = SessionOptions { input: large, change: Change::Light, ..options.clone() };
    let error = graph::plan_memory(session.executor_mut().limits(), &model.network, &lit);
    assert!(matches!(error, Err(GraphError::TooLarge { limit: 65_536, .. })), "{error:?}");
    let gray = SessionOptions { change: Change::Color, ..options };
    let error = graph::plan_memory(session.executor_mut().limits(), &model.network, &gray);
    assert!(error.is_err_and(|error| error.to_string().contains("1 channels")));
    drop(all);
    let (model, options, all) = subject("resnet20", 12, [1, 2, 4], 4);
    let options = SessionOptions { change: Change::Color, ..options };
    let mut session = gpu_session(&model, &options).expect("an adapter");
    let mut chosen = Chosen::new(&all, 0, 4);
    chosen.transforms[3].color.part = [20, 0, 60, 40];
    refused(block_on(session.step(chosen.input(false), 0, 1e-3)), &["[20, 0, 60, 40]", "71x67"]);
}

#[test]
fn the_reference_holds_pictures_too() {
    let (model, options, all) = subject("digits", 8, [1, 2, 4], 2);
    let run = |resident: u32| {
        let mut session = host_session(&model, &SessionOptions { resident, ..options.clone() });
        if resident > 0 {
            session.load_pictures(&parts(&all, options.input.source_len() as usize)).expect("loads");
        }
        trained(&mut session, &all, 1, 2)
    };
    assert_equal(&run(HELD), &run(0), "reference");
}

#[test]
fn choices_that_do_not_fit_are_refused_with_their_sizes() {
    let (model, options, all) = subject("digits", 8, [1, 2, 4], 4);
    let resident = SessionOptions { resident: HELD, ..options.clone() };
    let Some(mut session) = gpu_session(&model, &resident) else { return };
    let chosen = Chosen::new(&all, 0, 4);
    let error = block_on(session.step(chosen.input(true), 0, 1e-3)).expect_err("nothing is loaded");
    assert!(matches!(error, GraphError::Order { call: "load_pictures", .. }), "{error}");
    refused(session.load_pictures(&[&all.pixels[1..]]), &["2116864", "2116865"]);
    session.load_pictures(&[&all.pixels]).expect("loads");
    refused(block_on(session.step(chosen.input(false), 0, 1e-3)), &["pixels"]);
    let mut beyond = Chosen::new(&all, 0, 4);
    beyond.pictures[2] = HELD;
    refused(block_on(session.step(beyond.input(true), 0, 1e-3)), &["picture 445", "holds 445"]);
    beyond.pictures.truncate(2);
    refused(block_on(session.step(beyond.input(true), 0, 1e-3)), &["2 pictures", "4 samples"]);
    block_on(session.step(chosen.input(true), 0, 1e-3)).expect("a step");
    let mut session = gpu_session(&model, &options).expect("an adapter");
    refused(block_on(session.step(chosen.input(true), 0, 1e-3)), &["picture", "holds 0"]);
    let input = InputSpec { source_height: 800, source_width: 800, ..options.input };
    let small = SessionOptions { input, max_binding_words: Some(1 << 18), ..resident };
    let error = graph::plan_memory(session.executor_mut().limits(), &model.network, &small);
    assert!(matches!(error, Err(GraphError::TooLarge { .. })), "{error:?}");
}

fn refused<T: std::fmt::Debug>(result: Result<T, GraphError>, parts: &[&str]) {
    match result.expect_err("refused") {
        GraphError::Batch { message } => {
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
        error => panic!("{error}"),
    }
}

/// Evaluations that are queued ahead are those that are waited for.
#[test]
fn queued_evaluations_are_single_ones() {
    let (model, options, all) = subject("digits", 8, [1, 2, 4], 48);
    let options = SessionOptions { max_binding_words: Some(80_000), ..options };
    let Some(mut session) = gpu_session(&model, &options) else { return };
    assert!(session.chunk_samples() < 48, "several chunks");
    let batches: Vec<Chosen> = (0..12).map(|step| Chosen::new(&all, step, 48 - 3 * step)).collect();
    block_on(session.step(batches[0].input(false), 0, 1e-3)).expect("a step");
    block_on(session.freeze()).expect("freezes");
    let mut single = Vec::new();
    for batch in &batches {
        single.push(block_on(session.evaluate(batch.input(false))).expect("evaluates"));
    }
    let (mut queued, mut most) = (Vec::new(), 0);
    for batch in &batches {
        if session.evaluations_in_flight() == RING {
            queued.extend(block_on(session.next_evaluation()).expect("evaluates"));
        }
        block_on(session.submit_evaluation(batch.input(false))).expect("queues");
        most = most.max(session.evaluations_in_flight());
    }
    for (call, result) in [
        ("submit_evaluation", block_on(session.submit_evaluation(batches[0].input(false)))),
        ("evaluate", block_on(session.evaluate(batches[0].input(false))).map(drop)),
        ("logits", block_on(session.logits(batches[0].input(false))).map(drop)),
    ] {
        assert!(matches!(result, Err(GraphError::Order { call: found, .. }) if found == call), "{call}");
    }
    while let Some(found) = block_on(session.next_evaluation()).expect("evaluates") {
        queued.push(found);
    }
    assert_eq!((most, queued), (RING, single));
}

/// An epoch as the program runs it: queued steps, saved state, statistics taken again, queued evaluations.
fn epoch(session: &mut Session<gpu::Gpu>, all: &Pictures, number: u32) {
    let resident = session.resident() > 0;
    let first = number * 10;
    for step in first..first + 10 {
        if session.in_flight() == RING {
            block_on(session.next_report()).expect("a report");
        }
        let chosen = Chosen::new(all, step, 16);
        block_on(session.submit_step(chosen.input(resident), step, 1e-3)).expect("queues");
    }
    while block_on(session.next_report()).expect("a report").is_some() {}
    block_on(session.state()).expect("state");
    for step in 0..3 {
        let chosen = Chosen::new(all, step, 16);
        block_on(session.forward(chosen.input(resident), first + 10)).expect("forward");
    }
    block_on(session.report()).expect("a report");
    block_on(session.freeze()).expect("freezes");
    for step in 0..12 {
        if session.evaluations_in_flight() == RING {
            block_on(session.next_evaluation()).expect("evaluates");
        }
        let chosen = Chosen::new(all, step, 16);
        block_on(session.submit_evaluation(chosen.input(resident))).expect("queues");
    }
    while block_on(session.next_evaluation()).expect("evaluates").is_some() {}
}

#[test]
fn a_second_epoch_makes_no_objects() {
    for resident in [0, HELD] {
        let (model, options, all) = subject("digits", 8, [1, 2, 4], 16);
        let options = SessionOptions { resident, ..options };
        let Some(mut session) = gpu_session(&model, &options) else { return };
        if resident > 0 {
            session.load_pictures(&[&all.pixels]).expect("loads");
        }
        epoch(&mut session, &all, 0);
        let created = session.executor_mut().statistics().created;
        epoch(&mut session, &all, 1);
        assert_eq!(session.executor_mut().statistics().created, created, "{resident} pictures held");
    }
}
