//! Several widths of one network on shared weights.

use std::collections::{BTreeMap, HashMap};

use bitplane::models::Model;
use gpu::Gpu;
use graph::{Cut, Method, NestedForm, Phase, Session, WidthLoss, Widths, width_of_name};
use pollster::block_on;
use tests::{Pictures, bits, gpu_session, model, options};

use crate::method::{by, checked_kernels};

const SAMPLES: u32 = 5;

fn nested(form: NestedForm) -> Method {
    Method { nested: Some(form), ..Method::default() }
}

fn flexible(widths: &[u32], form: NestedForm, loss: WidthLoss, own_batch_norms: bool) -> Model {
    let widest = by(model("digits", 8, bits([widths[0], widths[0], 4])), &nested(form));
    let widths = Widths { bits: widths.to_vec(), loss, own_batch_norms };
    Model { network: widest.network.with_widths(&widths).expect("a network"), ..widest }
}

#[test]
fn a_step_of_three_widths_equals_the_reference() {
    let variants = [
        (NestedForm::MidRise, WidthLoss::Recursive, true),
        (NestedForm::Shift, WidthLoss::Joint, false),
        (NestedForm::MidRise, WidthLoss::Sampled, true),
    ];
    for (form, loss, own) in variants {
        let Some(kernels) = checked_kernels(&flexible(&[3, 2, 1], form, loss, own), SAMPLES) else { return };
        let soft = kernels.iter().any(|kernel| kernel == "soft_cross_entropy");
        assert_eq!(soft, loss != WidthLoss::Joint);
    }
}

/// One packing of each weight by rows of each kind, whatever the number of widths, and products of as many planes as a width has.
#[test]
fn weights_are_packed_once_for_all_widths() {
    let plain = by(model("digits", 8, bits([3, 3, 4])), &nested(NestedForm::MidRise));
    let whole = flexible(&[3, 2, 1], NestedForm::MidRise, WidthLoss::Recursive, true);
    let Some(one) = gpu_session(&plain, &options(&plain, SAMPLES)) else { return };
    let Some(session) = gpu_session(&whole, &options(&whole, SAMPLES)) else { return };
    for phase in [Phase::Forward, Phase::Backward, Phase::Freeze] {
        let packings = |session: &Session<Gpu>| {
            let dispatches = &session.recording(phase).expect("recorded").dispatches;
            dispatches.iter().filter(|dispatch| dispatch.kernel.name() == "quantize_weight").count()
        };
        assert!(packings(&one) > 0);
        assert_eq!(packings(&one), packings(&session), "{phase:?}");
    }
    let mut pairs: BTreeMap<u32, u32> = BTreeMap::new();
    for note in session.products().iter().filter(|note| note.pass == "forward") {
        let width = width_of_name(&note.layer).map_or(3, |(_, bits)| bits);
        *pairs.entry(width).or_default() += note.plane_pairs;
    }
    assert_eq!(pairs[&3], 9 * pairs[&1]);
    assert_eq!(pairs[&2], 4 * pairs[&1]);
}

/// A step trains the widest and one other width, the same one whenever it is repeated; every width has its turn.
#[test]
fn sampled_steps_leave_one_of_two_narrower_widths_alone() {
    let whole = flexible(&[3, 2, 1], NestedForm::MidRise, WidthLoss::Sampled, true);
    let pictures = Pictures::new(&whole, SAMPLES, 3);
    let mut drawn = [Vec::new(), Vec::new()];
    for turns in &mut drawn {
        let Some(mut session) = gpu_session(&whole, &options(&whole, SAMPLES)) else { return };
        for step in 0..12 {
            let before = block_on(session.state()).expect("a state");
            block_on(session.step(&pictures.batch(), step, 0.01)).expect("a step");
            let after = block_on(session.state()).expect("a state");
            let moved = |name: &str| {
                let values =
                    [&before, &after].map(|state| state.iter().find(|t| t.name == name).expect(name));
                values[0].values != values[1].values
            };
            assert!(moved("conv1.weight") && moved("bn1.running_mean"));
            turns.push([moved("bn1@2.running_mean"), moved("bn1@1.running_mean")]);
        }
    }
    assert_eq!(drawn[0], drawn[1]);
    assert!(drawn[0].iter().all(|[two, one]| two != one));
    assert!(drawn[0].contains(&[true, false]) && drawn[0].contains(&[false, true]));
}

/// The subnetwork of a width and the widest network cut to it compute the same.
#[test]
fn a_cut_network_is_the_subnetwork_of_its_width() {
    let widest = by(model("digits", 8, bits([3, 3, 4])), &nested(NestedForm::MidRise));
    let whole = flexible(&[3, 2, 1], NestedForm::MidRise, WidthLoss::Recursive, true);
    let Some(mut session) = gpu_session(&whole, &options(&whole, SAMPLES)) else { return };
    let pictures = Pictures::new(&whole, SAMPLES, 3);
    for step in 0..3 {
        block_on(session.step(&pictures.batch(), step, 0.01)).expect("a step");
    }
    let state = block_on(session.state()).expect("a state");
    let mut found: HashMap<u32, Vec<f32>> = HashMap::new();
    for (at, width) in [3, 2, 1].into_iter().enumerate() {
        let part = Model { network: whole.network.head(at), input: whole.input };
        let cut =
            Model { network: widest.network.cut(&Cut::uniform(width)).expect("a network"), ..part.clone() };
        let mut logits = Vec::new();
        for (model, renamed) in [(part, false), (cut, true)] {
            let mut session = gpu_session(&model, &options(&model, SAMPLES)).expect("an adapter");
            let tensors = match renamed {
                true => bitplane::flexnet::of_cut(&state, &model.network, &Cut::uniform(width), &[3, 2, 1]),
                false => state.clone(),
            };
            session.load_parameters(&tensors).expect("loaded");
            block_on(session.freeze()).expect("frozen");
            logits.push(block_on(session.logits(&pictures.batch())).expect("scores"));
        }
        assert_eq!(logits[0], logits[1], "{width} bits");
        found.insert(width, logits.remove(0));
    }
    assert_ne!(found[&3], found[&1]);
    assert_ne!(found[&2], found[&1]);
}
