//! Networks cut to fewer bits whose batch norm alone is trained.

use std::collections::BTreeSet;

use bitplane::models::Model;
use graph::{BaseScales, Cut, Heterogeneous, Method, NestedForm, Partition, Phase, Shortcut, Structure};
use pollster::block_on;
use tests::{Pictures, bits, gpu_session, model, options};

use crate::method::{by, checked_kernels};

const SAMPLES: u32 = 5;

fn cut(model: Model, to: u32) -> Model {
    let network = model.network.cut(&Cut::uniform(to)).expect("has upper bits");
    Model { network: network.with_batch_norm_alone().expect("has batch norms"), ..model }
}

/// Plain codes, nested ones, and levels, in a network with bases too.
fn networks() -> Vec<(&'static str, Model)> {
    let nested = Method { nested: Some(NestedForm::MidRise), ..Method::default() };
    let mix = "1:0.5,2:0.3,3:0.2".parse().expect("a mix");
    let levels = Method { heterogeneous: Some(Heterogeneous::of(mix)), ..Method::default() };
    let bases = Structure {
        partition: Partition::Groups(vec![1, 1, 1]),
        bases: 2,
        scales: BaseScales::Learned,
        shortcut: Shortcut::Shared,
        soft: false,
    };
    let digits = || model("digits", 8, bits([3, 3, 4]));
    let resnet = model("resnet8", 16, bits([2, 2, 32])).structured(Some(&bases)).expect("fits");
    vec![
        ("plain", cut(digits(), 2)),
        ("nested", cut(by(digits(), &nested), 1)),
        ("levels", cut(by(digits(), &levels), 2)),
        ("bases", cut(resnet, 1)),
    ]
}

#[test]
fn a_step_of_batch_norm_alone_equals_the_reference() {
    for (name, model) in networks() {
        let Some(kernels) = checked_kernels(&model, SAMPLES) else { return };
        assert!(kernels.iter().any(|kernel| kernel.starts_with("batch_norm")), "{name}: {kernels:?}");
    }
}

/// Steps move factors, offsets and statistics of every batch norm and not one bit of anything else; nothing computes the
/// gradient of a weight.
#[test]
fn steps_leave_all_else_as_it_is() {
    for (name, model) in networks() {
        let Some(mut session) = gpu_session(&model, &options(&model, SAMPLES)) else { return };
        for dispatch in &session.recording(Phase::Backward).expect("recorded").dispatches {
            let kernel = dispatch.kernel.name();
            assert!(
                !kernel.contains("grad_weight") && !kernel.contains("weight_backward"),
                "{name}: {kernel}"
            );
        }
        assert!(session.products().iter().all(|note| note.pass != "grad_weight"), "{name}");
        let pictures = Pictures::new(&model, SAMPLES, 3);
        let before = block_on(session.state()).expect("a state");
        for step in 0..3 {
            block_on(session.step(&pictures.batch(), step, 0.01)).expect("a step");
        }
        let after = block_on(session.state()).expect("a state");
        let norms: BTreeSet<String> = model
            .network
            .summary()
            .iter()
            .filter(|layer| layer.kind == "batch_norm")
            .map(|layer| layer.name.clone())
            .collect();
        for (before, after) in before.iter().zip(&after) {
            let [before_bits, after_bits] =
                [before, after].map(|t| t.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
            let trained = norms.iter().any(|norm| before.name.starts_with(&format!("{norm}.")));
            assert_eq!(before_bits != after_bits, trained, "{name}: {}", before.name);
            assert!(
                trained || !before.name.ends_with("moment"),
                "{name}: {} is state of nothing",
                before.name
            );
        }
    }
}
