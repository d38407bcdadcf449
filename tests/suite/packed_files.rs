//! Packed files: the device computes from them what it computes from the run, and the processor and an independent reader in
//! Python compute the same codes.

mod comparison;

use std::time::Instant;

use bitplane::models::Model;
use comparison::{
    all_agree, compare, compare_residual, exported, nearly_agree, opened, packed_in_state,
    python_gives_the_same,
};
use graph::{LearnedBits, Phase};
use packed::{File, Network};
use pollster::block_on;
use tests::{Pictures, SMALL_ALEXNET, SMALL_RESNET18, bits, model, reduced};

use super::activation_groups::{alternate, odd};
use super::bit_lengths::{LEARNED, learned, set};
use super::channel_lengths::{GROUPED, varied};
use super::deployed::state_with_odd_gammas;
use super::group_net_quantizers::{FACTORS, IDENTITY, rules};
use super::method::by;
use super::plane_groups::{self, Cuts};

/// Networks written by hand, with what the format has and no network of the program.
#[path = "../../crates/packed/tests/suite/support.rs"]
mod drafts;

#[test]
fn digits_at_every_pair_of_widths() {
    for widths in [[1, 1, 4], [1, 2, 4], [2, 2, 4], [4, 4, 4], [8, 8, 8]] {
        compare("digits", model("digits", 8, bits(widths)), widths, 256);
    }
}

#[test]
fn svhn_d_1_2_4() {
    compare("svhn-d", model("svhn-d", 32, bits([1, 2, 4])), [1, 2, 4], 16);
}

/// Groups of channels, and a bias that goes into the thresholds.
#[test]
fn alexnet_with_groups() {
    compare("alexnet", reduced("alexnet", SMALL_ALEXNET, bits([2, 2, 4])), [2, 2, 4], 8);
}

#[test]
fn residual_networks_keep_their_sums_in_f32() {
    compare_residual("resnet20", model("resnet20", 8, bits([2, 2, 4])), [2, 2, 4], 8);
    let name = "resnet18-original";
    compare_residual(name, reduced(name, SMALL_RESNET18, bits([1, 2, 4])), [1, 2, 4], 8);
}

/// Learned lengths leave every layer widths of its own.
#[test]
fn layers_of_their_own_widths() {
    for form in [graph::LengthForm::Nested, graph::LengthForm::Exact] {
        let model = learned([4, 4, 4], LearnedBits { form, ..LEARNED });
        let Some(mut state) = state_with_odd_gammas(&model, &Pictures::new(&model, 32, 3), 4) else { return };
        for (of, bits) in [("conv1.weight_", 2.0), ("conv2.weight_", 3.0), ("act0.", 5.0), ("act1.", 1.0)] {
            for (name, value) in [("length", bits), ("base", bits), ("frozen", 1.0)] {
                set(&mut state, &format!("{of}{name}"), value);
            }
        }
        all_agree("digits", packed_in_state("digits", model, &state, [4, 4, 4], 16).expect("an adapter"));
    }
}

/// Groups of channels with lengths of their own are stored with as many planes as each has, and summed as one integer.
#[test]
fn channels_of_their_own_widths() {
    for form in [graph::LengthForm::Nested, graph::LengthForm::Exact] {
        let model = learned([4, 4, 4], LearnedBits { form, ..GROUPED });
        let Some(mut state) = state_with_odd_gammas(&model, &Pictures::new(&model, 32, 3), 2) else { return };
        varied(&mut state, true);
        for tensor in state.iter_mut().filter(|tensor| tensor.name.starts_with("act")) {
            tensor.values.fill(if tensor.name.ends_with("frozen") { 1.0 } else { 3.0 });
        }
        let packed = packed_in_state("digits", model, &state, [4, 4, 4], 16).expect("an adapter");
        let groups = packed.file.groups("conv2");
        let bits: Vec<u32> = groups.iter().map(|group| group.written.planes).collect();
        assert_eq!(bits, [2, 3, 4, 5], "{form:?}");
        let kept = |group: &packed::Group| group.written.mask.map(|mask| (mask.run, mask.weights));
        assert!(groups.iter().all(|group| kept(group) == Some((288, 16 * 288))), "{form:?}");
        all_agree("digits", packed);
    }
}

/// Activations whose channels have widths of their own are stored once, with the width of each channel.
#[test]
fn activations_of_channels_of_their_own_widths() {
    for form in [graph::LengthForm::Nested, graph::LengthForm::Exact] {
        let model = odd([3, 4, 4], form);
        let Some(mut state) = state_with_odd_gammas(&model, &Pictures::new(&model, 32, 3), 2) else { return };
        alternate(&mut state, true);
        let packed = packed_in_state("odd", model, &state, [3, 4, 4], 16).expect("an adapter");
        assert_eq!(packed.file.manifest().format, 4, "{form:?}");
        let groups = packed.file.bytes("act1", "groups");
        assert_eq!(
            groups,
            [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1],
            "{form:?}: groups of three channels in turn"
        );
        nearly_agree(&format!("{form:?}"), packed);
    }
}

/// What the second version of the format is for, in the networks of the program.
#[test]
fn other_rules_and_f32_activations() {
    use graph::Method;
    use kernels::{ActivationForm, Rounding};
    let usual = Method::default();
    let first = Method { first: Some(bits([2, 32, 4])), ..usual };
    for (what, widths, method) in [
        ("cabs", [1, 2, 4], Method { activation_form: ActivationForm::Cabs, ..usual }),
        ("floor", [2, 2, 4], Method { rounding: Rounding::Floor, ..usual }),
        ("quantized first layer", [1, 2, 4], first),
        ("f32 activations", [2, 32, 4], usual),
    ] {
        let plain = model("digits", 8, bits(widths));
        let network = plain.network.with_method(&method).expect("a network");
        compare_residual(what, Model { network, ..plain }, widths, 16);
    }
    compare_residual("alexnet", reduced("alexnet", SMALL_ALEXNET, bits([32, 32, 32])), [32; 3], 4);
}

/// Group-Net's ranges, signs and scales of channels, also where channels are in groups: integers from the first codes on.
#[test]
fn group_net_quantizers() {
    for (name, widths, method) in [
        ("alexnet", [1, 2, 4], rules(true, Some(1.7), None)),
        ("svhn-d", [1, 1, 4], rules(true, None, IDENTITY)),
        ("alexnet", [2, 1, 4], rules(false, None, IDENTITY)),
    ] {
        let model = match name {
            "alexnet" => reduced(name, SMALL_ALEXNET, bits(widths)),
            _ => model(name, 32, bits(widths)),
        };
        compare(name, by(model, &method), widths, 3);
    }
}

/// XNOR-Net's factors and signs beside weights in f32 leave values in f32 between codes.
#[test]
fn factors_of_positions_and_signs_in_f32() {
    for (widths, method) in [
        ([1, 1, 4], rules(true, None, FACTORS)),
        ([32, 1, 4], rules(false, None, FACTORS)),
        ([32, 1, 4], rules(false, None, IDENTITY)),
        ([1, 32, 32], rules(true, Some(1.5), None)),
    ] {
        compare_residual("digits", by(model("digits", 8, bits(widths)), &method), widths, 16);
    }
}

/// Weights and activations of several groups of planes have no integer sums; their values are added in the device's order.
#[test]
fn several_groups_of_planes() {
    for cuts in [
        Cuts { weight: Some(&[1, 2]), activation: None, fault: 0.1 },
        Cuts { weight: Some(&[2, 1]), activation: Some(&[1, 1]), fault: 0.1 },
        Cuts { weight: None, activation: Some(&[1, 1]), fault: 0.1 },
    ] {
        let model = Model { network: plane_groups::network(cuts, 4), input: plane_groups::INPUT };
        compare_residual("groups", model, [3, 2, 4], 8);
    }
}

/// The processor and Python agree on everything that the format has, and on each of the networks that share planes.
#[test]
fn networks_written_by_hand() {
    let file = |(manifest, tensors)| File::new(manifest, tensors).expect("a network");
    let later = [drafts::second_draft(), drafts::third_draft(), drafts::fourth_draft()].map(file);
    for file in [drafts::sample()].into_iter().chain(later) {
        let (network, bytes) = (Network::new(file.clone()), file.encode());
        python_gives_the_same(&network, &bytes, &noise(&network), None);
    }
    let file = File::new(drafts::nested_draft().0, drafts::nested_draft().1).expect("a network");
    for [weight, activation] in file.networks() {
        let network = Network::new(file.at([weight, activation]).expect("a network"));
        let key = format!("{weight},{activation}");
        python_gives_the_same(&network, &file.encode(), &noise(&network), Some(&key));
    }
}

/// Five pictures of noise for a network.
fn noise(network: &Network) -> Pictures {
    let pixels = drafts::Noise(99).bytes(5 * network.picture_len());
    Pictures { pixels, labels: vec![0; 5] }
}

/// All networks at a pair of widths, some two minutes of lavapipe: `cargo test -p tests --test suite -- --ignored every_network`.
fn every_network(widths: [u32; 3]) {
    for name in ["svhn-d", "svhn-c", "svhn-b", "svhn-a", "alexnet", "resnet20", "resnet18"] {
        let began = Instant::now();
        let built = match name {
            "alexnet" => reduced(name, SMALL_ALEXNET, bits(widths)),
            "resnet18" => reduced(name, SMALL_RESNET18, bits(widths)),
            _ => model(name, 32, bits(widths)),
        };
        let check = if name.starts_with("resnet") { compare_residual } else { compare };
        check(name, built, widths, 256);
        println!("{name} {widths:?}: {:.0} s", began.elapsed().as_secs_f64());
    }
}

#[test]
#[ignore = "long"]
fn every_network_at_1_1() {
    every_network([1, 1, 4]);
}

#[test]
#[ignore = "long"]
fn every_network_at_1_2() {
    every_network([1, 2, 4]);
}

#[test]
#[ignore = "long"]
fn every_network_at_2_2() {
    every_network([2, 2, 4]);
}

#[test]
#[ignore = "long"]
fn every_network_at_4_4() {
    every_network([4, 4, 4]);
}

#[test]
#[ignore = "long"]
fn every_network_at_8_8() {
    every_network([8, 8, 8]);
}

/// Between two convolutions of codes there is no f32: the integer sums go into comparisons, and codes come out.
#[test]
fn no_f32_tensor_lies_between_convolutions_of_codes() {
    let model = model("svhn-d", 32, bits([1, 2, 4]));
    let pictures = Pictures::new(&model, 2, 3);
    let Some(state) = state_with_odd_gammas(&model, &pictures, 1) else { return };
    let file = File::decode(&exported(&model, &state, [1, 2, 4]).expect("an adapter")).expect("a file");
    let session = opened(&file, &model, 2);
    let recorded = session.recording(Phase::Evaluate).expect("an evaluation").dispatches.iter();
    let names: Vec<&str> = recorded.map(|dispatch| dispatch.kernel.name()).collect();
    let products = |name: &&str| -> bool { name.contains("product") };
    let first = names.iter().position(products).expect("a product");
    let last = names.iter().rposition(products).expect("a product");
    let between = &names[first..last];
    let integer = ["threshold_pack", "bit_unfold", "row_sums", "byte_expand"];
    assert!(between.iter().all(|name| products(name) || integer.contains(name)), "{between:?}");
    assert_eq!(between.iter().filter(|name| **name == "threshold_pack").count(), 5);
    assert!(file.floats("conv3", "weight").is_empty() && file.floats("bn3", "normalization").is_empty());
    assert!(!file.floats("conv0", "weight").is_empty() && !file.floats("bn6", "normalization").is_empty());
    let mut session = session;
    let step = block_on(session.step(&pictures.batch(), 0, 1e-3));
    assert!(
        matches!(step, Err(graph::GraphError::Order { .. })),
        "a packed network is not trained: {step:?}"
    );
}
