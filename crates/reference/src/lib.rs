//! The numerics of Bitplane in plain Rust: `f64` and `i64` sums, direct formulations, no tiling.
//!
//! Every kernel is compared with a function of this crate, so the crate states each formula once and knows
//! nothing of devices, shaders or layers. Products work on *codes* (unsigned integers of a few bits) and on
//! the integers that they stand for, never on bit planes; [`bits`] alone knows the packed layout.
//!
//! Conventions: tensors are NHWC and row-major, convolution weights are OHWI, a product is always
//! `dst[m, n] = sum over k of lhs[m, k] * rhs[n, k]`. Values that live as `f32` on a device are given as
//! `f64` slices, converted exactly, so a difference to a device shows the device's rounding only.
//!
//! # Panics
//!
//! Shapes are the caller's promise. A slice whose length contradicts the shape, or a width outside
//! `1..=31` bits, is a bug in the caller and panics with the names of both.

pub mod activation;
pub mod bases;
pub mod binary;
pub mod bit_length;
pub mod bits;
pub mod color;
pub mod conv;
pub mod dropout;
pub mod image;
pub mod linear;
pub mod loss;
pub mod nested;
pub mod norm;
pub mod optimizer;
pub mod pool;
pub mod product;
pub mod quantize;
pub mod random;
pub mod residual;
pub mod roof;
pub mod threshold;
