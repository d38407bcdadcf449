//! Activations whose channels have bits of their own, as the authors of heterogeneous binarization mask inputs.

use kernels::QuantizeChannels;
use recording::BufferSlice;
use reference::random::philox4x32_10;

use super::{ActivationQuantizer, DorefaActivation, channel_codes::clip_backward};
use crate::{
    BitMix, BitOrder, CodeForm, CodeRule, GraphError, Heterogeneous, MaskGranularity, Packed, Recorder,
    Tensor,
};

/// Sets apart the numbers that order channels of activations.
const CHANNEL_STREAM: u32 = 0x6163_7473;

/// DoReFa-Net's equation 11 with a width for every channel, `q / n_b` with `q = round(n_b clip(x, 0, 1))`; the gradient passes
/// where `0 <= x <= 1`. Which channel has which width is drawn from the seed and the layer's name.
///
/// All codes are written in the steps of the widest width, so that a tensor is one plane group: b bits as `n / n_b` times the
/// code, which is whole where b divides the widest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HbnnActivation {
    /// Shares of channels.
    pub mix: BitMix,
    /// Seed of their order.
    pub seed: u64,
}

impl HbnnActivation {
    /// True where codes of every width of `mix` can be written in the steps of the widest.
    pub fn supports(mix: &BitMix) -> bool {
        mix.shares().all(|(bits, _)| mix.widest().is_multiple_of(bits))
    }

    /// The bits of each channel of layer `name`.
    pub fn widths(&self, name: &str, channels: u32) -> Vec<u32> {
        let rule =
            Heterogeneous { order: BitOrder::Random, granularity: MaskGranularity::Element, mix: self.mix };
        let bytes = name.bytes().map(u32::from);
        let tensor = bytes.fold(0, |sum, byte| philox4x32_10([sum, byte, 0, CHANNEL_STREAM], [0, 0])[0]);
        rule.assign(&vec![0.0; channels as usize], 1, (self.seed, tensor))
    }
}

impl ActivationQuantizer for HbnnActivation {
    fn bits(&self) -> u32 {
        self.mix.widest()
    }

    fn factor(&self) -> f32 {
        1.0 / reference::quantize::levels(self.bits()) as f32
    }

    fn rule(&self) -> Option<CodeRule> {
        Some(CodeRule { form: CodeForm::ClipByChannel, ..DorefaActivation::new(self.bits()).rule()? })
    }

    fn channel_bits(&self, name: &str, channels: u32) -> Option<Vec<u32>> {
        Some(self.widths(name, channels))
    }

    fn pack(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Packed, GraphError> {
        let (shape, bits) = (input.shape, self.bits());
        let name = recorder.scope.layer.clone();
        let widths = self.widths(&name, shape.channels);
        let chunks = ChannelBits { bits, widths }.record(recorder, input)?;
        Ok(Packed::codes(shape, (self.kind(), bits, self.factor()), chunks))
    }

    fn backward(&self, recorder: &mut Recorder, input: &Tensor, grad: &Tensor) -> Result<Tensor, GraphError> {
        clip_backward(recorder, input, grad)
    }
}

/// The same codes with widths that are known, in a network that is deployed and no longer trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelBits {
    /// Bits of a code.
    pub bits: u32,
    /// Bits of each channel.
    pub widths: Vec<u32>,
}

impl ChannelBits {
    fn record(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Vec<BufferSlice>, GraphError> {
        let (shape, bits) = (input.shape, self.bits);
        let widths = recorder.constant("bits of channels", self.widths.clone());
        let mut chunks = Vec::new();
        for chunk in recorder.chunks() {
            let planes = recorder.per_sample("codes", chunk, Packed::words(shape, bits, chunk.samples));
            let rows = chunk.samples * shape.pixels();
            let kernel = QuantizeChannels { rows, channels: shape.channels, bits };
            recorder.dispatch(kernel, &[input.chunks[chunk.index], widths, planes])?;
            chunks.push(planes);
        }
        Ok(chunks)
    }
}

impl ActivationQuantizer for ChannelBits {
    fn bits(&self) -> u32 {
        self.bits
    }

    fn factor(&self) -> f32 {
        1.0 / reference::quantize::levels(self.bits) as f32
    }

    fn pack(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Packed, GraphError> {
        let chunks = self.record(recorder, input)?;
        Ok(Packed::codes(input.shape, (self.kind(), self.bits, self.factor()), chunks))
    }

    fn backward(&self, recorder: &mut Recorder, input: &Tensor, grad: &Tensor) -> Result<Tensor, GraphError> {
        clip_backward(recorder, input, grad)
    }
}
