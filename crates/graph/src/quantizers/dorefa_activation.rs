//! DoReFa-Net activations, Eq 11.

use std::{ops::RangeInclusive, sync::Arc};

use kernels::{ActivationForm, ClipBackward, QuantizeActivation, Rounding};
use reference::threshold::{BatchNormChannel, ChannelThresholds, fold_batch_norm_by};

use super::{ActivationQuantizer, LearnedActivation};
use crate::{CodeForm, CodeRounding, CodeRule, GraphError, LengthForm, Method, Packed, Recorder, Tensor};

/// `q = round(n * clip(x / range, 0, 1))`, value `range * q / n`; the gradient passes where `0 <= x <= range`. With
/// [`ActivationForm::Cabs`], `min(1, |x / range|)` in place of the clip, which is not monotone: its deployed form quantizes
/// in f32. DoReFa-Net's range is 1; Group-Net's, Eq 2, is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DorefaActivation {
    /// Bits of a code, 1 to 8.
    pub bits: u32,
    /// What limits x to its range.
    pub form: ActivationForm,
    /// How codes are rounded.
    pub rounding: Rounding,
    /// Upper end of the range, above 0.
    pub range: f32,
}

impl DorefaActivation {
    /// Equation 11 with codes of `bits` bits.
    pub fn new(bits: u32) -> Self {
        Self { bits, form: ActivationForm::Clip, rounding: Rounding::Even, range: 1.0 }
    }
}

impl ActivationQuantizer for DorefaActivation {
    fn with_method(&self, method: &Method) -> Option<Arc<dyn ActivationQuantizer>> {
        if let Some(rule) = method.channel_bits {
            return Some(Arc::new(rule));
        }
        if let Some(signs) = method.group_net.signs.filter(|_| self.bits == 1) {
            return Some(Arc::new(signs));
        }
        let rounding = method.nested.map_or(method.rounding, |form| form.rounding(self.bits));
        let (form, range) = (method.activation_form, method.group_net.range());
        Some(Arc::new(Self { form, rounding, range, ..*self }))
    }

    fn cut(&self, bits: u32) -> Option<Arc<dyn ActivationQuantizer>> {
        let rounding = match self.rounding {
            rounding if bits == self.bits => rounding,
            Rounding::MidRise => Rounding::MidRise,
            Rounding::Shift { from } => Rounding::Shift { from },
            Rounding::Even => Rounding::Shift { from: self.bits },
            Rounding::Floor => return None,
        };
        (bits <= self.bits).then(|| Arc::new(Self { bits, rounding, ..*self }) as Arc<_>)
    }

    fn with_learned_bits(&self, form: LengthForm, groups: u32) -> Option<Arc<dyn ActivationQuantizer>> {
        Some(Arc::new(LearnedActivation::new(form, self.bits, groups)))
    }

    fn bits(&self) -> u32 {
        self.bits
    }

    fn factor(&self) -> f32 {
        self.range / reference::quantize::levels(self.bits) as f32
    }

    fn thresholds(
        &self,
        channel: &BatchNormChannel,
        range: RangeInclusive<i64>,
    ) -> Option<ChannelThresholds> {
        let monotone = self.form == ActivationForm::Clip;
        let inverse = f64::from(1.0 / self.range);
        let channel =
            BatchNormChannel { gamma: inverse * channel.gamma, beta: inverse * channel.beta, ..*channel };
        monotone.then(|| fold_batch_norm_by(&channel, (self.bits, self.rounding), range))
    }

    fn rule(&self) -> Option<CodeRule> {
        let form = match self.form {
            ActivationForm::Clip => CodeForm::Clip,
            ActivationForm::Cabs => CodeForm::Magnitude,
        };
        let rounding = match self.rounding {
            Rounding::Even | Rounding::Shift { .. } => CodeRounding::Even,
            Rounding::Floor => CodeRounding::HalfUp,
            Rounding::MidRise => CodeRounding::Down,
        };
        let drop = if let Rounding::Shift { from } = self.rounding { from - self.bits } else { 0 };
        let (inverse, factor) = (1.0 / self.range, self.rounding.factor(self.bits) as f32);
        Some(CodeRule { form, inverse, factor, rounding, drop })
    }

    fn unit_clip(&self) -> Option<Rounding> {
        (self.form == ActivationForm::Clip && self.range == 1.0).then_some(self.rounding)
    }

    fn pack(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Packed, GraphError> {
        let (shape, Self { bits, form, rounding, range }) = (input.shape, *self);
        let mut chunks = Vec::new();
        for chunk in recorder.chunks() {
            let planes = recorder.per_sample("codes", chunk, Packed::words(shape, bits, chunk.samples));
            let rows = chunk.samples * shape.pixels();
            let kernel = QuantizeActivation { rows, channels: shape.channels, bits, form, rounding, range };
            recorder.dispatch(kernel, &[input.chunks[chunk.index], planes])?;
            chunks.push(planes);
        }
        Ok(Packed::codes(shape, (self.kind(), bits, self.factor()), chunks))
    }

    fn backward(&self, recorder: &mut Recorder, input: &Tensor, grad: &Tensor) -> Result<Tensor, GraphError> {
        let result = recorder.tensor("grad_input", input.shape);
        for chunk in recorder.chunks() {
            let at = chunk.index;
            let kernel =
                ClipBackward { len: chunk.samples * input.shape.len(), form: self.form, limit: self.range };
            recorder.dispatch(kernel, &[input.chunks[at], grad.chunks[at], result.chunks[at]])?;
        }
        Ok(result)
    }
}
