//! Two-dimensional convolution in its direct form, its gradients, and the unfoldings into products.

use crate::product::Number;

/// The shape of a convolution: input `[samples, height, width, in_channels]`, weight
/// `[out_channels, kernel_h, kernel_w, in_channels]`, output `[samples, out_h, out_w, out_channels]`.
///
/// Output position `oy` reads the input rows `oy * stride + ky - pad_top`; those outside the input are zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Batch size.
    pub samples: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Rows of the kernel.
    pub kernel_h: usize,
    /// Columns of the kernel.
    pub kernel_w: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Rows of the output.
    pub out_h: usize,
    /// Columns of the output.
    pub out_w: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Zero rows above the input.
    pub pad_top: usize,
    /// Zero columns left of the input.
    pub pad_left: usize,
}

impl Conv2d {
    /// TensorFlow's SAME rule on an input `[n, h, w, ci]` with a kernel `[kh, kw]`:
    /// `out = ceil(size / stride)`, the smaller half of the padding above and to the left.
    pub fn same(input: [usize; 4], kernel: [usize; 2], out_channels: usize, stride: usize) -> Self {
        let (out_h, pad_top) = same_axis(input[1], kernel[0], stride);
        let (out_w, pad_left) = same_axis(input[2], kernel[1], stride);
        Self { out_h, out_w, pad_top, pad_left, ..Self::valid(input, kernel, out_channels, stride) }
    }

    /// No padding on an input `[n, h, w, ci]` with a kernel `[kh, kw]`:
    /// `out = floor((size - k) / stride) + 1`, or 0 where the kernel is larger than the input.
    pub fn valid(input: [usize; 4], kernel: [usize; 2], out_channels: usize, stride: usize) -> Self {
        let [samples, height, width, in_channels] = input;
        let [kernel_h, kernel_w] = kernel;
        let out_h = valid_axis(height, kernel_h, stride);
        let out_w = valid_axis(width, kernel_w, stride);
        let (pad_top, pad_left) = (0, 0);
        Self {
            samples,
            height,
            width,
            in_channels,
            kernel_h,
            kernel_w,
            out_channels,
            out_h,
            out_w,
            stride,
            pad_top,
            pad_left,
        }
    }

    /// Elements of the input.
    pub fn input_len(&self) -> usize {
        self.samples * self.height * self.width * self.in_channels
    }

    /// Elements of the weight.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.taps() * self.in_channels
    }

    /// Elements of the output.
    pub fn output_len(&self) -> usize {
        self.samples * self.positions() * self.out_channels
    }

    /// Kernel positions, `kernel_h * kernel_w`.
    pub fn taps(&self) -> usize {
        self.kernel_h * self.kernel_w
    }

    /// Output positions of one sample, `out_h * out_w`.
    pub fn positions(&self) -> usize {
        self.out_h * self.out_w
    }

    /// `y[n, oy, ox, co] = bias[co] + sum over (ky, kx, ci) of x[n, iy, ix, ci] * w[co, ky, kx, ci]`.
    pub fn forward<T: Number>(&self, input: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<T> {
        assert_eq!(input.len(), self.input_len(), "input of {self:?}");
        assert_eq!(weight.len(), self.weight_len(), "weight of {self:?}");
        assert!(bias.is_none_or(|bias| bias.len() == self.out_channels), "bias of {self:?}");
        let mut output: Vec<T> = (0..self.output_len())
            .map(|index| bias.map_or_else(T::default, |bias| bias[index % self.out_channels]))
            .collect();
        self.each_product(|y, x, w| output[y] = output[y] + input[x] * weight[w]);
        output
    }

    /// `dx[n, iy, ix, ci] = sum over co and the (oy, ox, ky, kx) that read (iy, ix) of
    /// dy[n, oy, ox, co] * w[co, ky, kx, ci]`.
    pub fn grad_input<T: Number>(&self, grad_output: &[T], weight: &[T]) -> Vec<T> {
        assert_eq!(grad_output.len(), self.output_len(), "output gradient of {self:?}");
        assert_eq!(weight.len(), self.weight_len(), "weight of {self:?}");
        let mut grad = vec![T::default(); self.input_len()];
        self.each_product(|y, x, w| grad[x] = grad[x] + grad_output[y] * weight[w]);
        grad
    }

    /// `dw[co, ky, kx, ci] = sum over (n, oy, ox) of dy[n, oy, ox, co] * x[n, iy, ix, ci]`.
    pub fn grad_weight<T: Number>(&self, grad_output: &[T], input: &[T]) -> Vec<T> {
        assert_eq!(grad_output.len(), self.output_len(), "output gradient of {self:?}");
        assert_eq!(input.len(), self.input_len(), "input of {self:?}");
        let mut grad = vec![T::default(); self.weight_len()];
        self.each_product(|y, x, w| grad[w] = grad[w] + grad_output[y] * input[x]);
        grad
    }

    /// The elements `(x, w)` of input and weight whose products make up one output.
    pub fn terms_of_output(&self, output: usize) -> Vec<(usize, usize)> {
        let (position, co) = (output / self.out_channels, output % self.out_channels);
        let out = [position / self.out_w % self.out_h, position % self.out_w];
        let sample = position / self.positions();
        let of_tap = |tap: usize| {
            let pixel = self.input_pixel(sample, out, [tap / self.kernel_w, tap % self.kernel_w]);
            let weight = (co * self.taps() + tap) * self.in_channels;
            let pairs = pixel.map(|pixel| {
                (0..self.in_channels).map(move |ci| (pixel * self.in_channels + ci, weight + ci))
            });
            pairs.into_iter().flatten()
        };
        (0..self.taps()).flat_map(of_tap).collect()
    }

    /// The elements `(dy, w)` of output gradient and weight whose products make up one element of the input's gradient.
    pub fn terms_of_input(&self, input: usize) -> Vec<(usize, usize)> {
        let (pixel, ci) = (input / self.in_channels, input % self.in_channels);
        let (iy, ix) = (pixel / self.width % self.height, pixel % self.width);
        let sample = pixel / self.width / self.height;
        let of_tap = |tap: usize| {
            let oy = self.reader(iy + self.pad_top, tap / self.kernel_w, self.out_h);
            let ox = self.reader(ix + self.pad_left, tap % self.kernel_w, self.out_w);
            let position = oy.zip(ox).map(|(oy, ox)| (sample * self.out_h + oy) * self.out_w + ox);
            let pairs = position.map(|position| {
                let weight = move |co: usize| (co * self.taps() + tap) * self.in_channels + ci;
                (0..self.out_channels).map(move |co| (position * self.out_channels + co, weight(co)))
            });
            pairs.into_iter().flatten()
        };
        (0..self.taps()).flat_map(of_tap).collect()
    }

    /// The elements `(dy, x)` of output gradient and input whose products make up one weight's gradient over `samples`.
    pub fn terms_of_weight(&self, weight: usize, samples: std::ops::Range<usize>) -> Vec<(usize, usize)> {
        let (tap, ci) = (weight / self.in_channels % self.taps(), weight % self.in_channels);
        let co = weight / self.in_channels / self.taps();
        let at = [tap / self.kernel_w, tap % self.kernel_w];
        let positions = samples.start * self.positions()..samples.end * self.positions();
        let pair = |position: usize| {
            let out = [position / self.out_w % self.out_h, position % self.out_w];
            let pixel = self.input_pixel(position / self.positions(), out, at)?;
            Some((position * self.out_channels + co, pixel * self.in_channels + ci))
        };
        positions.filter_map(pair).collect()
    }

    /// `db[co] = sum over (n, oy, ox) of dy[n, oy, ox, co]`.
    pub fn grad_bias<T: Number>(&self, grad_output: &[T]) -> Vec<T> {
        assert_eq!(grad_output.len(), self.output_len(), "output gradient of {self:?}");
        let mut grad = vec![T::default(); self.out_channels];
        for (index, &value) in grad_output.iter().enumerate() {
            let channel = index % self.out_channels;
            grad[channel] = grad[channel] + value;
        }
        grad
    }

    /// Rows `(n, oy, ox)` of `k = (ky, kx, ci)`, dense; taps outside the input are 0.
    ///
    /// The forward pass is the product of these rows with the weight's, `[out_channels][k]`.
    pub fn unfold<T: Copy + Default>(&self, input: &[T]) -> Vec<T> {
        self.unfold_with(input, T::default())
    }

    /// [`Conv2d::unfold`] with taps outside the input of another value than 0.
    pub fn unfold_with<T: Copy>(&self, input: &[T], border: T) -> Vec<T> {
        assert_eq!(input.len(), self.input_len(), "input of {self:?}");
        let mut rows = Vec::with_capacity(self.samples * self.positions() * self.taps() * self.in_channels);
        self.each_output(|sample, oy, ox| {
            for tap in 0..self.taps() {
                let pixel = self.input_pixel(sample, [oy, ox], [tap / self.kernel_w, tap % self.kernel_w]);
                for ci in 0..self.in_channels {
                    rows.push(pixel.map_or(border, |pixel| input[pixel * self.in_channels + ci]));
                }
            }
        });
        rows
    }

    /// Rows `(n, iy, ix)` of `k = (ky, kx, co)`, dense, and the mask that is true where the tap is valid.
    ///
    /// The tap `(ky, kx)` of a pixel is the output position `oy = (iy + pad_top - ky) / stride`, likewise
    /// `ox`, where it divides and is inside. The gradient of the input is the product of the masked rows
    /// with [`Conv2d::weight_by_input`], `[in_channels][k]`.
    pub fn unfold_grad_input<T: Copy + Default>(&self, grad_output: &[T]) -> (Vec<T>, Vec<bool>) {
        assert_eq!(grad_output.len(), self.output_len(), "output gradient of {self:?}");
        let len = self.samples * self.height * self.width * self.taps() * self.out_channels;
        let (mut rows, mut mask) = (Vec::with_capacity(len), Vec::with_capacity(len));
        for pixel in 0..self.samples * self.height * self.width {
            let (sample, iy, ix) =
                (pixel / self.width / self.height, pixel / self.width % self.height, pixel % self.width);
            for tap in 0..self.taps() {
                let oy = self.reader(iy + self.pad_top, tap / self.kernel_w, self.out_h);
                let ox = self.reader(ix + self.pad_left, tap % self.kernel_w, self.out_w);
                let position = oy.zip(ox).map(|(oy, ox)| (sample * self.out_h + oy) * self.out_w + ox);
                for co in 0..self.out_channels {
                    let value = position.map(|position| grad_output[position * self.out_channels + co]);
                    rows.push(value.unwrap_or_default());
                    mask.push(value.is_some());
                }
            }
        }
        (rows, mask)
    }

    /// The weight `[co][ky][kx][ci]` as `[ci][ky][kx][co]`, the other operand of the gradient of the input.
    pub fn weight_by_input<T: Copy>(&self, weight: &[T]) -> Vec<T> {
        assert_eq!(weight.len(), self.weight_len(), "weight of {self:?}");
        let (taps, ci_len, co_len) = (self.taps(), self.in_channels, self.out_channels);
        let at = |index: usize| {
            let (ci, tap, co) = (index / co_len / taps, index / co_len % taps, index % co_len);
            weight[(co * taps + tap) * ci_len + ci]
        };
        (0..weight.len()).map(at).collect()
    }

    /// Calls `visit(output, input, weight)` with the indices of every product, each output's in k order.
    fn each_product(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let mut position = 0;
        self.each_output(|sample, oy, ox| {
            for tap in 0..self.taps() {
                let at = [tap / self.kernel_w, tap % self.kernel_w];
                let Some(pixel) = self.input_pixel(sample, [oy, ox], at) else { continue };
                for co in 0..self.out_channels {
                    for ci in 0..self.in_channels {
                        let weight = (co * self.taps() + tap) * self.in_channels + ci;
                        visit(position * self.out_channels + co, pixel * self.in_channels + ci, weight);
                    }
                }
            }
            position += 1;
        });
    }

    fn each_output(&self, mut visit: impl FnMut(usize, usize, usize)) {
        for sample in 0..self.samples {
            for oy in 0..self.out_h {
                for ox in 0..self.out_w {
                    visit(sample, oy, ox);
                }
            }
        }
    }

    /// The pixel `(n, iy, ix)` that a tap of an output position reads, or none in the padding.
    fn input_pixel(&self, sample: usize, out: [usize; 2], tap: [usize; 2]) -> Option<usize> {
        let iy = (out[0] * self.stride + tap[0]).checked_sub(self.pad_top).filter(|&iy| iy < self.height)?;
        let ix = (out[1] * self.stride + tap[1]).checked_sub(self.pad_left).filter(|&ix| ix < self.width)?;
        Some((sample * self.height + iy) * self.width + ix)
    }

    /// The output coordinate that reads the padded input coordinate through a tap, if there is one.
    fn reader(&self, padded: usize, tap: usize, out: usize) -> Option<usize> {
        let start = padded.checked_sub(tap)?;
        (start % self.stride == 0 && start / self.stride < out).then_some(start / self.stride)
    }
}

/// What each of `out_width` positions of a line of taps sees of a line of pixels `[width][channels]`, moving by one
/// pixel from `pad_left` pixels left of the line on: rows `[kernel_w][channels]`, zeros outside the line.
pub fn unfold_line<T: Copy + Default>(
    line: &[T],
    channels: usize,
    kernel_w: usize,
    pad_left: usize,
    out_width: usize,
) -> Vec<Vec<T>> {
    let pixels: Vec<&[T]> = line.chunks_exact(channels).collect();
    let outside = vec![T::default(); channels];
    let pixel = |at: usize| at.checked_sub(pad_left).and_then(|at| pixels.get(at).copied());
    let row = |ox: usize| (ox..ox + kernel_w).map(|at| pixel(at).unwrap_or(&outside)).collect::<Vec<_>>();
    (0..out_width).map(|ox| row(ox).concat()).collect()
}

/// Output size and leading padding of TensorFlow's SAME rule along one axis.
pub fn same_axis(size: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let out = size.div_ceil(stride);
    let padding = (out.saturating_sub(1) * stride + kernel).saturating_sub(size);
    (out, padding / 2)
}

/// Output size without padding along one axis.
pub fn valid_axis(size: usize, kernel: usize, stride: usize) -> usize {
    if size < kernel { 0 } else { (size - kernel) / stride + 1 }
}
