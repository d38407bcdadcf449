//! Whatever kernels compute the products, a step gives the same bits.

use std::collections::{BTreeMap, BTreeSet};

use bitplane::models::Model;
use graph::{KernelPlan, NamedTensor, ProductNote, SessionOptions, StepReport};
use kernels::{Arithmetic, Tactic};
use pollster::block_on;
use tests::{Pictures, assert_same, bits, gpu_session, model, options};

const SAMPLES: u32 = 3;

/// What one training step leaves behind.
struct Step {
    report: StepReport,
    gradients: Vec<NamedTensor>,
    state: Vec<NamedTensor>,
    /// Of the evaluation behind it.
    logits: Vec<u32>,
    products: Vec<ProductNote>,
    lanes: Option<u32>,
}

impl Step {
    fn run(model: &Model, kernels: &KernelPlan) -> Option<Self> {
        let pictures = Pictures::new(model, SAMPLES, 91);
        let kernels = kernels.clone();
        let options = SessionOptions { kernels, ..options(model, SAMPLES) };
        let mut session = gpu_session(model, &options)?;
        block_on(session.forward(&pictures.batch(), 0)).expect("forward");
        block_on(session.backward()).expect("backward");
        let gradients = block_on(session.gradients()).expect("gradients");
        block_on(session.apply(1e-3)).expect("an update");
        let report = block_on(session.report()).expect("a report");
        block_on(session.freeze()).expect("frozen");
        let logits = block_on(session.logits(&pictures.batch())).expect("logits");
        Some(Self {
            report,
            gradients,
            state: block_on(session.state()).expect("state"),
            logits: logits.iter().map(|x| x.to_bits()).collect(),
            products: session.products().to_vec(),
            lanes: recording::Executor::limits(session.executor_mut()).subgroup,
        })
    }

    fn assert_same(&self, want: &Self, what: &str) {
        assert_eq!(self.report.loss.to_bits(), want.report.loss.to_bits(), "{what}: loss");
        assert_eq!(self.report, want.report, "{what}");
        assert_same(&self.gradients, &want.gradients, &format!("{what}: gradients"));
        assert_same(&self.state, &want.state, &format!("{what}: state"));
        assert!(self.logits == want.logits, "{what}: logits");
    }

    fn tactics(&self) -> impl Iterator<Item = (graph::ProductKey, Tactic)> {
        self.products.iter().filter_map(|note| note.tactic)
    }
}

/// Every candidate of every product: the plan at position i takes the i-th of each, or the last there is.
fn every_candidate(step: &Step, portable: bool) -> Vec<KernelPlan> {
    let lanes = step.lanes.filter(|_| !portable);
    let candidates: BTreeMap<_, _> = step.tactics().map(|(key, _)| (key, key.candidates(lanes))).collect();
    let most = candidates.values().map(Vec::len).max().expect("there are products");
    assert!(most <= Tactic::MAX_CANDIDATES, "{candidates:?}");
    let plan = |position: usize| {
        let choices = candidates.iter().map(|(key, list)| (*key, list[position.min(list.len() - 1)]));
        KernelPlan { choices: choices.collect(), portable, ..KernelPlan::default() }
    };
    (0..most).map(plan).collect()
}

/// Kernels that computed a product of planes, with their arithmetic.
type Ran = BTreeSet<(&'static str, String)>;

/// Trains one step on every plan and gives what ran, or nothing without a device.
fn every_plan_gives_the_same_bits(name: &str, size: u32, widths: [u32; 3]) -> Option<(Ran, Option<u32>)> {
    let model = model(name, size, bits(widths));
    let want = Step::run(&model, &KernelPlan::default())?;
    assert!(
        want.tactics().all(|(_, tactic)| tactic.arithmetic() == Arithmetic::Bits),
        "bits are the default"
    );
    let mut ran = Ran::new();
    for portable in [false, true] {
        for (position, plan) in every_candidate(&want, portable).into_iter().enumerate() {
            let step = Step::run(&model, &plan)?;
            let choices = &plan.choices;
            assert!(step.tactics().all(|(key, tactic)| choices[&key] == tactic), "{:?}", step.products);
            let what = format!("{name} {widths:?} candidate {position} of each product, portable {portable}");
            step.assert_same(&want, &what);
            let notes = step.products.iter().filter(|note| note.tactic.is_some());
            ran.extend(notes.map(|note| (note.kernel, note.arithmetic().to_string())));
        }
        for wanted in Arithmetic::ALL {
            let plan = KernelPlan { arithmetic: Some(wanted), portable, ..KernelPlan::default() };
            let step = Step::run(&model, &plan)?;
            step.assert_same(&want, &format!("{name} {widths:?} {wanted} portable {portable}"));
            for note in step.products.iter().filter(|note| note.tactic.is_some()) {
                let fell_back = note.arithmetic() != wanted;
                assert_eq!(note.reason.is_some(), fell_back, "{note:?}");
                assert!(!fell_back || note.arithmetic() == Arithmetic::Bits, "{note:?}");
            }
        }
    }
    Some((ran, want.lanes))
}

/// The same, and every rival took part; at 8 bits most sums leave the integers of f32.
fn every_rival_gives_the_same_bits(name: &str, size: u32, widths: [u32; 3]) {
    let Some((ran, lanes)) = every_plan_gives_the_same_bits(name, size, widths) else { return };
    let mut rivals = vec![("and_product", "bits"), ("xor_product", "bits"), ("tile_product", "bits")];
    rivals.extend(lanes.map(|_| ("subgroup_product", "bits")));
    rivals.extend([("tile_byte_product", "dot4"), ("tile_byte_product", "f32")]);
    rivals.extend(lanes.map(|_| ("subgroup_byte_product", "dot4")));
    // Wide subgroups multiply in f32 by workgroups alone.
    rivals.extend(lanes.filter(|&lanes| lanes < 32).map(|_| ("subgroup_byte_product", "f32")));
    let rivals: Ran =
        rivals.into_iter().map(|(kernel, arithmetic)| (kernel, arithmetic.to_owned())).collect();
    assert_eq!(ran, rivals, "{name} {widths:?}");
}

#[test]
fn svhn_at_1_2_4_bits() {
    every_rival_gives_the_same_bits("svhn-d", 32, [1, 2, 4]);
}

#[test]
fn svhn_at_2_3_6_bits() {
    every_rival_gives_the_same_bits("svhn-d", 32, [2, 3, 6]);
}

#[test]
fn svhn_at_8_8_8_bits() {
    every_rival_gives_the_same_bits("svhn-d", 32, [8, 8, 8]);
}

#[test]
fn resnet_at_1_2_4_bits() {
    every_rival_gives_the_same_bits("resnet20", 16, [1, 2, 4]);
}

#[test]
fn resnet_at_2_3_6_bits() {
    every_rival_gives_the_same_bits("resnet20", 16, [2, 3, 6]);
}

#[test]
fn resnet_at_8_8_8_bits() {
    every_rival_gives_the_same_bits("resnet20", 16, [8, 8, 8]);
}
