//! The fully connected layer in floats.

use crate::product::{matmul_f64, transpose};

/// The shape of a fully connected layer: input `[samples][inputs]`, weight `[outputs][inputs]`, output
/// `[samples][outputs]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// Batch size.
    pub samples: usize,
    /// Features of the input.
    pub inputs: usize,
    /// Features of the output.
    pub outputs: usize,
}

impl Linear {
    /// `y[s, o] = bias[o] + sum over i of x[s, i] * w[o, i]`.
    pub fn forward(&self, input: &[f64], weight: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
        let product = matmul_f64(input, weight, self.samples, self.outputs, self.inputs);
        let bias = |index: usize| bias.map_or(0.0, |bias| bias[index % self.outputs]);
        product.into_iter().enumerate().map(|(index, sum)| sum + bias(index)).collect()
    }

    /// `dx[s, i] = sum over o of dy[s, o] * w[o, i]`.
    pub fn grad_input(&self, grad_output: &[f64], weight: &[f64]) -> Vec<f64> {
        let weight = transpose(weight, self.outputs, self.inputs);
        matmul_f64(grad_output, &weight, self.samples, self.inputs, self.outputs)
    }

    /// `dw[o, i] = sum over s of dy[s, o] * x[s, i]`.
    pub fn grad_weight(&self, grad_output: &[f64], input: &[f64]) -> Vec<f64> {
        let grad_output = transpose(grad_output, self.samples, self.outputs);
        let input = transpose(input, self.samples, self.inputs);
        matmul_f64(&grad_output, &input, self.outputs, self.inputs, self.samples)
    }

    /// `db[o] = sum over s of dy[s, o]`.
    pub fn grad_bias(&self, grad_output: &[f64]) -> Vec<f64> {
        let columns = transpose(grad_output, self.samples, self.outputs);
        (0..self.outputs)
            .map(|output| columns[output * self.samples..(output + 1) * self.samples].iter().sum())
            .collect()
    }
}
