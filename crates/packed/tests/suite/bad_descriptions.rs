//! Descriptions that make no sense, or do not fit their tensors: each is refused for what is wrong, with the layer's name.

use std::collections::BTreeMap;

use packed::manifest::{
    BitConvolution, Codes, DivideBy, Form, Layer, Manifest, Operation, Planes, Quantize, Rounding,
};
use packed::{File, Tensor};
use proptest::prelude::*;

use super::support::{draft, fourth_draft, nested_draft, second_draft, third_draft};

pub type Parts = (Manifest, BTreeMap<String, Tensor>);

/// Changes one thing of a sound network, which then must be refused for it.
fn changed(change: impl FnOnce(&mut Manifest, &mut BTreeMap<String, Tensor>), reason: &str) {
    changed_of(draft(), change, reason);
}

pub fn changed_of(
    (mut manifest, mut tensors): Parts,
    change: impl FnOnce(&mut Manifest, &mut BTreeMap<String, Tensor>),
    reason: &str,
) {
    change(&mut manifest, &mut tensors);
    let error = File::new(manifest, tensors).expect_err("it is not sound").to_string();
    assert!(error.contains(reason), "`{reason}` is not in: {error}");
}

fn operation<'a>(manifest: &'a mut Manifest, name: &str) -> &'a mut Operation {
    operation_of(&mut manifest.layers, name)
}

fn operation_of<'a>(layers: &'a mut [Layer], name: &str) -> &'a mut Operation {
    &mut layers.iter_mut().find(|layer| layer.name == name).expect("a layer").operation
}

#[test]
fn plane_groups_that_make_no_sense_are_refused_with_the_layer() {
    assert!(File::new(second_draft().0, second_draft().1).is_ok());
    let quantize = |change: fn(&mut Quantize), reason: &str| {
        let change = |manifest: &mut Manifest, _: &mut _| match operation(manifest, "act0") {
            Operation::Quantize(quantize) => change(quantize),
            other => panic!("{other:?}"),
        };
        changed_of(second_draft(), change, reason);
    };
    quantize(|q| q.codes.as_mut().expect("codes").groups.clear(), "codes without a group");
    quantize(|q| q.codes.as_mut().expect("codes").groups[0].planes = 3, "has a group");
    quantize(|q| q.codes.as_mut().expect("codes").groups[0].first = u32::MAX, "has a group");
    quantize(|q| q.codes.as_mut().expect("codes").groups[1].first = 1, "has a group");
    quantize(|q| q.codes.as_mut().expect("codes").groups[1].factor = f32::NAN, "has a group");
    quantize(|q| q.bits = 9, "9 bits");
    quantize(|q| q.rule.as_mut().expect("a rule").inverse = 0.0, "has the rule");
    quantize(|q| q.rule.as_mut().expect("a rule").factor = f32::INFINITY, "has the rule");
    quantize(|q| q.rule.as_mut().expect("a rule").drop = u32::MAX, "has the rule");
    quantize(|q| q.rule.as_mut().expect("a rule").form = Form::Sign, "has the rule");
    let groups = |change: fn(&mut BitConvolution), reason: &str| {
        let change = |manifest: &mut Manifest, _: &mut _| match operation(manifest, "conv1") {
            Operation::BitConvolution(conv) => change(conv),
            other => panic!("{other:?}"),
        };
        changed_of(second_draft(), change, reason);
    };
    groups(|conv| conv.weight_bits = 3, "not of 3 planes");
    groups(|conv| conv.weights[0].planes = u32::MAX, "not of 4 planes");
    groups(|conv| conv.weights[0].planes = 0, "not of 4 planes");
    groups(|conv| conv.weights = vec![conv.weights[0]; 65], "65 groups");
    groups(|conv| conv.weights[0].scales = 4, "has a group");
    groups(|conv| conv.weights[0].factor = f32::NAN, "has a group");
    groups(|conv| conv.weights[1].mask.as_mut().expect("a mask").run = 0, "has a mask");
    groups(|conv| conv.weights[1].mask.as_mut().expect("a mask").run = 82, "has a mask");
    groups(|conv| conv.weights[1].mask.as_mut().expect("a mask").weights = u64::MAX, "has a mask");
    groups(|conv| conv.weights[1].mask.as_mut().expect("a mask").weights += 1, "weights, not");
    groups(|conv| conv.weights[1].mask = None, "is not U8");
    changed_of(second_draft(), |_, t| drop(t.remove("conv1.mask.1")), "`conv1.mask.1` is missing");
    let unmasked =
        |manifest: &mut Manifest, _: &mut BTreeMap<String, Tensor>| match operation(manifest, "bits1") {
            Operation::BitConvolution(conv) => conv.apart = true,
            other => panic!("{other:?}"),
        };
    changed_of(third_draft(), unmasked, "not by channels");
    let twice = |_: &mut Manifest, tensors: &mut BTreeMap<String, Tensor>| {
        // Channel 1 moves to the group of channels 0, 2 and 4, as one of them to the other.
        tensors.insert("bits2.mask.0".into(), Tensor::U8(vec![0b010110]));
    };
    changed_of(third_draft(), twice, "has channel 0 in 0 groups");
    for width in [0, 3, 8] {
        let bits = Tensor::U8(vec![1, width, 1, 1, 1, 1]);
        changed_of(second_draft(), |_, t| drop(t.insert("act5.bits".into(), bits)), "divide 4 in channel 1");
    }
    changed_of(second_draft(), |_, t| drop(t.remove("sum.factors")), "`sum.factors` is missing");
    changed_of(second_draft(), |m, _| m.format = 1, "what it holds is format 2");
    changed(|m, _| m.format = 2, "what it holds is format 1");
}

#[test]
fn groups_of_codes_apart_that_make_no_sense_are_refused_with_the_layer() {
    assert!(File::new(fourth_draft().0, fourth_draft().1).is_ok());
    let quantize = |change: fn(&mut Quantize), reason: &str| {
        let change = |manifest: &mut Manifest, _: &mut _| match operation(manifest, "nested") {
            Operation::Quantize(quantize) => change(quantize),
            other => panic!("{other:?}"),
        };
        changed_of(fourth_draft(), change, reason);
    };
    fn codes(quantize: &mut Quantize) -> &mut Codes {
        quantize.codes.as_mut().expect("codes")
    }
    quantize(|q| codes(q).groups.truncate(1), "not 2 to 8 of unit planes");
    quantize(|q| codes(q).groups = vec![codes(q).groups[0]; 9], "not 2 to 8 of unit planes");
    quantize(|q| codes(q).planes = Planes::Sign, "not 2 to 8 of unit planes");
    quantize(|q| codes(q).groups[0].first = 1, "from the lowest bit on");
    quantize(|q| codes(q).groups[0].planes = 6, "has a group");
    quantize(|q| codes(q).groups[0].planes = u32::MAX, "has a group");
    quantize(|q| codes(q).groups[2].factor = f32::INFINITY, "has a group");
    quantize(|q| codes(q).apart = false, "has a group");
    quantize(|q| q.rule.as_mut().expect("a rule").form = Form::Magnitude, "for groups of codes apart");
    quantize(|q| q.rule.as_mut().expect("a rule").factor = 31.0, "for groups of codes apart");
    quantize(|q| q.rule.as_mut().expect("a rule").inverse = 2.0, "for groups of codes apart");
    quantize(|q| q.rule.as_mut().expect("a rule").drop = 1, "for groups of codes apart");
    quantize(|q| q.rule.as_mut().expect("a rule").rounding = Rounding::HalfUp, "for groups of codes apart");
    let tensor = |bytes: Option<Vec<u8>>, reason: &str| {
        let change = |_: &mut Manifest, tensors: &mut BTreeMap<String, Tensor>| {
            tensors.remove("nested.groups");
            tensors.extend(bytes.map(|bytes| ("nested.groups".to_owned(), Tensor::U8(bytes))));
        };
        changed_of(fourth_draft(), change, reason);
    };
    tensor(None, "`nested.groups` is missing");
    tensor(Some(vec![0; 69]), "nested.groups");
    tensor(Some([vec![2; 69], vec![3]].concat()), "has no group of 3 in channel 69");
    let compared = |manifest: &mut Manifest, _: &mut BTreeMap<String, Tensor>| {
        let Operation::Quantize(quantize) = operation(manifest, "nested").clone() else { panic!("nested") };
        *operation(manifest, "conv2") = Operation::Threshold { bits: 5, pool: None, codes: quantize.codes };
        manifest.layers.iter_mut().find(|layer| layer.name == "even").expect("even").operation =
            Operation::Quantize(Quantize::plain(1));
    };
    changed_of(fourth_draft(), compared, "conv2");
    changed_of(fourth_draft(), |m, _| m.format = 3, "what it holds is format 4");
}

#[test]
fn factors_of_positions_that_make_no_sense_are_refused_with_the_layer() {
    assert!(File::new(third_draft().0, third_draft().1).is_ok());
    let to = |name: &'static str, new: Operation, reason: &str| {
        changed_of(third_draft(), |m, _| *operation(m, name) = new, reason);
    };
    let reads = |name: &'static str, inputs: &[&str], reason: &str| {
        let inputs = inputs.iter().map(|&input| input.to_owned()).collect();
        let layer = |m: &mut Manifest| m.layers.iter().position(|layer| layer.name == name).expect("a layer");
        changed_of(
            third_draft(),
            |m, _| {
                let at = layer(m);
                m.layers[at].inputs = inputs
            },
            reason,
        );
    };
    for limit in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        to("clip", Operation::ClipTo { limit }, "has the limit");
        to("magnitude2", Operation::MagnitudeTo { limit }, "has the limit");
    }
    reads("factors0", &["conv0"], "does not take 6x5x1100 values");
    reads("magnitude0", &["conv0", "conv0"], "takes one input, not 2");
    reads(
        "scaled",
        &["conv0", "magnitude0", "factors0"],
        "not 6x5x1100 values and 6x5x1 values and 6x5x1 values",
    );
    reads("scaled", &["conv0"], "a factor of each pixel");
    reads("bits0", &["signs", "factors0"], "a factor of each output position");
    reads("bits0", &["signs", "factors1", "factors1"], "takes one input, not 3");
    reads("bits0", &["narrow", "factors1"], "takes one input, not 2");
    let border = |m: &mut Manifest, _: &mut _| match operation(m, "conv1") {
        Operation::Convolution(conv) => conv.outside = f32::NAN,
        other => panic!("{other:?}"),
    };
    changed_of(third_draft(), border, "has NaN around its map");
    changed_of(third_draft(), |m, _| m.format = 2, "what it holds is format 3");
}

#[test]
fn networks_that_share_planes_must_be_parts_of_the_widest() {
    assert!(File::new(nested_draft().0, nested_draft().1).is_ok());
    let narrow =
        |change: fn(&mut Manifest), reason: &str| changed_of(nested_draft(), |m, _| change(m), reason);
    narrow(|m| m.narrower[0].bits = [3, 3], "two of the same bits");
    narrow(|m| m.narrower[0].bits = [1, 1], "two of the same bits");
    narrow(|m| m.narrower[0].bits = [2, 1], "of which");
    narrow(|m| m.narrower = vec![m.narrower[0].clone(); 64], "65 networks");
    narrow(|m| m.narrower[0].layers.clear(), "0 layers");
    narrow(|m| m.narrower[0].layers[1].name = "other".into(), "reads `conv1`");
    let more_planes = |manifest: &mut Manifest| {
        let layers = manifest.layers.clone();
        manifest.narrower[0].layers = layers;
        let Operation::BitConvolution(conv) = &mut manifest.narrower[0].layers[1].operation else {
            panic!("conv1")
        };
        (conv.weight_bits, conv.weights[0].planes) = (4, 4);
    };
    narrow(more_planes, "is no part");
    let more_channels =
        |manifest: &mut Manifest| match operation_of(&mut manifest.narrower[0].layers, "conv1") {
            Operation::BitConvolution(conv) => conv.channels = 6,
            other => panic!("{other:?}"),
        };
    narrow(more_channels, "`conv1.planes.0` is U8");
    let own = "act1.thresholds@2,2";
    changed_of(nested_draft(), |_, t| drop(t.remove(own)), "is no part");
    changed_of(
        nested_draft(),
        |_, t| drop(t.insert("x@2,2".into(), Tensor::U8(vec![]))),
        "belongs to no layer",
    );
    changed_of(
        nested_draft(),
        |_, t| drop(t.insert("act1.ascending@1,1".into(), Tensor::U8(vec![7; 5]))),
        "is 7 in channel 0",
    );
    let file = File::new(nested_draft().0, nested_draft().1).expect("sound");
    let error = file.at([4, 4]).expect_err("there is none").to_string();
    assert!(error.contains("3,3 and 2,2 and 1,1"), "{error}");
}

#[test]
fn networks_that_make_no_sense_are_refused_with_the_layer() {
    let at = |manifest: &Manifest, name: &str| {
        manifest.layers.iter().position(|layer| layer.name == name).expect("a layer")
    };
    changed(|m, _| m.layers[1].inputs = vec!["sum".into()], "`bn0` reads `sum`");
    changed(|m, _| m.layers[1].inputs.clear(), "takes one input, not 0");
    changed(|m, _| m.layers[1].name = "conv0".into(), "`conv0` has a name that is taken");
    changed(|m, _| m.layers[1].name = "image".into(), "has a name that is taken");
    changed(|m, _| m.layers.clear(), "0 layers");
    changed(|m, _| m.classes.push("more".into()), "not one score for each of 5");
    changed(|m, _| m.image.width = 0, "pictures are empty");
    changed(|m, _| m.preprocessing.resize = [1 << 14, 1 << 14], "too large");
    changed(|m, _| m.preprocessing.divide_by = DivideBy::All(0), "beyond what is read");
    changed(|m, _| m.preprocessing.divide_by = DivideBy::Each([1.0, -1.0, 1.0]), "beyond what is read");
    changed(|m, _| m.preprocessing.subtract = [0.0, 1e9, 0.0], "beyond what is read");
    for (name, operation, reason) in [
        ("act0", Operation::Quantize(Quantize::plain(9)), "9 bits"),
        ("act0", Operation::Quantize(Quantize::plain(0)), "0 bits"),
        ("act0", Operation::Rescale, "does not take"),
        ("clip", Operation::Dequantize, "does not take"),
        ("bn0", Operation::BatchNormalization { epsilon: f32::NAN }, "epsilon NaN"),
    ] {
        changed(
            |m, _| {
                let at = at(m, name);
                m.layers[at].operation = operation;
            },
            reason,
        );
    }
    let window = |change: fn(&mut packed::manifest::BitConvolution), reason: &str| {
        changed(
            |m, _| {
                let at = at(m, "conv1");
                let Operation::BitConvolution(conv) = &mut m.layers[at].operation else { panic!("conv1") };
                change(conv);
            },
            reason,
        );
    };
    window(|conv| conv.window.stride = 0, "does not fit");
    window(|conv| conv.window.kernel = [0, 3], "does not fit");
    window(|conv| conv.window.kernel = [u32::MAX, u32::MAX], "does not fit");
    window(|conv| conv.window.padding = [3, 0, 0, 0], "does not fit");
    window(|conv| conv.groups = 0, "in 0 groups");
    window(|conv| conv.groups = 3, "in 3 groups");
    window(|conv| conv.channels = u32::MAX - 1, "channels in 2 groups");
    window(|conv| conv.weight_bits = 9, "9 bits");
    changed(|_, t| drop(t.remove("fc.bias")), "`fc.bias` is missing");
    changed(|_, t| drop(t.insert("x.y".into(), Tensor::U8(vec![]))), "belongs to no layer");
    changed(|_, t| drop(t.insert("fc.bias".into(), Tensor::F32(vec![0.0; 3]))), "`fc.bias` is not F32 [4]");
    changed(
        |_, t| drop(t.insert("fc.bias".into(), Tensor::F32(vec![f32::NAN; 4]))),
        "holds NaN in element 0",
    );
    changed(
        |_, t| drop(t.insert("bn0.normalization".into(), Tensor::F32(vec![-1.0; 40]))),
        "not positive in channel 0",
    );
    changed(|_, t| drop(t.insert("act1.ascending".into(), Tensor::U8(vec![2; 6]))), "is 2 in channel 0");
    changed(
        |_, t| drop(t.insert("act1.ascending".into(), Tensor::U8(vec![0; 6]))),
        "not in order in channel 0",
    );
    changed(
        |_, t| {
            let Some(Tensor::U8(planes)) = t.get_mut("conv1.planes") else { panic!("planes") };
            *planes.last_mut().expect("a byte") |= 0x80;
        },
        "behind its last weight",
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Descriptions with sizes changed at will are sound or refused.
    #[test]
    fn mutated_descriptions_never_panic(
        which in 0usize..5,
        numbers in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>(), 0u32..33), 1..4),
    ) {
        let (manifest, tensors) = [draft, second_draft, third_draft, fourth_draft, nested_draft][which]();
        let mut value = serde_json::to_value(&manifest).expect("a description");
        let mut places = Vec::new();
        numbers_of(&value, String::new(), &mut places);
        for (place, number, shift) in numbers {
            let place = &places[place.index(places.len())];
            *value.pointer_mut(place).expect("a number") = u64::from(number >> shift.min(31)).into();
        }
        if let Ok(manifest) = serde_json::from_value::<Manifest>(value) {
            let _ = File::new(manifest, tensors);
        }
    }
}

fn numbers_of(value: &serde_json::Value, place: String, places: &mut Vec<String>) {
    match value {
        serde_json::Value::Number(_) => places.push(place),
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| numbers_of(item, format!("{place}/{at}"), places));
        }
        serde_json::Value::Object(items) => {
            items.iter().for_each(|(name, item)| numbers_of(item, format!("{place}/{name}"), places));
        }
        _ => {}
    }
}
