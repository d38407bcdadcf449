//! What goes wrong is an error that says what, never a panic and never a wrong number.

use std::sync::Arc;

use bitplane::models::Model;
use gpu::Gpu;
use graph::{Batch, GraphError, NamedTensor, Session, SessionOptions, Transform};
use pollster::block_on;
use recording::{BufferId, BufferSlice, Executor, ExecutorError, HostExecutor, Limits, Recording, Ticket};
use tests::{Pictures, assert_same, bits, gpu_session, host_session, model, options, plant, train};

const SAMPLES: u32 = 8;

fn digits(widths: [u32; 3]) -> (Model, SessionOptions, Pictures) {
    let model = model("digits", 8, bits(widths));
    let options = options(&model, SAMPLES);
    let pictures = Pictures::new(&model, SAMPLES, 40);
    (model, options, pictures)
}

#[test]
fn a_planted_value_that_is_not_finite_names_its_layer() {
    let layers = ["conv0", "conv1", "conv2", "fc1"];
    for widths in [[1, 2, 4], [32, 32, 32]] {
        for layer in layers {
            for value in [f32::NAN, f32::NEG_INFINITY] {
                let (model, options, pictures) = digits(widths);
                let Some(mut session) = gpu_session(&model, &options) else { return };
                train(&mut session, &pictures.batch(), 0, 1);
                plant(&mut session, &format!("{layer}.weight"), -1, value);
                let error = block_on(session.step(&pictures.batch(), 1, 1e-3)).expect_err("not finite");
                let named =
                    matches!(&error, GraphError::NonFinite { layer: found, step: 1, .. } if found == layer);
                assert!(named, "{widths:?} {layer} {value}: {error}");
            }
        }
    }
}

#[test]
fn a_planted_value_that_quantization_hides_is_found_by_the_end_of_the_step() {
    // Codes of a weight or of a normalized activation are finite whatever they were made from.
    for (widths, layer, parameter) in
        [([2, 2, 4], "conv1", "weight"), ([8, 8, 8], "conv2", "weight"), ([1, 2, 4], "bn1", "beta")]
    {
        let (model, options, pictures) = digits(widths);
        let Some(mut session) = gpu_session(&model, &options) else { return };
        plant(&mut session, &format!("{layer}.{parameter}"), 0, f32::NAN);
        let error = block_on(session.step(&pictures.batch(), 0, 1e-3)).expect_err("not finite");
        assert!(
            matches!(&error, GraphError::NonFinite { layer: found, .. } if found == layer),
            "{layer}: {error}"
        );
    }
}

#[test]
fn an_update_that_is_not_finite_names_its_layer() {
    let (model, options, pictures) = digits([1, 2, 4]);
    let Some(mut session) = gpu_session(&model, &options) else { return };
    let error = block_on(session.step(&pictures.batch(), 3, f64::INFINITY)).expect_err("an infinite rate");
    assert!(matches!(&error, GraphError::NonFinite { step: 3, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("layer `") && text.contains("step 3"), "{text}");
}

#[test]
fn a_state_that_does_not_fit_is_refused_whole() {
    let (model, options, pictures) = digits([1, 2, 4]);
    let mut session = host_session(&model, &options);
    train(&mut session, &pictures.part(0, 8), 0, 1);
    let good = block_on(session.state()).expect("state");
    let altered = |change: &dyn Fn(&mut Vec<NamedTensor>)| {
        // Every tensor differs, so that a partial load would be seen.
        let mut tensors = good.clone();
        tensors.iter_mut().for_each(|tensor| tensor.values[0] += 1.0);
        change(&mut tensors);
        tensors
    };
    let named =
        |tensors: &[NamedTensor], name: &str| tensors.iter().position(|t| t.name == name).expect("known");
    let bad: [(&str, Vec<NamedTensor>); 6] = [
        (
            "fc1.weight",
            altered(&|t| *t.last_mut().and_then(|t| t.values.last_mut()).expect("values") = f32::NAN),
        ),
        (
            "bn1.gamma",
            altered(&|t| {
                let at = named(t, "bn1.gamma");
                t[at].values[3] = f32::INFINITY;
            }),
        ),
        (
            "conv1.weight.second_moment",
            altered(&|t| {
                t.remove(named(t, "conv1.weight.second_moment"));
            }),
        ),
        (
            "bn1.running_mean",
            altered(&|t| {
                let at = named(t, "bn1.running_mean");
                t[at].shape = vec![1, 32];
            }),
        ),
        ("conv9.weight", altered(&|t| t.push(NamedTensor { name: "conv9.weight".into(), ..t[0].clone() }))),
        ("is missing", Vec::new()),
    ];
    for (name, tensors) in bad {
        let error = session.load_state(&tensors).expect_err("does not fit");
        assert!(matches!(&error, GraphError::State { message } if message.contains(name)), "{name}: {error}");
        assert_same(&block_on(session.state()).expect("state"), &good, name);
    }
    session.load_state(&altered(&|_| {})).expect("fits");
}

fn assert_recoverable<T>(result: Result<T, GraphError>) {
    match result.err().expect("the device is gone") {
        GraphError::Executor(error) => assert!(error.is_recoverable(), "{error}"),
        error => panic!("{error}"),
    }
}

#[test]
fn a_lost_device_is_an_error_and_a_new_one_continues_bit_for_bit() {
    let (model, options, pictures) = digits([1, 2, 4]);
    let batch = pictures.batch();
    let Some(mut whole) = gpu_session(&model, &options) else { return };
    train(&mut whole, &batch, 0, 1);
    let saved = block_on(whole.state()).expect("state");
    let want = train(&mut whole, &batch, 1, 2);
    let end = block_on(whole.state()).expect("state");
    for lost_before in 0..5 {
        let Some(mut session) = gpu_session(&model, &options) else { return };
        session.load_state(&saved).expect("its own state");
        let lose = |now: usize, session: &mut Session<Gpu>| {
            if now == lost_before {
                session.executor_mut().destroy_device();
            }
        };
        let result = block_on(async {
            lose(0, &mut session);
            session.forward(&batch, 1).await?;
            lose(1, &mut session);
            session.backward().await?;
            lose(2, &mut session);
            session.apply(1e-3).await?;
            lose(3, &mut session);
            session.report().await?;
            lose(4, &mut session);
            session.state().await
        });
        assert_recoverable(result);
        assert_recoverable(block_on(session.forward(&batch, 1)));
        assert_recoverable(block_on(session.freeze()));
        assert_recoverable(session.load_state(&saved));
        drop(session);
        let Some(mut fresh) = gpu_session(&model, &options) else { return };
        fresh.load_state(&saved).expect("its own state");
        assert_eq!(train(&mut fresh, &batch, 1, 2), want);
        assert_same(&block_on(fresh.state()).expect("state"), &end, "after a lost device");
    }
}

/// The reference, which forgets to run one kind of recording while told so.
#[derive(Debug)]
struct Forgetful {
    inner: HostExecutor,
    forgets: Option<&'static str>,
}

impl Executor for Forgetful {
    type Prepared = Recording;

    fn limits(&self) -> Limits {
        self.inner.limits()
    }
    fn allocate(&mut self, label: &str, words: u64) -> Result<BufferId, ExecutorError> {
        self.inner.allocate(label, words)
    }
    fn allocated_bytes(&self) -> u64 {
        self.inner.allocated_bytes()
    }
    fn write(&mut self, buffer: BufferId, offset: u64, words: &[u32]) -> Result<(), ExecutorError> {
        self.inner.write(buffer, offset, words)
    }
    fn prepare(&mut self, recording: &Recording) -> Result<Recording, ExecutorError> {
        self.inner.prepare(recording)
    }
    fn join(&self, parts: &[&Recording]) -> Recording {
        self.inner.join(parts)
    }
    async fn run_and_read(
        &mut self,
        prepared: &Recording,
        slice: BufferSlice,
    ) -> Result<Ticket, ExecutorError> {
        self.run(prepared).await?;
        self.inner.run_and_read(&Recording::new(), slice).await
    }
    fn is_done(&mut self, ticket: &Ticket) -> Result<bool, ExecutorError> {
        self.inner.is_done(ticket)
    }
    async fn take(&mut self, ticket: Ticket, words: &mut Vec<u32>) -> Result<(), ExecutorError> {
        self.inner.take(ticket, words).await
    }
    async fn run(&mut self, prepared: &Recording) -> Result<(), ExecutorError> {
        if prepared.dispatches.iter().any(|dispatch| Some(dispatch.kernel.name()) == self.forgets) {
            return Ok(());
        }
        self.inner.run(prepared).await
    }
    async fn read(&mut self, buffer: BufferId, offset: u64, words: u64) -> Result<Vec<u32>, ExecutorError> {
        self.inner.read(buffer, offset, words).await
    }
}

#[test]
fn a_step_that_did_not_run_is_noticed_by_its_token() {
    let (model, _, pictures) = digits([1, 2, 4]);
    let executor = Forgetful { inner: HostExecutor::new(), forgets: None };
    let options = options(&model, 1);
    let mut session = Session::new(executor, &model.network, &options).expect("a session");
    let batch = pictures.part(0, 1);
    train(&mut session, &batch, 0, 2);
    for step in [2, 1] {
        // The token of the step before must not pass for that of this one, nor that of the same step.
        session.executor_mut().forgets = Some("step_token");
        let error = block_on(session.step(&batch, step, 1e-3)).expect_err("nothing was applied");
        let want = ExecutorError::StepToken { found: 0, expected: step + 1 };
        assert!(want.is_recoverable());
        assert_eq!(error, GraphError::Executor(want));
        session.executor_mut().forgets = None;
        train(&mut session, &batch, step, 1);
    }
}

#[test]
fn calls_out_of_order_are_refused() {
    let (model, options, pictures) = digits([1, 2, 4]);
    let Some(mut session) = gpu_session(&model, &options) else { return };
    let batch = pictures.batch();
    fn refused<T: std::fmt::Debug>(call: &str, result: Result<T, GraphError>) {
        match result.expect_err(call) {
            GraphError::Order { call: found, .. } => assert_eq!(found, call),
            error => panic!("{call}: {error}"),
        }
    }
    refused("backward", block_on(session.backward()));
    refused("gradients", block_on(session.gradients()));
    refused("apply", block_on(session.apply(1e-3)));
    refused("evaluate", block_on(session.evaluate(&batch)));
    refused("logits", block_on(session.logits(&batch)));
    refused("submit_evaluation", block_on(session.submit_evaluation(&batch)));
    block_on(session.forward(&batch, 0)).expect("forward");
    refused("gradients", block_on(session.gradients()));
    refused("apply", block_on(session.apply(1e-3)));
    block_on(session.backward()).expect("backward");
    refused("backward", block_on(session.backward()));
    block_on(session.apply(1e-3)).expect("apply");
    refused("apply", block_on(session.apply(1e-3)));
    block_on(session.freeze()).expect("freezes");
    block_on(session.evaluate(&batch)).expect("evaluates");
    // An evaluation overwrites what a backward pass would need, and a step makes the packed weights stale.
    block_on(session.forward(&batch, 1)).expect("forward");
    refused("evaluate", block_on(session.evaluate(&batch)));
    block_on(session.freeze()).expect("freezes");
    block_on(session.evaluate(&batch)).expect("evaluates");
    refused("backward", block_on(session.backward()));
    let state = block_on(session.state()).expect("state");
    session.load_state(&state).expect("its own state");
    refused("evaluate", block_on(session.evaluate(&batch)));
}

#[test]
fn batches_that_do_not_fit_are_refused_with_their_sizes() {
    let (model, options, pictures) = digits([1, 2, 4]);
    let mut session = host_session(&model, &options);
    block_on(session.freeze()).expect("freezes");
    let (pixels, labels) = (&pictures.pixels[..], &pictures.labels[..]);
    let mut wrong = labels.to_vec();
    wrong[5] = 10;
    let none: &[Transform] = &[];
    let transforms = [Transform::default(); 3];
    let refused = |result: Result<(), GraphError>, parts: &[&str]| match result.expect_err("does not fit") {
        GraphError::Batch { message } => {
            assert!(parts.iter().all(|part| message.contains(part)), "{message}: {parts:?}");
        }
        error => panic!("{error}"),
    };
    let both: [(Batch<'_>, &[&str]); 4] = [
        (Batch { pixels: &pixels[1..], labels, transforms: none }, &["511", "512"]),
        (Batch { pixels, labels: &wrong, transforms: none }, &["label 10", "sample 5", "10 classes"]),
        (Batch { pixels, labels, transforms: &transforms }, &["3 transforms", "8 samples"]),
        (Batch { pixels: &[], labels: &[], transforms: none }, &["0 samples", "8"]),
    ];
    for (batch, parts) in both {
        refused(block_on(session.forward(&batch, 0)), parts);
        refused(block_on(session.evaluate(&batch)).map(drop), parts);
    }
    refused(block_on(session.forward(&pictures.part(0, 7), 0)), &["7 samples", "8"]);
    let more = Pictures::new(&model, SAMPLES + 1, 1);
    refused(block_on(session.evaluate(&more.batch())).map(drop), &["9 samples", "8"]);
}

#[test]
fn tensors_that_cannot_be_cut_small_enough_are_named_with_their_sizes() {
    let (model, options, _) = digits([1, 2, 4]);
    let parameters = model.network.parameters();
    let (_, shape) = parameters.iter().find(|(name, _)| name == "fc1.weight").expect("a linear layer");
    let weight = 4 * shape.iter().product::<usize>() as u64;
    let refused = |batch_size: u32, limit: u64| {
        let options = SessionOptions { batch_size, max_binding_words: Some(limit), ..options.clone() };
        let error = Session::new(HostExecutor::new(), &model.network, &options).expect_err("too large");
        let GraphError::TooLarge { tensor, samples, needed, limit: bytes } = error.clone() else {
            panic!("{error}")
        };
        assert_eq!(bytes, 4 * limit);
        assert!(needed > bytes);
        let text = error.to_string();
        assert!(
            [&tensor, &needed.to_string(), &bytes.to_string()].iter().all(|part| text.contains(*part)),
            "{text}"
        );
        (tensor, samples, needed, text)
    };
    let (tensor, samples, needed, text) = refused(64, 4300);
    assert_eq!((tensor.as_str(), samples, needed), ("fc1.weight", 0, weight));
    assert!(!text.contains("samples"), "{text}");
    // 64 samples are cut, 32 are not.
    let (tensor, samples, needed, text) = refused(64, 60_000);
    assert_eq!((tensor.as_str(), samples, needed), ("conv0.output", 32, 4 * 32 * 64 * 32));
    assert!(text.contains("32 samples"), "{text}");
}

#[test]
fn a_dispatch_beyond_the_loop_limit_is_refused() {
    let (model, options, _) = digits([1, 2, 4]);
    let mut session = host_session(&model, &options);
    let slice = session.executor_mut().allocate("words", 70_000).expect("allocates");
    let kernel = kernels::Metrics { samples: 65_535 };
    let buffers = [65_535, 65_535, 4].map(|words| recording::BufferSlice::whole(slice, words)).to_vec();
    let dispatch =
        recording::Dispatch { kernel: Arc::new(kernel), buffers, scope: recording::Scope::default() };
    let error =
        session.executor_mut().prepare(&Recording { dispatches: vec![dispatch] }).expect_err("too deep");
    assert!(
        matches!(&error, ExecutorError::Dispatch { message, .. } if message.contains("65535")),
        "{error}"
    );
}
