//! The reference against mathematics: hand values, identities, finite differences, distributions.

mod binary;
mod bit_length;
mod bits;
mod color;
mod conv;
mod data;
mod gradients;
mod image;
mod layers;
mod nested;
mod optimizer;
mod product;
mod quantize;
mod random;
mod residual;
mod stochastic;
mod threshold;
