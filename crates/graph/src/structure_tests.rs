use super::*;
use crate::{
    Bits, Geometry, Padding, Shape,
    layers::{Conv2d, Linear},
};

/// Three residual blocks, the second with a convolution in its shortcut.
fn network() -> Network {
    let bits = Bits::new(1, 2, 4).expect("valid widths");
    let mut net = NetworkBuilder::new(Shape::new(6, 6, 3));
    let same = Geometry::square(3, 1, Padding::Same);
    let stem = Conv2d { out_channels: 4, geometry: same, bias: false };
    let mut x = net.conv2d("stem", net.input(), stem).expect("stem");
    for (block, channels) in [4, 8, 8].into_iter().enumerate() {
        let (name, first) = (format!("b{block}"), net.position());
        let named = |part: &str| format!("{name}.{part}");
        let codes = net.activation(&named("act"), x, bits.activation).expect("act");
        let y = net.quantized_conv2d(&named("conv"), codes, channels, same, bits).expect("conv");
        let (mut past, mut shortcut) = (x, Vec::new());
        if net.shape(x).channels != channels {
            let pointwise = Geometry::square(1, 1, Padding::Valid);
            past =
                net.quantized_conv2d(&named("shortcut"), codes, channels, pointwise, bits).expect("shortcut");
            shortcut.push(past);
        }
        let y = net.batch_norm(&named("bn"), y).expect("bn");
        x = net.sum(&named("sum"), y, past).expect("sum");
        net.block(&name, first, &shortcut).expect("a block");
    }
    let x = net.global_avg_pool("pool", x).expect("pool");
    net.linear("fc", x, Linear { outputs: 10, weight_decay: 0.0 }).expect("fc");
    net.build().expect("a network")
}

fn structure(text: &str, bases: u32) -> Structure {
    let partition = text.parse().expect("a structure");
    Structure { partition, bases, scales: BaseScales::Learned, shortcut: Shortcut::Shared, soft: false }
}

fn names(network: &Network) -> Vec<&str> {
    network.layers.iter().map(|layer| layer.name.as_str()).collect()
}

fn built(text: &str, bases: u32) -> Network {
    network().with_structure(&structure(text, bases)).expect("it fits")
}

fn refused(structure: &Structure) -> String {
    network().with_structure(structure).expect_err("it does not fit").to_string()
}

#[test]
fn one_block_a_group_shares_its_input_and_shortcut() {
    let network = built("v1", 2);
    let want = "stem b0.act b0.base0.conv b0.base1.conv b0.base0.bn b0.base1.bn b0.base0.sum b0.base1.sum b0.bases \
                b1.act b1.base0.conv b1.base1.conv b1.shortcut b1.base0.bn b1.base1.bn b1.base0.sum b1.base1.sum \
                b1.bases b2.act";
    let want: Vec<&str> = want.split_whitespace().collect();
    assert_eq!(names(&network)[..want.len()], want);
    let own = Structure { shortcut: Shortcut::Own, ..structure("v1", 2) };
    let own = super::tests::network().with_structure(&own).expect("it fits");
    assert!(names(&own).contains(&"b1.base1.shortcut") && !names(&own).contains(&"b1.shortcut"));
}

#[test]
fn a_group_of_blocks_goes_on_within_each_base() {
    let network = built("2,1", 3);
    let names = names(&network);
    assert!(names.contains(&"b1.base2.act") && names.contains(&"b1.base2.shortcut"));
    assert!(!names.contains(&"b0.bases") && names.contains(&"b1.bases") && names.contains(&"b2.bases"));
    let at = |name: &str| names.iter().position(|other| *other == name);
    let sum = &network.layers[at("b1.base1.sum").expect("a sum")];
    assert_eq!(sum.inputs, [at("b1.base1.bn"), at("b1.base1.shortcut")]);
    let lambda = network.parameters().into_iter().find(|(name, _)| name == "b1.bases.lambda");
    assert_eq!(lambda.map(|(_, shape)| shape), Some(vec![3]));
}

#[test]
fn names_of_structures_are_partitions() {
    for (name, list) in [("v1", "1,1,1"), ("v2", "2,1"), ("v3", "3")] {
        assert_eq!(names(&built(name, 2)), names(&built(list, 2)), "{name}");
        assert_eq!(name.parse::<Partition>().expect("known").to_string(), name);
    }
}

#[test]
fn every_quantized_layer_alone_has_bases_and_nothing_else() {
    let network = built("layer-wise", 2);
    let names = names(&network);
    for (name, count) in [("b0.conv.base", 2), ("b1.shortcut.base", 2), ("stem.base", 0), ("fc.base", 0)] {
        assert_eq!(names.iter().filter(|other| other.starts_with(name)).count(), count, "{name}");
    }
    let sum = network.layers.iter().find(|layer| layer.name == "b1.shortcut").expect("a sum");
    assert_eq!((sum.layer.kind(), sum.inputs.len()), ("weighted_sum", 2));
}

#[test]
fn one_averaged_base_is_the_network_itself() {
    for text in ["layer-wise", "v1", "v3"] {
        let one = Structure { scales: BaseScales::Average, ..structure(text, 1) };
        let one = network().with_structure(&one).expect("it fits");
        let kinds = |network: &Network| -> Vec<_> {
            network.layers.iter().map(|layer| (layer.layer.kind(), layer.inputs.clone())).collect()
        };
        assert_eq!(kinds(&one), kinds(&network()), "{text}");
    }
}

#[test]
fn soft_connections_share_one_theta_a_block() {
    let soft = |text: &str| Structure { soft: true, ..structure(text, 3) };
    let network = network().with_structure(&soft("v3")).expect("it fits");
    let thetas: Vec<String> = network.parameters().into_iter().map(|(name, _)| name).collect();
    let thetas: Vec<&String> = thetas.iter().filter(|name| name.ends_with(".theta")).collect();
    assert_eq!(thetas, ["b1.base0.soft.theta", "b2.base0.soft.theta"]);
    let names = names(&network);
    let at = |name: &str| names.iter().position(|other| *other == name);
    let [own, mean] = ["b0.base2.sum", "b1.mean"].map(at);
    assert_eq!(network.layers[at("b1.base2.soft").expect("a connection")].inputs, [own, mean]);
    assert_eq!(network.layers[at("b1.base2.act").expect("a quantizer")].inputs, [at("b1.base2.soft")]);
    assert!(refused(&soft("v1")).contains("no group of v1 has two"));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    assert_eq!(refused(&structure("1,1", 2)), "structure: 1,1 makes 2 blocks, and this model has 3");
    assert_eq!(refused(&structure("v1", 0)), "structure: 0 bases; 1 to 64 can be combined");
    assert!(refused(&structure("v1", 65)).contains("65 bases"));
    let plain = Network { blocks: Vec::new(), ..network() };
    let error = plain.with_structure(&structure("v2", 2)).expect_err("no blocks").to_string();
    assert!(error.contains("declares no blocks"), "{error}");
    assert!(plain.with_structure(&structure("layer-wise", 2)).is_ok());
    for text in ["", "v4", "1,0", "1,,2", "-1", "layerwise"] {
        assert!(matches!(text.parse::<Partition>(), Err(GraphError::StructureText { .. })), "{text}");
    }
}
