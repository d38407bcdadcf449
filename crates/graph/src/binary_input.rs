//! What activations in {-1, +1} ask of the convolution that reads them: a border of +1 where a product runs in f32, and
//! XNOR-Net's factor of each output position.

use kernels::{BoxFilter, PadImage, ScaleMatrix};
use recording::BufferSlice;

use crate::{
    Convolution, Geometry, GraphError, Packed, Padding, Recorder, Shape, Tensor,
    deployed::{DeployedOperation, Origin},
};

impl Convolution {
    /// XNOR-Net's factor K `[output position]` per chunk: the mean magnitudes of the input's pixels over the kernel's window,
    /// with zeros around them; `None` where `input` has no magnitudes.
    pub(crate) fn activation_factors(
        &self,
        recorder: &mut Recorder,
        input: &Packed,
    ) -> Result<Option<Vec<BufferSlice>>, GraphError> {
        let Some(magnitudes) = &input.magnitudes else { return Ok(None) };
        if self.groups > 1 {
            let message =
                "groups of channels would need an activation factor each; leave activation-scale out";
            return Err(GraphError::layer(&recorder.scope.layer, message));
        }
        let factors = window_means(recorder, self, &magnitudes.chunks)?;
        let name = recorder.scope.layer.clone();
        let (source, means) = (Origin::Buffer(magnitudes.source), magnitudes.chunks[0]);
        // The first of the convolutions that read one tensor describes its means.
        if !recorder.is_described(means) {
            let operation = DeployedOperation::ChannelMagnitude;
            recorder.describe(&format!("{name}.magnitude"), operation, &[source], Vec::new(), Some(means));
        }
        let operation = DeployedOperation::WindowMean(self.window(1));
        let ends = ([Origin::Buffer(means)], Some(factors[0]));
        recorder.describe(&format!("{name}.factors"), operation, &ends.0, Vec::new(), ends.1);
        Ok(Some(factors))
    }

    /// The same convolution with its padding in the input, whose border is `value`.
    pub(crate) fn bordered(
        &self,
        recorder: &mut Recorder,
        input: &Tensor,
        value: f32,
    ) -> Result<(Self, Tensor), GraphError> {
        let (window, (kernel_h, kernel_w)) = (self.window(1), self.geometry.kernel);
        let reach = |out: u32, kernel: u32| (out - 1) * self.geometry.stride + kernel;
        let out_size = (reach(window.out_height, kernel_h), reach(window.out_width, kernel_w));
        let (size, first) = ((self.input.height, self.input.width), (window.pad_top, window.pad_left));
        if first == (0, 0) && out_size.0 <= size.0 && out_size.1 <= size.1 {
            return Ok((*self, input.clone()));
        }
        let shape = Shape::new(out_size.0, out_size.1, self.input.channels);
        let result = recorder.tensor("bordered", shape);
        for chunk in recorder.chunks() {
            let (samples, channels) = (chunk.samples, shape.channels);
            let kernel = PadImage { samples, size, channels, out_size, first, value };
            recorder.dispatch(kernel, &[input.chunks[chunk.index], result.chunks[chunk.index]])?;
        }
        let geometry = Geometry { padding: Padding::Valid, ..self.geometry };
        Ok((Self { geometry, input: shape, ..*self }, result))
    }
}

/// Records the mean of each window of single channels, with zeros around them: `[output position]` per chunk.
pub(crate) fn window_means(
    recorder: &mut Recorder,
    convolution: &Convolution,
    magnitudes: &[BufferSlice],
) -> Result<Vec<BufferSlice>, GraphError> {
    let mut means = Vec::new();
    for chunk in recorder.chunks() {
        let window = convolution.window(chunk.samples);
        let result = recorder.per_sample("activation factors", chunk, u64::from(window.out_pixels()));
        recorder.dispatch(BoxFilter { window }, &[magnitudes[chunk.index], result])?;
        means.push(result);
    }
    Ok(means)
}

/// Records `tensor` with each pixel times its factor.
pub(crate) fn scale_positions(
    recorder: &mut Recorder,
    tensor: &Tensor,
    factors: &[BufferSlice],
) -> Result<Tensor, GraphError> {
    scaled(recorder, tensor, false, |at| factors[at])
}

/// Records `tensor` with each channel times its scale.
pub(crate) fn scale_channels(
    recorder: &mut Recorder,
    tensor: &Tensor,
    scales: BufferSlice,
) -> Result<Tensor, GraphError> {
    scaled(recorder, tensor, true, |_| scales)
}

fn scaled(
    recorder: &mut Recorder,
    tensor: &Tensor,
    by_column: bool,
    scale: impl Fn(usize) -> BufferSlice,
) -> Result<Tensor, GraphError> {
    let result = recorder.tensor("scaled", tensor.shape);
    for chunk in recorder.chunks() {
        let (rows, columns) = (chunk.samples * tensor.shape.pixels(), tensor.shape.channels);
        let buffers = [tensor.chunks[chunk.index], scale(chunk.index), result.chunks[chunk.index]];
        recorder.dispatch(ScaleMatrix { rows, columns, by_column }, &buffers)?;
    }
    Ok(result)
}
