//! A trained network within another one: it teaches and stays as it is.

use bitplane::models::Model;
use graph::{
    FeatureMatch, LearnedBits, LengthForm, Method, NamedTensor, Network, Optimizer, Penalty, Phase, Session,
    SessionOptions, SoftTarget, quantizers::HbnnActivation,
};
use pollster::block_on;
use recording::Executor;
use tests::{Pictures, assert_same, bits, gpu_session, host_session, model, options, train};

use crate::bit_lengths::{LEARNED, learned};
use crate::method::by;
use crate::structures::{built, structure};

const SAMPLES: u32 = 5;

/// `student` that learns the class scores of `teacher` at temperature 2, and its features of these layers.
///
/// A feature is a layer of both, or one of the student `=` one of the teacher.
pub fn taught(student: Network, teacher: &Network, weight: f32, features: &[&str]) -> Network {
    let mut net = student.into_builder();
    let scores = net.embed_frozen("teacher", teacher).expect("fits");
    let soft = SoftTarget { scores, temperature: 2.0, weight };
    let head = &mut net.heads_mut()[0];
    (head.labels, head.soft) = (1.0 - weight, Some(soft));
    for name in features {
        let node = |name: &str| net.node(name).expect("a layer");
        let (own, theirs) = name.split_once('=').unwrap_or((name, name));
        let pair = FeatureMatch { node: node(own), target: node(&format!("teacher.{theirs}")), weight: 0.5 };
        net.match_features(pair);
    }
    net.build().expect("builds")
}

fn with_teacher(name: &str, size: u32, widths: [[u32; 3]; 2], weight: f32, features: &[&str]) -> Model {
    let [student, teacher] = widths.map(|widths| model(name, size, bits(widths)));
    Model { network: taught(student.network, &teacher.network, weight, features), ..student }
}

fn state_of<E: Executor>(session: &mut Session<E>) -> Vec<NamedTensor> {
    block_on(session.state()).expect("state")
}

/// The parameters of another training of the digits, under the names that the teacher's have.
pub fn teacher_state(widths: [u32; 3], seed: u64) -> Vec<NamedTensor> {
    let plain = model("digits", 8, bits(widths));
    let mut session = host_session(&plain, &SessionOptions { seed, ..options(&plain, SAMPLES) });
    let named = |tensor: NamedTensor| NamedTensor { name: format!("teacher.{}", tensor.name), ..tensor };
    state_of(&mut session).into_iter().map(named).collect()
}

#[test]
fn a_step_with_a_teacher_equals_the_reference() {
    let model = with_teacher("digits", 8, [[1, 2, 4], [2, 3, 32]], 0.75, &["conv1", "bn1"]);
    step_equals_the_reference(&model);
}

/// What the bases of a block sum up to learns from the teacher's block.
#[test]
fn a_step_of_bases_with_a_teacher_equals_the_reference() {
    let teacher = model("digits", 8, bits([2, 3, 32]));
    let student = built("digits", 8, [1, 2, 4], &structure("v1", 2));
    let features = ["block1.bases=bn2", "bn0"];
    let network = taught(student.network, &teacher.network, 0.75, &features);
    step_equals_the_reference(&Model { network, ..student });
}

/// A step that matches two features.
fn step_equals_the_reference(model: &Model) {
    let Some(mut session) = gpu_session(model, &options(model, SAMPLES)) else { return };
    let pictures = Pictures::new(model, SAMPLES, 11);
    let checks = block_on(session.step_checked(&pictures.batch(), 0, 1e-3, false)).expect("a step");
    for check in &checks {
        let first = check.comparison.first.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(check.comparison.passed(), "{} {} {}: {first}", check.layer, check.pass, check.kernel);
    }
    let of_teacher = |phase: Phase| {
        let all = checks.iter().filter(|check| check.phase == phase);
        all.filter(|check| check.layer.starts_with("teacher.")).count()
    };
    assert!(of_teacher(Phase::Forward) > 10);
    assert_eq!((of_teacher(Phase::Backward), of_teacher(Phase::Apply)), (0, 0), "it is not trained");
    assert_eq!(checks.iter().filter(|check| check.kernel == "squared_error").count(), 2);
}

#[test]
fn a_teacher_is_neither_changed_nor_saved_nor_evaluated() {
    let model = with_teacher("digits", 8, [[1, 2, 4], [2, 3, 4]], 0.5, &["bn1"]);
    let plain = tests::model("digits", 8, bits([1, 2, 4]));
    let run = |teacher: &[NamedTensor]| {
        let mut session = gpu_session(&model, &options(&model, SAMPLES))?;
        session.load_frozen(teacher).expect("the teacher's parameters");
        let pictures = Pictures::new(&model, SAMPLES, 12);
        let reports: Vec<f32> = (0..3)
            .map(|step| block_on(session.step(&pictures.batch(), step, 1e-3)).expect("a step").loss)
            .collect();
        let state = state_of(&mut session);
        block_on(session.freeze()).expect("freezes");
        let scores = block_on(session.logits(&pictures.batch())).expect("evaluates");
        Some((reports, state, scores))
    };
    let teacher = teacher_state([2, 3, 4], 91);
    let Some((reports, state, scores)) = run(&teacher) else { return };
    let (again, same, _) = run(&teacher).expect("an adapter");
    assert_eq!(reports, again);
    assert_same(&same, &state, "the same teacher");
    let (other, ..) = run(&teacher_state([2, 3, 4], 92)).expect("an adapter");
    assert_ne!(reports, other, "another teacher");
    assert!(state.iter().all(|tensor| !tensor.name.starts_with("teacher")), "it is not saved");
    // The state is that of the network without a teacher, which gives the same class scores.
    let mut session = gpu_session(&plain, &options(&plain, SAMPLES)).expect("an adapter");
    session.load_state(&state).expect("the same tensors");
    block_on(session.freeze()).expect("freezes");
    let pictures = Pictures::new(&plain, SAMPLES, 12);
    assert_eq!(block_on(session.logits(&pictures.batch())).expect("evaluates"), scores);
    assert!(session.load_frozen(&teacher).is_ok(), "nothing is frozen there");
    let mut session = gpu_session(&model, &options(&model, SAMPLES)).expect("an adapter");
    let message = session.load_frozen(&teacher[1..]).expect_err("one is missing").to_string();
    assert!(message.contains(&format!("`{}` is missing", teacher[0].name)), "{message}");
}

/// In full precision, and with channels whose bits are drawn from the name that a layer has in its own network, student and
/// teacher compute the same by running statistics, bit for bit.
#[test]
fn a_student_that_equals_its_teacher_has_nothing_to_learn() {
    let mixed = HbnnActivation { mix: "1:0.5,2:0.5".parse().expect("a mix"), seed: 3 };
    let mixed = Method { channel_bits: Some(mixed), ..Method::default() };
    for (method, widths, features) in
        [(Method::default(), [32, 32, 32], ["conv1", "bn1"].as_slice()), (mixed, [32, 2, 32], &[])]
    {
        let alone = by(model("digits", 8, bits(widths)), &method);
        let network = taught(alone.network.clone(), &alone.network, 1.0, features);
        let model = Model { network, ..alone };
        let options = SessionOptions { frozen_batch_norm: true, ..options(&model, SAMPLES) };
        let Some(mut session) = gpu_session(&model, &options) else { return };
        let teacher: Vec<NamedTensor> = state_of(&mut session)
            .into_iter()
            .map(|tensor| NamedTensor { name: format!("teacher.{}", tensor.name), ..tensor })
            .collect();
        session.load_frozen(&teacher).expect("fits");
        let pictures = Pictures::new(&model, SAMPLES, 13);
        let gradients = |session: &mut Session<_>| {
            block_on(session.forward(&pictures.batch(), 0)).expect("forward");
            block_on(session.backward()).expect("backward");
            let gradients = block_on(session.gradients()).expect("gradients");
            gradients.iter().flat_map(|tensor| &tensor.values).fold(0f32, |max, value| max.max(value.abs()))
        };
        assert_eq!(gradients(&mut session), 0.0, "{widths:?}");
        session.load_frozen(&teacher_state(widths, 93)).expect("fits");
        assert!(gradients(&mut session) > 1e-3, "from another teacher it learns");
    }
}

#[test]
fn a_teacher_drops_nothing_out() {
    let model = with_teacher("svhn-d", 32, [[1, 2, 4]; 2], 0.5, &[]);
    let Some(session) = gpu_session(&model, &options(&model, SAMPLES)) else { return };
    let recording = session.recording(Phase::Forward).expect("a forward pass");
    let dropping = recording.dispatches.iter().filter(|dispatch| dispatch.kernel.name().contains("dropout"));
    let layers: Vec<&str> = dropping.map(|dispatch| dispatch.scope.layer.as_str()).collect();
    assert_eq!(layers.len(), 1, "{layers:?}");
    assert!(!layers[0].starts_with("teacher"));
}

/// The penalty on products counts those of the student, at the student's lengths.
#[test]
fn lengths_of_a_teacher_cost_nothing() {
    let stepped = |gamma| {
        let own = learned([4, 4, 4], LearnedBits { penalty: Penalty::BitOps, gamma, ..LEARNED });
        let teacher = learned([6, 6, 4], LEARNED);
        let model = Model { network: taught(own.network, &teacher.network, 0.5, &[]), ..own };
        let optimizer = Optimizer::Sgd { momentum: 0.0, weight_decay: 0.0, nesterov: false };
        let mut session = gpu_session(&model, &SessionOptions { optimizer, ..options(&model, SAMPLES) })?;
        train(&mut session, &Pictures::new(&model, SAMPLES, 11).batch(), 0, 1);
        Some(block_on(session.bit_lengths()).expect("lengths"))
    };
    let (Some(without), Some(with)) = (stepped(0.0), stepped(2.0)) else { return };
    assert!(with.len() >= 4);
    let products: u64 = with.iter().filter(|l| l.name.ends_with("weight_length")).map(|l| l.macs).sum();
    for (with, without) in with.iter().zip(&without) {
        let moved = f64::from(without.length - with.length);
        let want = 2.0 * 4.0 * with.macs as f64 / products as f64 * 1e-3 * LEARNED.rate;
        assert!((moved - want).abs() < 1e-5, "{with:?}: {moved}, not {want}");
    }
}

/// Lengths that training draws at random are in a teacher what evaluations take.
#[test]
fn a_teacher_draws_no_lengths() {
    let stochastic = LearnedBits { form: LengthForm::Stochastic, ..LEARNED };
    let teacher = learned([4, 4, 4], stochastic);
    let student = model("digits", 8, bits([2, 2, 32]));
    let model = Model { network: taught(student.network, &teacher.network, 0.5, &[]), ..student };
    let Some(session) = gpu_session(&model, &options(&model, SAMPLES)) else { return };
    let recorded = session.recording(Phase::Forward).expect("a recording").dispatches.iter();
    let scales: Vec<String> = recorded
        .filter(|dispatch| dispatch.kernel.name() == "length_scales")
        .map(|dispatch| format!("{:?}", dispatch.kernel))
        .collect();
    assert!(scales.len() >= 4 && scales.iter().all(|kernel| kernel.contains("draw: false")), "{scales:?}");
}

#[test]
fn features_of_other_shapes_are_refused() {
    let [student, teacher] = [model("digits", 8, bits([1, 2, 4])), model("digits", 8, bits([2, 2, 4]))];
    let mut net = student.network.into_builder();
    net.embed_frozen("teacher", &teacher.network).expect("fits");
    let node = |name: &str| net.node(name).expect("a layer");
    let pair = FeatureMatch { node: node("conv1"), target: node("teacher.fc1"), weight: 1.0 };
    net.match_features(pair);
    let message = net.build().expect_err("other shapes").to_string();
    assert!(message.contains("layer `conv1`") && message.contains("cannot match `teacher.fc1`"), "{message}");
    let [small, large] = [8, 12].map(|size| model("digits", size, bits([1, 2, 4])));
    let message = small.network.into_builder().embed_frozen("teacher", &large.network);
    let message = message.expect_err("other pictures").to_string();
    assert!(message.contains("`teacher`: reads pictures of 12x12"), "{message}");
}
