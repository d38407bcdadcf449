//! Bases that each layer has of its own (Group-Net's Eq 3), recorded as one product.
//!
//! Convolutions of few bits that read one input and whose only reader is a weighted sum are one convolution, whose weights
//! are the groups of planes of all bases: products add up in one result, the gradient is quantized once, and one weight
//! gradient holds those of all bases and of lambda. Layers, parameters and their names stay what they are.

use std::{collections::HashMap, sync::Arc};

use crate::{
    BaseScales, GraphError, Network, Recorder, Tensor, Value,
    fusion::{Link, consumers},
    layer::{Backward, Layer, Place},
    layers::QuantizedConv2d,
    network::NetworkLayer,
    quantizers::{BaseSumWeight, WeightQuantizer},
    tap::{Quantity, Tap},
};

/// A weighted sum and the convolutions that it adds.
#[derive(Clone, Debug)]
pub(crate) struct BaseSum {
    /// Their positions in the network, in order.
    pub bases: Vec<usize>,
    product: QuantizedConv2d,
}

/// The sums of `network` that are recorded as one product, by position.
pub(crate) fn base_sums(recorder: &Recorder, network: &Network) -> HashMap<usize, BaseSum> {
    let consumers = consumers(network);
    let found = |(at, layer): (usize, &NetworkLayer)| {
        let Some(Link::Sum(scales)) = layer.layer.link() else { return None };
        let bases: Vec<usize> = layer.inputs.iter().copied().collect::<Option<_>>()?;
        let apart = bases.iter().all(|&base| consumers[base] == 1);
        let product = apart.then(|| product(recorder, network, &bases, scales)).flatten()?;
        Some((at, BaseSum { bases, product }))
    };
    network.layers.iter().enumerate().filter_map(found).collect()
}

/// One convolution in place of those at `bases`.
fn product(
    recorder: &Recorder,
    network: &Network,
    bases: &[usize],
    scales: BaseScales,
) -> Option<QuantizedConv2d> {
    let layers: Vec<&NetworkLayer> = bases.iter().map(|&at| &network.layers[at]).collect();
    let one_input = layers.iter().all(|layer| layer.inputs == layers[0].inputs);
    let products: Vec<QuantizedConv2d> =
        layers.iter().map(|layer| layer.layer.link()?.product()).collect::<Option<_>>()?;
    let first = &products[0];
    let convolution = first.only_part(recorder, layers[0].input_kinds[0].shape)?;
    let alike = products.iter().all(|other| {
        (other.geometry, other.out_channels, other.groups) == (first.geometry, first.out_channels, 1)
    });
    if !one_input || !alike {
        return None;
    }
    let rule = |(layer, product): (&&NetworkLayer, &QuantizedConv2d)| {
        // Scales of channels lie inside the gradient of the input, whose codes each base draws by itself.
        let draws = |rule: &dyn WeightQuantizer| product.gradient.is_some() && rule.has_channel_scales();
        let joins = |rule: &Arc<dyn WeightQuantizer>| rule.channel_groups() == 1 && !draws(rule.as_ref());
        let rule = product.weight.clone().filter(|rule| joins(rule) && !product.bias)?;
        Some((layer.name.clone(), rule))
    };
    let bases = layers.iter().zip(&products).map(rule).collect::<Option<_>>()?;
    let weight = Arc::new(BaseSumWeight { bases, scales, convolution });
    Some(QuantizedConv2d { weight: Some(weight), ..first.clone() })
}

impl BaseSum {
    /// Records the forward pass of the sum at `place`; the backward pass leads from the gradient of its output to that of the
    /// bases' input.
    pub(crate) fn forward(
        self,
        recorder: &mut Recorder,
        network: &Network,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        for &base in &self.bases {
            recorder.set_scope(&network.layers[base].name, "forward");
            recorder.tap_input(&network.layers[base], inputs);
        }
        recorder.set_scope(&place.name, "forward");
        let first = recorder.parameters[&format!("{}.weight", network.layers[self.bases[0]].name)].clone();
        recorder.shared_parameters.insert(format!("{}.weight", place.name), first);
        let (value, backward) = self.product.forward(recorder, place, inputs)?;
        let layers: Vec<NetworkLayer> = self.bases.iter().map(|&at| network.layers[at].clone()).collect();
        let sum = place.name.clone();
        Ok((
            value,
            Box::new(move |recorder, grad| {
                tap_values(recorder, &layers, grad);
                recorder.set_scope(&sum, "backward");
                let noted = recorder.taps.len();
                let gradients = backward(recorder, grad)?;
                tap_codes(recorder, &layers, (&sum, noted));
                Ok(gradients)
            }),
        ))
    }
}

/// Notes the gradient of the sum for each base, which has it but for lambda.
fn tap_values(recorder: &mut Recorder, bases: &[NetworkLayer], grad: &Tensor) {
    for base in bases {
        recorder.set_scope(&base.name, "backward");
        recorder.tap_gradient(base, grad);
    }
}

/// Notes the gradient's codes, which were noted for the sum, for each base.
fn tap_codes(recorder: &mut Recorder, bases: &[NetworkLayer], (sum, first): (&str, usize)) {
    let (own, others): (Vec<_>, Vec<_>) =
        recorder.taps.drain(first..).partition(|tap| tap.quantity == Quantity::Gradients && tap.layer == sum);
    recorder.taps.extend(others);
    for base in bases {
        recorder.taps.extend(own.iter().map(|tap| Tap { layer: base.name.clone(), ..tap.clone() }));
    }
}
