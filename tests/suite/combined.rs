//! Learned bit lengths in networks of bases and beside a teacher.

use bitplane::models::Model;
use gpu::Gpu;
use graph::{
    BaseScales, LearnedBits, Method, NamedTensor, Partition, Session, Shortcut, SoftTarget, Structure,
};
use pollster::block_on;
use tests::{Pictures, assert_same, bits, gpu_session, model, options, train};

use crate::bit_lengths::{LEARNED, learned};
use crate::method::{by, checked_kernels};
use crate::teacher::{taught, teacher_state};

const SAMPLES: u32 = 5;

/// Every base has lengths of its own, and one for the activations that all read.
#[test]
fn a_step_of_bases_with_learned_lengths_equals_the_reference() {
    let bases = Structure {
        partition: Partition::LayerWise,
        bases: 2,
        scales: BaseScales::Learned,
        shortcut: Shortcut::Shared,
        soft: false,
    };
    let structured = model("digits", 8, bits([3, 4, 4])).structured(Some(&bases)).expect("fits");
    let method = Method { learned_bits: Some(LEARNED), ..Method::default() };
    let both = by(structured, &method);
    let names: Vec<String> = both.network.bit_lengths().into_iter().map(|length| length.name).collect();
    for base in ["conv1.base0.weight_length", "conv1.base1.weight_length"] {
        assert!(names.iter().any(|name| name == base), "{names:?}");
    }
    let Some(kernels) = checked_kernels(&both, SAMPLES) else { return };
    for kernel in ["length_sums", "length_penalty", "weighted_sum"] {
        assert!(kernels.iter().any(|found| found == kernel), "{kernel} is not in {kernels:?}");
    }
}

/// Lengths that start at `widths` and learn from a network of 2,3,4 bits.
fn pupil(widths: [u32; 3]) -> Model {
    let student = learned(widths, LearnedBits { gamma: 4.0, rate: 150.0, ..LEARNED });
    let teacher = model("digits", 8, bits([2, 3, 4])).network;
    Model { network: taught(student.network, &teacher, 0.75, &["bn1"]), ..student }
}

#[test]
fn a_step_of_learned_lengths_with_a_teacher_equals_the_reference() {
    let Some(kernels) = checked_kernels(&pupil([3, 4, 4]), SAMPLES) else { return };
    for kernel in ["length_sums", "length_penalty", "soft_cross_entropy", "squared_error"] {
        assert!(kernels.iter().any(|found| found == kernel), "{kernel} is not in {kernels:?}");
    }
}

/// A network that is recorded again for its lengths has the teacher that it had.
#[test]
fn a_teacher_stays_where_lengths_are_followed() {
    let model = pupil([4, 4, 4]);
    let (teacher, pictures) = (teacher_state([2, 3, 4], 91), Pictures::new(&model, SAMPLES, 3));
    let Some(mut session) = gpu_session(&model, &options(&model, SAMPLES)) else { return };
    session.load_frozen(&teacher).expect("the teacher");
    train(&mut session, &pictures.batch(), 0, 3);
    assert!(block_on(session.follow_lengths(true)).expect("recorded"), "lengths are rounded up");
    let state = block_on(session.state()).expect("state");
    assert!(state.iter().all(|tensor| !tensor.name.starts_with("teacher.")));
    let step = |session: &mut Session<Gpu>| -> (f32, Vec<NamedTensor>) {
        let loss = train(session, &pictures.batch(), 3, 1)[0].loss;
        (loss, block_on(session.state()).expect("state"))
    };
    let (loss, after) = step(&mut session);
    for teacher_first in [true, false] {
        let mut other = gpu_session(&model, &options(&model, SAMPLES)).expect("an adapter");
        if teacher_first {
            other.load_frozen(&teacher).expect("the teacher");
        }
        other.load_state(&state).expect("its own state");
        if !teacher_first {
            other.load_frozen(&teacher).expect("the teacher");
        }
        let (again, same) = step(&mut other);
        assert_eq!(loss.to_bits(), again.to_bits(), "teacher first: {teacher_first}");
        assert_same(&same, &after, "the next step");
    }
}

/// A teacher of learned lengths teaches at the widths that these have come to.
#[test]
fn a_teacher_of_learned_lengths_is_recorded_as_it_was_saved() {
    let (student, teacher) = (model("digits", 8, bits([1, 2, 4])), learned([5, 5, 4], LEARNED));
    let Some(mut trained) = gpu_session(&teacher, &options(&teacher, SAMPLES)) else { return };
    block_on(trained.follow_lengths(true)).expect("rounded up");
    let state = block_on(trained.state()).expect("state");
    let saved = teacher.network.clone().as_saved(&state).expect("its own state");
    assert!(teacher.network.codes() != saved.codes(), "{:?}", saved.codes());
    let mut net = student.network.into_builder();
    let scores = net.embed_frozen("teacher", &saved).expect("fits");
    net.heads_mut()[0].soft = Some(SoftTarget { scores, temperature: 1.0, weight: 1.0 });
    let network = net.build().expect("builds");
    assert!(network.bit_lengths().is_empty(), "a teacher learns no lengths");
    let both = Model { network, ..student };
    checked_kernels(&both, SAMPLES);
}
