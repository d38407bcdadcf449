//! Training is a pure function of seed, data and settings.

use bitplane::models::Model;
use gpu::Gpu;
use graph::{NamedTensor, Optimizer, Session, SessionOptions, StepReport};
use pollster::block_on;
use tests::{Pictures, assert_same, bits, gpu_session, model, options, train, words};

const SAMPLES: u32 = 12;

fn state(session: &mut Session<Gpu>) -> Vec<NamedTensor> {
    block_on(session.state()).expect("state")
}

/// Reports and state after three steps.
fn three_steps(
    model: &Model,
    options: &SessionOptions,
    seed: u64,
) -> Option<(Vec<StepReport>, Vec<NamedTensor>)> {
    let pictures = Pictures::new(model, SAMPLES, 8);
    let mut session = gpu_session(model, &SessionOptions { seed, ..options.clone() })?;
    let reports = train(&mut session, &pictures.batch(), 0, 3);
    Some((reports, state(&mut session)))
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    for (name, size, widths) in
        [("digits", 8, [1, 2, 4]), ("svhn-d", 32, [2, 2, 3]), ("resnet20", 16, [1, 2, 4])]
    {
        let model = model(name, size, bits(widths));
        let options = options(&model, SAMPLES);
        let Some((reports, first)) = three_steps(&model, &options, 5) else { return };
        let Some((again, second)) = three_steps(&model, &options, 5) else { return };
        assert_eq!(reports, again, "{name}");
        assert_same(&second, &first, name);
    }
}

#[test]
fn both_words_of_the_seed_decide_the_parameters() {
    let model = model("digits", 8, bits([1, 2, 4]));
    let initial = |seed: u64| {
        let options = SessionOptions { seed, ..options(&model, SAMPLES) };
        words(&block_on(tests::host_session(&model, &options).state()).expect("state"))
    };
    let of_five = initial(5);
    assert_eq!(initial(5), of_five);
    for seed in [6, 5 | 1 << 32] {
        let other = initial(seed);
        for name in ["conv0.weight", "conv1.weight", "fc1.weight"] {
            assert_ne!(other[name], of_five[name], "seed {seed}: {name}");
        }
    }
}

#[test]
fn seed_and_step_decide_the_noise() {
    let model = model("digits", 8, bits([1, 2, 4]));
    let pictures = Pictures::new(&model, SAMPLES, 8);
    let state = block_on(tests::host_session(&model, &options(&model, SAMPLES)).state()).expect("state");
    let gradients = |seed: u64, step: u32| {
        let mut session = gpu_session(&model, &SessionOptions { seed, ..options(&model, SAMPLES) })?;
        session.load_state(&state).expect("its own state");
        block_on(session.forward(&pictures.batch(), step)).expect("forward");
        block_on(session.backward()).expect("backward");
        Some(words(&block_on(session.gradients()).expect("gradients")))
    };
    let Some(first) = gradients(5, 0) else { return };
    for (seed, step) in [(6, 0), (5 | 1 << 32, 0), (5, 1)] {
        let Some(other) = gradients(seed, step) else { return };
        assert_eq!(other["fc1.weight"], first["fc1.weight"], "nothing in front of it is random");
        assert_ne!(other["conv1.weight"], first["conv1.weight"], "seed {seed} step {step}");
    }
}

#[test]
fn a_saved_state_continues_bit_for_bit() {
    let sgd = Optimizer::Sgd { momentum: 0.9, nesterov: true, weight_decay: 1e-4 };
    for (name, size, optimizer) in
        [("digits", 8, None), ("digits", 8, Some(sgd)), ("svhn-d", 32, None), ("resnet20", 16, Some(sgd))]
    {
        let model = model(name, size, bits([1, 2, 4]));
        let options = options(&model, SAMPLES);
        let options = SessionOptions { optimizer: optimizer.unwrap_or(options.optimizer), ..options };
        let pictures = Pictures::new(&model, SAMPLES, 9);
        let Some(mut whole) = gpu_session(&model, &options) else { return };
        train(&mut whole, &pictures.batch(), 0, 2);
        let saved = state(&mut whole);
        let want = train(&mut whole, &pictures.batch(), 2, 2);

        let Some(mut resumed) = gpu_session(&model, &options) else { return };
        // Whatever the fresh session did before is gone with its state.
        train(&mut resumed, &pictures.batch(), 7, 1);
        resumed.load_state(&saved).expect("its own state");
        assert_same(&state(&mut resumed), &saved, "loaded");
        assert_eq!(train(&mut resumed, &pictures.batch(), 2, 2), want, "{name}");
        assert_same(&state(&mut resumed), &state(&mut whole), name);
    }
}

#[test]
fn evaluations_between_steps_leave_training_alone() {
    for (name, size, widths) in
        [("digits", 8, [1, 2, 4]), ("resnet20", 16, [2, 3, 4]), ("digits", 8, [32, 32, 32])]
    {
        let model = model(name, size, bits(widths));
        let options = options(&model, SAMPLES);
        let Some((reports, want)) = three_steps(&model, &options, options.seed) else { return };
        let pictures = Pictures::new(&model, SAMPLES, 8);
        let others = Pictures::new(&model, 5, 10);
        let Some(mut session) = gpu_session(&model, &options) else { return };
        let mut evaluations = Vec::new();
        let mut again = Vec::new();
        for step in 0..3 {
            block_on(session.freeze()).expect("freezes");
            evaluations.push(block_on(session.evaluate(&others.batch())).expect("evaluates"));
            assert_eq!(block_on(session.evaluate(&others.batch())), Ok(evaluations[step as usize]));
            again.extend(train(&mut session, &pictures.batch(), step, 1));
        }
        assert_eq!(again, reports, "{name}");
        assert_same(&state(&mut session), &want, name);
        assert!(evaluations[0].loss_sum != evaluations[2].loss_sum, "{name}: evaluations see the training");
    }
}
