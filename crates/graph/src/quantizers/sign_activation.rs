//! Activations in {-1, +1}, as XNOR-Net and Group-Net have them.

use std::{ops::RangeInclusive, sync::Arc};

use kernels::{Kind, QuantizeWeight, SignBackward, SignRule, WeightRule};
use reference::threshold::{BatchNormChannel, ChannelThresholds, fold_sign};

use super::ActivationQuantizer;
use crate::{
    CodeForm, CodeRounding, CodeRule, GraphError, Method, Packed, Recorder, Tensor, reduction::channel_means,
    tensor::Magnitudes,
};

/// `sgn(x)` with `sgn(0) = +1`; the gradient passes where `|x| <= 1`, by one of two rules. The border of a convolution is
/// +1, because there is no 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignActivation {
    /// How the gradient passes.
    pub rule: SignRule,
    /// Each output position of a convolution is multiplied by XNOR-Net's factor K: the mean of |x| over the channels, then
    /// over the kernel's window. The backward pass takes K as a constant. The deployed form quantizes in f32.
    pub factors: bool,
}

impl ActivationQuantizer for SignActivation {
    fn with_method(&self, method: &Method) -> Option<Arc<dyn ActivationQuantizer>> {
        method.group_net.signs.map(|signs| Arc::new(signs) as Arc<_>)
    }

    fn bits(&self) -> u32 {
        1
    }

    fn kind(&self) -> Kind {
        Kind::Sign
    }

    fn factor(&self) -> f32 {
        1.0
    }

    fn thresholds(
        &self,
        channel: &BatchNormChannel,
        range: RangeInclusive<i64>,
    ) -> Option<ChannelThresholds> {
        (!self.factors).then(|| fold_sign(channel, range))
    }

    fn rule(&self) -> Option<CodeRule> {
        let (inverse, factor, rounding) = (1.0, 1.0, CodeRounding::Even);
        let rule = CodeRule { form: CodeForm::Sign, inverse, factor, rounding, drop: 0 };
        Some(rule)
    }

    fn pack(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Packed, GraphError> {
        let (shape, one) = (input.shape, recorder.one());
        let (mut chunks, mut magnitudes) = (Vec::new(), Vec::new());
        for chunk in recorder.chunks() {
            let (x, rows) = (input.chunks[chunk.index], chunk.samples * shape.pixels());
            let planes = recorder.per_sample("signs", chunk, Packed::words(shape, 1, chunk.samples));
            // Signs of pixels and of output channels are packed alike.
            let kernel = QuantizeWeight::by_output([rows, 1, shape.channels], 1, WeightRule::Sign);
            recorder.dispatch(kernel, &[x, one, planes])?;
            chunks.push(planes);
            if self.factors {
                magnitudes.push(channel_means(recorder, chunk, shape, x)?);
            }
        }
        let packed = Packed::codes(shape, (self.kind(), 1, self.factor()), chunks);
        let magnitudes = Magnitudes { source: input.chunks[0], chunks: magnitudes };
        Ok(Packed { magnitudes: self.factors.then_some(magnitudes), ..packed })
    }

    fn backward(&self, recorder: &mut Recorder, input: &Tensor, grad: &Tensor) -> Result<Tensor, GraphError> {
        let result = recorder.tensor("grad_input", input.shape);
        for chunk in recorder.chunks() {
            let at = chunk.index;
            let kernel = SignBackward { len: chunk.samples * input.shape.len(), rule: self.rule };
            recorder.dispatch(kernel, &[input.chunks[at], grad.chunks[at], result.chunks[at]])?;
        }
        Ok(result)
    }
}
