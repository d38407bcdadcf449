//! Maximum and average pooling over windows, and the global average.

/// The shape of a pooling: input `[samples, height, width, channels]`, output
/// `[samples, out_h, out_w, channels]`.
///
/// Windows are `kernel * kernel`; the part of a window outside the input does not take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Batch size.
    pub samples: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Channels of input and output.
    pub channels: usize,
    /// Side of the window.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Rows of the first window above the input.
    pub pad_top: usize,
    /// Columns of the first window left of the input.
    pub pad_left: usize,
    /// Rows of the output.
    pub out_h: usize,
    /// Columns of the output.
    pub out_w: usize,
}

impl Pool2d {
    /// TensorFlow's SAME rule on an input `[n, h, w, c]`.
    pub fn same([samples, height, width, channels]: [usize; 4], kernel: usize, stride: usize) -> Self {
        let (out_h, pad_top) = crate::conv::same_axis(height, kernel, stride);
        let (out_w, pad_left) = crate::conv::same_axis(width, kernel, stride);
        Self { samples, height, width, channels, kernel, stride, pad_top, pad_left, out_h, out_w }
    }

    /// No padding on an input `[n, h, w, c]`.
    pub fn valid([samples, height, width, channels]: [usize; 4], kernel: usize, stride: usize) -> Self {
        let out_h = crate::conv::valid_axis(height, kernel, stride);
        let out_w = crate::conv::valid_axis(width, kernel, stride);
        Self { samples, height, width, channels, kernel, stride, pad_top: 0, pad_left: 0, out_h, out_w }
    }

    /// Elements of the input.
    pub fn input_len(&self) -> usize {
        self.samples * self.height * self.width * self.channels
    }

    /// Elements of the output.
    pub fn output_len(&self) -> usize {
        self.samples * self.out_h * self.out_w * self.channels
    }

    /// The maximum of each window and the offset `ky * kernel + kx` of its first occurrence.
    pub fn max_pool_forward(&self, x: &[f64]) -> (Vec<f64>, Vec<u32>) {
        self.maxima(x)
    }

    /// The gradient of the input: each output's goes to the first maximum of its window.
    pub fn max_pool_backward(&self, grad_output: &[f64], argmax: &[u32]) -> Vec<f64> {
        assert_eq!(grad_output.len(), self.output_len(), "output gradient of {self:?}");
        assert_eq!(argmax.len(), self.output_len(), "maxima of {self:?}");
        let mut grad = vec![0.0; self.input_len()];
        for (output, (&value, &offset)) in grad_output.iter().zip(argmax).enumerate() {
            let input = self.input_index(output, offset as usize);
            grad[input.expect("a maximum lies inside the input")] += value;
        }
        grad
    }

    /// The elements at an offset of each output's window, such as those of the maxima.
    pub fn at_taps(&self, x: &[f64], taps: &[u32]) -> Vec<f64> {
        assert_eq!(x.len(), self.input_len(), "input of {self:?}");
        assert_eq!(taps.len(), self.output_len(), "taps of {self:?}");
        let element =
            |(output, &tap)| x[self.input_index(output, tap as usize).expect("a tap inside the input")];
        taps.iter().enumerate().map(element).collect()
    }

    /// The maximum code of each window; quantizing commutes with the maximum.
    pub fn max_pool_codes(&self, codes: &[u32]) -> Vec<u32> {
        self.maxima(codes).0
    }

    /// The mean of the part of each window that lies inside the input.
    pub fn avg_pool_forward(&self, x: &[f64]) -> Vec<f64> {
        assert_eq!(x.len(), self.input_len(), "input of {self:?}");
        let mean = |output| {
            let inside = self.inside(output);
            inside.iter().map(|&input| x[input]).sum::<f64>() / inside.len() as f64
        };
        (0..self.output_len()).map(mean).collect()
    }

    /// The gradient of the input: each output's is spread evenly over the part of its window inside the input.
    pub fn avg_pool_backward(&self, grad_output: &[f64]) -> Vec<f64> {
        assert_eq!(grad_output.len(), self.output_len(), "output gradient of {self:?}");
        let mut grad = vec![0.0; self.input_len()];
        for (output, value) in grad_output.iter().enumerate() {
            let inside = self.inside(output);
            inside.iter().for_each(|&input| grad[input] += value / inside.len() as f64);
        }
        grad
    }

    /// The input elements of an output's window.
    fn inside(&self, output: usize) -> Vec<usize> {
        (0..self.kernel * self.kernel).filter_map(|offset| self.input_index(output, offset)).collect()
    }

    fn maxima<T: Copy + PartialOrd>(&self, x: &[T]) -> (Vec<T>, Vec<u32>) {
        assert_eq!(x.len(), self.input_len(), "input of {self:?}");
        let maximum = |output| {
            let inside = (0..self.kernel * self.kernel)
                .filter_map(|offset| Some((x[self.input_index(output, offset)?], offset as u32)));
            let first = inside.reduce(|best, next| if next.0 > best.0 { next } else { best });
            first.expect("every window overlaps the input")
        };
        (0..self.output_len()).map(maximum).unzip()
    }

    /// The input element at an offset of an output's window, or none outside the input.
    fn input_index(&self, output: usize, offset: usize) -> Option<usize> {
        let (position, channel) = (output / self.channels, output % self.channels);
        let (sample, oy, ox) =
            (position / self.out_w / self.out_h, position / self.out_w % self.out_h, position % self.out_w);
        let iy = (oy * self.stride + offset / self.kernel).checked_sub(self.pad_top)?;
        let ix = (ox * self.stride + offset % self.kernel).checked_sub(self.pad_left)?;
        (iy < self.height && ix < self.width)
            .then_some(((sample * self.height + iy) * self.width + ix) * self.channels + channel)
    }
}

/// The mean over `positions` of `x[samples][positions][channels]`, as `[samples][channels]`.
pub fn global_avg_pool_forward(x: &[f64], samples: usize, positions: usize, channels: usize) -> Vec<f64> {
    assert_eq!(x.len(), samples * positions * channels, "x must be samples * positions * channels");
    let mut mean = vec![0.0; samples * channels];
    for (index, value) in x.iter().enumerate() {
        mean[index / channels / positions * channels + index % channels] += value;
    }
    mean.into_iter().map(|sum| sum / positions as f64).collect()
}

/// The gradient of the input: each position gets its channel's gradient divided by `positions`.
pub fn global_avg_pool_backward(
    grad_output: &[f64],
    samples: usize,
    positions: usize,
    channels: usize,
) -> Vec<f64> {
    assert_eq!(grad_output.len(), samples * channels, "gradient must be samples * channels");
    let at = |index: usize| grad_output[index / channels / positions * channels + index % channels];
    (0..samples * positions * channels).map(|index| at(index) / positions as f64).collect()
}
