//! Layers, one file each, forward and backward together.

pub(crate) mod add;
pub(crate) mod avg_pool;
pub(crate) mod batch_norm;
pub(crate) mod bias;
pub(crate) mod channel_magnitude;
pub(crate) mod clip;
pub(crate) mod conv2d;
pub(crate) mod dropout;
pub(crate) mod global_avg_pool;
pub(crate) mod linear;
pub(crate) mod max_pool;
pub(crate) mod packed_conv2d;
pub(crate) mod quantize;
pub(crate) mod quantized_conv2d;
pub(crate) mod scale;
pub(crate) mod scale_positions;
pub(crate) mod soft_connection;
pub(crate) mod threshold;
pub(crate) mod weighted_sum;
pub(crate) mod window_mean;

pub use avg_pool::AvgPool;
pub use batch_norm::BatchNorm;
pub use bias::Bias;
pub use channel_magnitude::ChannelMagnitude;
pub use clip::{Clip, Rectifier};
pub use conv2d::Conv2d;
pub use dropout::Dropout;
pub use global_avg_pool::GlobalAvgPool;
pub use linear::Linear;
pub use max_pool::MaxPool;
pub use packed_conv2d::PackedConv2d;
pub use quantize::Quantize;
pub use quantized_conv2d::QuantizedConv2d;
pub use scale::Scale;
pub use scale_positions::ScalePositions;
pub use soft_connection::SoftConnection;
pub use threshold::Threshold;
pub use weighted_sum::WeightedSum;
pub use window_mean::WindowMean;

use crate::{GraphError, tensor::Kind};

fn single(layer: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
    match inputs {
        [input] => Ok(*input),
        _ => Err(GraphError::layer(layer, format!("takes one input, not {}", inputs.len()))),
    }
}

fn single_dense(layer: &str, inputs: &[Kind]) -> Result<Kind, GraphError> {
    match single(layer, inputs)? {
        Kind { bits: Some(bits), .. } => {
            Err(GraphError::layer(layer, format!("takes f32 input, not {bits}-bit codes")))
        }
        input => Ok(input),
    }
}
