//! Activation quantization: f32 in, bit planes out.

use std::sync::Arc;

use super::single_dense;
use crate::{
    Codes, GraphError, LengthForm, Link, Method, ParameterSpec, Recorder,
    deployed::{self, Origin},
    layer::{Backward, Layer, Place, no_backward},
    quantizers::{ActivationQuantizer, ChannelBits},
    tensor::{Kind, Value},
};

/// Applies an activation quantizer. In a deployed evaluation it closes the convolution before it with integer thresholds.
#[derive(Clone, Debug)]
pub struct Quantize {
    /// The rule.
    pub quantizer: Arc<dyn ActivationQuantizer>,
}

impl Layer for Quantize {
    fn kind(&self) -> &'static str {
        "quantize"
    }

    fn infer(&self, name: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
        Ok(Kind { bits: Some(self.quantizer.bits()), ..single_dense(name, inputs)? })
    }

    fn parameters(&self, _: &[Kind]) -> Vec<ParameterSpec> {
        self.quantizer.parameters()
    }

    fn link(&self) -> Option<Link> {
        Some(Link::Quantize(self.quantizer.clone()))
    }

    fn with_method(&self, method: &Method) -> Option<Arc<dyn Layer>> {
        Some(Arc::new(Self { quantizer: self.quantizer.with_method(method)? }))
    }

    fn codes(&self) -> Option<Codes> {
        Some(Codes::Activations(self.quantizer.bits()))
    }

    fn cut(&self, bits: u32) -> Option<Arc<dyn Layer>> {
        Some(Arc::new(Self { quantizer: self.quantizer.cut(bits)? }))
    }

    fn with_learned_bits(&self, form: LengthForm, groups: u32) -> Option<Arc<dyn Layer>> {
        Some(Arc::new(Self { quantizer: self.quantizer.with_learned_bits(form, groups)? }))
    }

    fn drawn_from(&self, name: &str, inputs: &[Kind]) -> Option<Arc<dyn Layer>> {
        let widths = self.quantizer.channel_bits(name, inputs[0].shape.channels)?;
        let quantizer = Arc::new(ChannelBits { bits: self.quantizer.bits(), widths });
        Some(Arc::new(Self { quantizer }))
    }

    fn for_state(&self, read: &dyn Fn(&str) -> Option<Vec<f32>>) -> Option<Arc<dyn Layer>> {
        Some(Arc::new(Self { quantizer: self.quantizer.for_state(read)? }))
    }

    fn forward(
        &self,
        recorder: &mut Recorder,
        place: &Place,
        inputs: &[Value],
    ) -> Result<(Value, Backward), GraphError> {
        if let Value::Deferred(deferred) = &inputs[0]
            && deferred.has_thresholds(self.quantizer.as_ref())
        {
            let packed = deferred.threshold(recorder, &self.quantizer)?;
            return Ok((Value::Packed(packed), no_backward()));
        }
        let input = recorder.dense(&inputs[0])?;
        let packed = self.quantizer.pack(recorder, &input)?;
        let quantizer = self.quantizer.clone();
        match deployed::quantize(quantizer.as_ref(), &packed) {
            Some(operation) => {
                let ends = ([Origin::Buffer(input.chunks[0])], Some(packed.chunks[0]));
                let channels = packed.shape.channels;
                let (bits, sets) =
                    (quantizer.channel_bits(&place.name, channels), quantizer.channel_sets(channels));
                let of_channels = [("bits", bits), ("groups", sets)].into_iter();
                let tensors = of_channels
                    .filter_map(|(name, words)| Some((name, recorder.constant("of channels", words?))))
                    .collect();
                recorder.describe(&place.name, operation, &ends.0, tensors, ends.1);
            }
            None => recorder.describe_nothing(&place.name),
        }
        let codes = packed.clone();
        let backward: Backward = Box::new(move |recorder, grad| {
            quantizer.own_gradients(recorder, &codes, grad)?;
            Ok(vec![Some(quantizer.backward(recorder, &input, grad)?)])
        });
        Ok((Value::Packed(packed), backward))
    }
}
