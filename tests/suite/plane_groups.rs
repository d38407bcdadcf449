//! An operand of several plane groups: one real factor per group, added in order.

use std::sync::Arc;

use graph::{
    Bits, CodeRule, Convolution, Geometry, GraphError, InputSpec, Network, NetworkBuilder, Packed, Padding,
    Parameter, Recorder, Session, Shape, Tensor,
    layers::{Conv2d, Linear, Quantize, QuantizedConv2d},
    planes::{Group, Operand},
    quantizers::{ActivationQuantizer, DorefaActivation, DorefaWeight, WeightQuantizer, WeightRows},
};
use kernels::PlaneGroup;
use pollster::block_on;
use recording::BufferSlice;
use tests::{Pictures, open_gpu, options_for};

/// DoReFa weights whose planes are cut into groups of the given sizes: the same values, summed from several integers.
#[derive(Debug)]
struct Cut {
    whole: DorefaWeight,
    sizes: &'static [u32],
    /// Added to the factor of the last group; 0 for the same values.
    fault: f32,
}

impl WeightQuantizer for Cut {
    fn stored_bits(&self) -> f64 {
        self.whole.stored_bits()
    }
    fn planes(&self) -> u32 {
        self.whole.planes()
    }
    fn prepare(&self, recorder: &mut Recorder, weight: &Parameter) -> Result<Vec<BufferSlice>, GraphError> {
        self.whole.prepare(recorder, weight)
    }
    fn pack(
        &self,
        recorder: &mut Recorder,
        weight: &Parameter,
        prepared: &[BufferSlice],
        convolution: &Convolution,
        rows: WeightRows,
    ) -> Result<Operand, GraphError> {
        let packed = self.whole.pack(recorder, weight, prepared, convolution, rows)?;
        let groups = cut(packed.groups[0], self.sizes, self.fault);
        Ok(Operand { groups, ..packed })
    }
    fn passes_gradient(&self) -> bool {
        self.whole.passes_gradient()
    }
    fn backward(
        &self,
        recorder: &mut Recorder,
        weight: &Parameter,
        prepared: &[BufferSlice],
        grad_quantized: BufferSlice,
    ) -> Result<(), GraphError> {
        self.whole.backward(recorder, weight, prepared, grad_quantized)
    }
}

/// `all` in groups of the given sizes; `fault` is added to the factor of the last one.
fn cut(all: Group, sizes: &[u32], fault: f32) -> Vec<Group> {
    let mut first = 0;
    let mut groups: Vec<Group> = Vec::new();
    for &planes in sizes {
        let group = PlaneGroup { first_plane: first, planes, mask: None };
        groups.push(Group { planes: group, factor: all.factor * (1u32 << first) as f32, scale: all.scale });
        first += planes;
    }
    groups.last_mut().expect("a group").factor += fault;
    groups
}

/// DoReFa activations cut in the same way.
#[derive(Debug)]
struct CutActivation {
    whole: DorefaActivation,
    sizes: &'static [u32],
    fault: f32,
}

impl ActivationQuantizer for CutActivation {
    fn bits(&self) -> u32 {
        self.whole.bits()
    }
    fn factor(&self) -> f32 {
        self.whole.factor()
    }
    fn rule(&self) -> Option<CodeRule> {
        self.whole.rule()
    }
    fn pack(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Packed, GraphError> {
        let packed = self.whole.pack(recorder, input)?;
        let groups = cut(packed.groups[0], self.sizes, self.fault);
        Ok(Packed { groups, ..packed })
    }
    fn backward(&self, recorder: &mut Recorder, input: &Tensor, grad: &Tensor) -> Result<Tensor, GraphError> {
        self.whole.backward(recorder, input, grad)
    }
}

/// How weights and activations are cut.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cuts {
    pub weight: Option<&'static [u32]>,
    pub activation: Option<&'static [u32]>,
    /// What is added to the factor of the last group; 0 for the same values.
    pub fault: f32,
}

/// A network of 3-bit weights and 2-bit activations.
pub fn network(cuts: Cuts, gradient_bits: u32) -> Network {
    let bits = Bits::new(3, 2, gradient_bits).expect("valid widths");
    let weight = || -> Arc<dyn WeightQuantizer> {
        let whole = DorefaWeight::new(bits.weight);
        match cuts.weight {
            Some(sizes) => Arc::new(Cut { whole, sizes, fault: cuts.fault }),
            None => Arc::new(whole),
        }
    };
    let activation = || -> Arc<dyn ActivationQuantizer> {
        let whole = DorefaActivation::new(bits.activation);
        match cuts.activation {
            Some(sizes) => Arc::new(CutActivation { whole, sizes, fault: cuts.fault }),
            None => Arc::new(whole),
        }
    };
    let act = || Arc::new(Quantize { quantizer: activation() });
    let mut net = NetworkBuilder::new(Shape::new(8, 8, 3));
    let same = Geometry::square(3, 1, Padding::Same);
    let x = net
        .conv2d("conv0", net.input(), Conv2d { out_channels: 10, geometry: same, bias: true })
        .expect("conv0");
    let x = net.add_layer("act0", act(), &[x]).expect("act0");
    let quantized = |net: &mut NetworkBuilder, name: &str, x, out_channels| {
        let plain = QuantizedConv2d::dorefa(out_channels, same, bits);
        let layer = QuantizedConv2d { weight: Some(weight()), ..plain };
        net.add_layer(name, Arc::new(layer), &[x]).expect("a convolution")
    };
    let x = quantized(&mut net, "conv1", x, 12);
    let x = net.batch_norm("bn1", x).expect("bn1");
    let x = net.add_layer("act1", act(), &[x]).expect("act1");
    let x = quantized(&mut net, "conv2", x, 6);
    net.linear("fc1", x, Linear { outputs: 10, weight_decay: 0.0 }).expect("fc1");
    net.build().expect("a network")
}

/// Its pictures.
pub const INPUT: InputSpec = InputSpec {
    source_height: 8,
    source_width: 8,
    channels: 3,
    resize_height: 8,
    resize_width: 8,
    out_height: 8,
    out_width: 8,
};

/// Gradients of one step and class scores after it.
fn outcome(cuts: Cuts, gradient_bits: u32) -> Option<Vec<f32>> {
    let network = network(cuts, gradient_bits);
    let mut session = Session::new(open_gpu()?, &network, &options_for(INPUT, 5)).expect("a session");
    let pictures = Pictures::of(&INPUT, 5, 3);
    block_on(async {
        session.forward(&pictures.batch(), 0).await.expect("forward");
        session.backward().await.expect("backward");
        let gradients = session.gradients().await.expect("gradients");
        let mut values: Vec<f32> = gradients.into_iter().flat_map(|g| g.values).collect();
        session.freeze().await.expect("freeze");
        values.extend(session.logits(&pictures.batch()).await.expect("logits"));
        Some(values)
    })
}

/// Share of values that differ by more than one part in a thousand of the largest.
fn share_apart(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let apart = a.iter().zip(b).filter(|(a, b)| (*a - *b).abs() > 1e-3 * largest).count();
    apart as f64 / a.len() as f64
}

/// Gradients in bits, so that all products are bit products, and in f32, for which weights and activations are unpacked.
const GRADIENTS: [u32; 2] = [4, 32];

#[test]
fn several_groups_give_the_values_of_one() {
    for gradient_bits in GRADIENTS {
        let Some(one) = outcome(Cuts::default(), gradient_bits) else { return };
        for (weight, activation) in [
            (Some(&[1, 2][..]), None),
            (Some(&[1, 1, 1]), None),
            (None, Some(&[1, 1][..])),
            (Some(&[2, 1]), Some(&[1, 1])),
        ] {
            let cuts = Cuts { weight, activation, fault: 0.0 };
            let several = outcome(cuts, gradient_bits).expect("an adapter");
            assert!(share_apart(&one, &several) < 0.01, "{cuts:?}: {}", share_apart(&one, &several));
        }
    }
}

#[test]
fn a_wrong_factor_of_one_group_is_noticed() {
    let (weight, activation) = (Some(&[1, 1, 1][..]), Some(&[1, 1][..]));
    for gradient_bits in GRADIENTS {
        let Some(one) = outcome(Cuts::default(), gradient_bits) else { return };
        for (weight, activation) in [(weight, None), (None, activation)] {
            let wrong = outcome(Cuts { weight, activation, fault: 0.2 }, gradient_bits).expect("an adapter");
            assert!(share_apart(&one, &wrong) > 0.05, "{}", share_apart(&one, &wrong));
        }
    }
}
