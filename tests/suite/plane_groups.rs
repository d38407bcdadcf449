//! An operand of several plane groups: one real factor per group, added in order.

use std::sync::Arc;

use graph::{
    Bits, Convolution, Geometry, GraphError, InputSpec, Network, NetworkBuilder, Padding, Parameter,
    Recorder, Session, Shape,
    layers::{Conv2d, Linear, QuantizedConv2d},
    planes::{Group, Operand},
    quantizers::{DorefaGradient, DorefaWeight, WeightQuantizer, WeightRows},
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
        let (all, mut first) = (packed.groups[0], 0);
        let mut groups: Vec<Group> = Vec::new();
        for &planes in self.sizes {
            let group = PlaneGroup { first_plane: first, planes, mask: None };
            groups.push(Group {
                planes: group,
                factor: all.factor * (1u32 << first) as f32,
                scale: all.scale,
            });
            first += planes;
        }
        groups.last_mut().expect("a group").factor += self.fault;
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

fn network(weight: impl Fn() -> Arc<dyn WeightQuantizer>) -> Network {
    let bits = Bits::new(3, 2, 4).expect("valid widths");
    let mut net = NetworkBuilder::new(Shape::new(8, 8, 3));
    let same = Geometry::square(3, 1, Padding::Same);
    let x = net
        .conv2d("conv0", net.input(), Conv2d { out_channels: 10, geometry: same, bias: true })
        .expect("conv0");
    let x = net.activation("act0", x, bits.activation).expect("act0");
    let quantized = |net: &mut NetworkBuilder, name: &str, x, out_channels| {
        let gradient = Some(Arc::new(DorefaGradient::new(bits.gradient)) as _);
        let plain = QuantizedConv2d::dorefa(out_channels, same, bits);
        let layer = QuantizedConv2d { weight: Some(weight()), gradient, ..plain };
        net.add_layer(name, Arc::new(layer), &[x]).expect("a convolution")
    };
    let x = quantized(&mut net, "conv1", x, 12);
    let x = net.batch_norm("bn1", x).expect("bn1");
    let x = net.activation("act1", x, bits.activation).expect("act1");
    let x = quantized(&mut net, "conv2", x, 6);
    net.linear("fc1", x, Linear { outputs: 10, weight_decay: 0.0 }).expect("fc1");
    net.build().expect("a network")
}

/// Gradients of one step and class scores after it.
fn outcome(sizes: Option<&'static [u32]>, fault: f32) -> Option<Vec<f32>> {
    let whole = DorefaWeight::new(3);
    let network = network(|| match sizes {
        Some(sizes) => Arc::new(Cut { whole, sizes, fault }),
        None => Arc::new(whole),
    });
    let input = InputSpec {
        source_height: 8,
        source_width: 8,
        channels: 3,
        resize_height: 8,
        resize_width: 8,
        out_height: 8,
        out_width: 8,
    };
    let mut session = Session::new(open_gpu()?, &network, &options_for(input, 5)).expect("a session");
    let pictures = Pictures::of(&input, 5, 3);
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

#[test]
fn two_and_three_groups_give_the_values_of_one() {
    let Some(one) = outcome(None, 0.0) else { return };
    for sizes in [&[1, 2][..], &[2, 1], &[1, 1, 1]] {
        let several = outcome(Some(sizes), 0.0).expect("an adapter");
        assert!(share_apart(&one, &several) < 0.01, "{sizes:?}: {}", share_apart(&one, &several));
    }
}

#[test]
fn a_wrong_factor_of_one_group_is_noticed() {
    let Some(one) = outcome(None, 0.0) else { return };
    let wrong = outcome(Some(&[1, 1, 1]), 0.2).expect("an adapter");
    assert!(share_apart(&one, &wrong) > 0.05, "{}", share_apart(&one, &wrong));
}
