//! Several heads of one network, and parameters that layers share.

use std::{collections::BTreeMap, sync::Arc};

use bitplane::models::Model;
use graph::{
    Geometry, GraphError, Head, InputSpec, NamedTensor, Network, NetworkBuilder, Node, Padding, Session,
    SessionOptions, Shape, SoftTarget,
    layers::{BatchNorm, Conv2d, Linear, QuantizedConv2d},
};
use pollster::block_on;
use recording::Executor;
use tests::{Pictures, assert_same, bits, gpu_session, host_session, options, words};

use crate::chunks::limit_for;

const SAMPLES: u32 = 5;
const SIDE: u32 = 8;

/// One path from the trunk to class scores; the second computes with the first one's parameters, but for those of batch norm.
fn path(net: &mut NetworkBuilder, trunk: Node, at: usize, widths: [u32; 3]) -> Node {
    let same = Geometry::square(3, 1, Padding::Same);
    let name = |layer: &str| if at == 0 { layer.to_owned() } else { format!("{layer}@narrow") };
    let conv = Arc::new(QuantizedConv2d::dorefa(6, same, bits(widths)));
    let fc = Arc::new(Linear { outputs: 10, weight_decay: 0.0 });
    let x = match at {
        0 => net.add_layer("conv1", conv, &[trunk]),
        _ => net.add_shared_layer(&name("conv1"), conv, &[trunk], "conv1"),
    };
    // Else both paths would compute the same.
    let norm = BatchNorm { epsilon: if at == 0 { 1e-4 } else { 0.5 }, ..BatchNorm::default() };
    let x = net.add_layer(&name("bn1"), Arc::new(norm), &[x.expect("fits")]).expect("fits");
    let x = net.rectifier(&name("act1"), x, widths[1]).expect("fits");
    let x = net.global_avg_pool(&name("gap"), x).expect("fits");
    match at {
        0 => net.add_layer("fc", fc, &[x]).expect("fits"),
        _ => net.add_shared_layer(&name("fc"), fc, &[x], "fc").expect("fits"),
    }
}

/// A trunk and two paths with the same weights; `heads` says what their scores learn.
fn two_paths(widths: [u32; 3], heads: impl Fn([Node; 2]) -> Vec<Head>) -> Model {
    let mut net = NetworkBuilder::new(Shape::new(SIDE, SIDE, 1));
    let geometry = Geometry::square(3, 1, Padding::Valid);
    let x = net.input();
    let x = net.conv2d("conv0", x, Conv2d { out_channels: 5, geometry, bias: true }).expect("fits");
    let x = net.batch_norm("bn0", x).expect("fits");
    let trunk = net.activation("act0", x, widths[1]).expect("fits");
    let scores = [0, 1].map(|at| path(&mut net, trunk, at, widths));
    heads(scores).into_iter().for_each(|head| net.head(head));
    let (source_height, resize_height, out_height) = (SIDE, SIDE, SIDE);
    let (source_width, resize_width, out_width) = (SIDE, SIDE, SIDE);
    let input = InputSpec {
        source_height,
        source_width,
        channels: 1,
        resize_height,
        resize_width,
        out_height,
        out_width,
    };
    Model { network: net.build().expect("builds"), input }
}

fn labeled(scores: [Node; 2]) -> Vec<Head> {
    scores.map(Head::labeled).to_vec()
}

/// The second path learns the first one's scores and the labels.
fn distilled([wide, narrow]: [Node; 2]) -> Vec<Head> {
    let soft = SoftTarget { scores: wide, temperature: 2.0, weight: 0.75 };
    vec![Head::labeled(wide), Head { scores: narrow, labels: 0.5, soft: Some(soft) }]
}

fn part(whole: &Model, network: Network) -> Model {
    Model { network, input: whole.input }
}

/// Gradients and loss of one step with the parameters of `state`.
fn gradients(model: &Model, state: &[NamedTensor]) -> Option<(BTreeMap<String, Vec<f32>>, f32)> {
    let mut session = gpu_session(model, &options(model, SAMPLES))?;
    session.load_parameters(state).expect("fits");
    let pictures = Pictures::new(model, SAMPLES, 21);
    block_on(session.forward(&pictures.batch(), 0)).expect("forward");
    block_on(session.backward()).expect("backward");
    let gradients = block_on(session.gradients()).expect("gradients");
    let loss = block_on(session.report()).expect("a report").loss;
    Some((gradients.into_iter().map(|tensor| (tensor.name, tensor.values)).collect(), loss))
}

fn state_of<E: Executor>(session: &mut Session<E>) -> Vec<NamedTensor> {
    block_on(session.state()).expect("state")
}

fn step_equals_reference(model: &Model) {
    let Some(mut session) = gpu_session(model, &options(model, SAMPLES)) else { return };
    let pictures = Pictures::new(model, SAMPLES, 11);
    let checks = block_on(session.step_checked(&pictures.batch(), 0, 1e-3, false)).expect("a step");
    for check in &checks {
        let (index, kernel) = (check.index, check.kernel);
        assert!(check.comparison.passed(), "{:?} {index}, {} {kernel}", check.phase, check.layer);
    }
    let loss = block_on(session.report()).expect("a report").loss;
    let mut host = host_session(model, &options(model, SAMPLES));
    let reference = block_on(host.step(&pictures.batch(), 0, 1e-3)).expect("a step of the reference").loss;
    assert!((loss - reference).abs() <= 0.01 * reference, "{loss} is not {reference}");
}

#[test]
fn a_step_of_two_labeled_heads_equals_the_reference() {
    step_equals_reference(&two_paths([1, 2, 4], labeled));
}

#[test]
fn a_step_of_a_distilled_head_equals_the_reference() {
    step_equals_reference(&two_paths([2, 2, 4], distilled));
    step_equals_reference(&two_paths([1, 2, 32], |[wide, narrow]| {
        vec![Head::labeled(wide), Head::distilled(narrow, wide)]
    }));
}

#[test]
fn shared_gradients_are_the_sum_of_those_of_single_runs() {
    // Stochastic gradient codes would differ, as each layer draws its own.
    let model = two_paths([1, 2, 32], labeled);
    let state = state_of(&mut host_session(&model, &options(&model, SAMPLES)));
    let Some((both, loss)) = gradients(&model, &state) else { return };
    let mut singles = Vec::new();
    for head in 0..model.network.head_count() {
        singles.extend(gradients(&part(&model, model.network.head(head)), &state));
    }
    let [(wide, wide_loss), (narrow, narrow_loss)] = &singles[..] else { panic!("two heads") };
    assert!((loss - (wide_loss + narrow_loss)).abs() < 1e-5 * loss, "{loss}: {wide_loss} and {narrow_loss}");
    assert_ne!(wide_loss, narrow_loss, "the paths differ");
    for (name, got) in &both {
        let of = |single: &BTreeMap<String, Vec<f32>>| single.get(name).cloned();
        let want: Vec<f32> = match (of(wide), of(narrow)) {
            (Some(a), Some(b)) => a.iter().zip(&b).map(|(a, b)| a + b).collect(),
            (a, b) => a.or(b).expect("a parameter of one head"),
        };
        let largest = want.iter().fold(0.0, |max: f32, value| max.max(value.abs()));
        assert!(largest > 0.0, "{name}");
        let shared = name.starts_with("conv1") || name.starts_with("fc");
        // Before the trunk the gradients are added as those of its output.
        let bound = if shared { 0.0 } else { 1e-4 * largest.max(1e-2) };
        for (got, want) in got.iter().zip(&want) {
            assert!((got - want).abs() <= bound, "{name}: {got:e} is not {want:e}");
        }
    }
}

#[test]
fn a_soft_target_receives_no_gradient() {
    let with = |heads: fn([Node; 2]) -> Vec<Head>| two_paths([1, 2, 32], heads);
    let (soft, plain) = (with(|s| vec![Head::labeled(s[0]), Head::distilled(s[1], s[0])]), with(labeled));
    let state = state_of(&mut host_session(&plain, &options(&plain, SAMPLES)));
    let Some((got, _)) = gradients(&soft, &state) else { return };
    let Some((alone, _)) = gradients(&part(&plain, plain.network.head(0)), &state) else { return };
    let norm = ["bn1.gamma", "bn1.beta"];
    assert!(norm.iter().all(|name| got[*name] == alone[*name]), "the first path learns from its labels only");
    assert_ne!(got["bn1@narrow.gamma"], alone["bn1.gamma"]);
}

#[test]
fn shared_parameters_are_saved_once_and_serve_every_head() {
    let model = two_paths([1, 2, 4], distilled);
    let Some(mut session) = gpu_session(&model, &options(&model, SAMPLES)) else { return };
    let pictures = Pictures::new(&model, SAMPLES, 12);
    block_on(session.step(&pictures.batch(), 0, 1e-2)).expect("a step");
    let state = state_of(&mut session);
    let names: Vec<&str> = state.iter().map(|tensor| tensor.name.as_str()).collect();
    assert!(names.contains(&"conv1.weight") && names.contains(&"bn1@narrow.running_mean"), "{names:?}");
    assert!(names.iter().all(|name| !name.starts_with("conv1@") && !name.starts_with("fc@")), "{names:?}");
    assert_eq!(session.parameter_count(), 45 + 5 + 2 * 5 + 270 + 2 * 12 + 60 + 10);

    let of_head = |head: usize| {
        let model = part(&model, model.network.head(head));
        let mut single = gpu_session(&model, &options(&model, SAMPLES)).expect("an adapter");
        single.load_parameters(&state).expect("the names are the same");
        block_on(single.freeze()).expect("freezes");
        block_on(single.logits(&pictures.batch())).expect("evaluates")
    };
    let (wide, narrow) = (of_head(0), of_head(1));
    block_on(session.freeze()).expect("freezes");
    let main = block_on(session.logits(&pictures.batch())).expect("evaluates");
    assert_eq!(main, wide, "the first head is the one that is evaluated");
    assert_ne!(wide, narrow);
}

#[test]
fn chunks_are_bit_identical() {
    let model = two_paths([1, 2, 4], distilled);
    let whole = options(&model, 96);
    let run = |options: &SessionOptions, chunk: u32| {
        let mut session = gpu_session(&model, options)?;
        assert_eq!(session.chunk_samples(), chunk);
        let pictures = Pictures::new(&model, 96, 13);
        let report = block_on(session.step(&pictures.batch(), 0, 1e-2)).expect("a step");
        Some((report, state_of(&mut session)))
    };
    let Some((report, state)) = run(&whole, 96) else { return };
    let Some((cut_report, cut)) = run(&limit_for(&model, &whole, 64), 64) else { return };
    assert_same(&cut, &state, "in chunks of 64");
    assert_eq!(cut_report, report);
}

#[test]
fn parameters_of_single_headed_networks_start_as_before() {
    let model = two_paths([1, 2, 4], labeled);
    let start = |model: &Model| words(&state_of(&mut host_session(model, &options(model, SAMPLES))));
    let (both, first) = (start(&model), start(&part(&model, model.network.head(0))));
    assert!(first.iter().all(|(name, words)| both[name] == *words), "the second head draws after the first");
}

fn refused(build: impl FnOnce(&mut NetworkBuilder, Node) -> Result<(), GraphError>) -> String {
    let mut net = NetworkBuilder::new(Shape::new(1, 1, 4));
    let x = net.input();
    let x = net.linear("fc", x, Linear { outputs: 3, weight_decay: 0.0 }).expect("fits");
    let built = build(&mut net, x).and_then(|()| net.build());
    built.expect_err("does not fit").to_string()
}

#[test]
fn heads_and_shared_parameters_that_do_not_fit_are_refused() {
    let linear = |outputs: u32| Arc::new(Linear { outputs, weight_decay: 0.0 });
    let shares = refused(|net, x| net.add_shared_layer("b", linear(3), &[x], "fc").map(drop));
    assert!(
        shares.contains("layer `b`: needs weight [3, 1, 1, 3]") && shares.contains("[3, 1, 1, 4]"),
        "{shares}"
    );
    let nobody = refused(|net, x| net.add_shared_layer("b", linear(3), &[x], "c").map(drop));
    assert!(nobody.contains("shares parameters of `c`, which is no layer"), "{nobody}");
    let heads = |heads: fn(Node, Node) -> Vec<Head>, outputs: u32| {
        refused(|net, x| {
            let y = net.add_layer("b", linear(outputs), &[net.input()])?;
            heads(x, y).into_iter().for_each(|head| net.head(head));
            Ok(())
        })
    };
    assert!(heads(|x, _| vec![Head::labeled(x)], 3).contains("layer `b`: nobody uses its output"));
    assert!(
        heads(|x, y| vec![Head::distilled(x, y)], 3)
            .contains("layer `b`: has parameters that no loss trains")
    );
    assert!(
        heads(|x, y| vec![Head::labeled(x), Head::labeled(y)], 2).contains("2 classes, the first head has 3")
    );
    assert!(heads(|x, y| vec![Head::labeled(x), Head::distilled(y, x)], 2).contains("cannot learn `fc`"));
    assert!(
        heads(|x, y| vec![Head::labeled(x), Head::labeled(y), Head::labeled(x)], 3).contains("is two heads")
    );
    let nothing = |x, y| vec![Head::labeled(x), Head { scores: y, labels: 0.0, soft: None }];
    assert!(heads(nothing, 3).contains("nothing to learn from"));
    let cold = |x, y| {
        let soft = SoftTarget { scores: x, temperature: 0.0, weight: 1.0 };
        vec![Head::labeled(x), Head { scores: y, labels: 0.0, soft: Some(soft) }]
    };
    assert!(heads(cold, 3).contains("temperature 0: it is above 0"));
    let negative = |x, y| vec![Head::labeled(x), Head { scores: y, labels: -1.0, soft: None }];
    assert!(heads(negative, 3).contains("weight -1 of the labels"));
}
