//! Quantized matrices as weighted sums of masked bit planes, and the product of two of them.
//!
//! A quantized tensor is `c + sum_g factor_g * scale_g * value(group g)`. The planes of a group have power-of-two weights
//! and share an integer accumulator; every pair of groups contributes with one real factor, in a fixed order.

use kernels::{AndProduct, By, Kind, Output, PlaneGroup, Product, ScaleIndex, XorProduct};
use recording::BufferSlice;

use crate::{GraphError, Recorder};

/// Loop iterations that one dispatch of a product may spend in an invocation.
const MAX_TRIPS: u64 = 60_000;

/// Planes that share an integer accumulator.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Which planes of the operand's buffer.
    pub planes: PlaneGroup,
    /// Constant factor of the group's integer value.
    pub factor: f32,
    /// Factors that the device computed: one, or one per row, column or segment.
    pub scale: Option<(BufferSlice, ScaleIndex)>,
}

/// One operand of a product: packed rows in `[plane][row][word]`.
#[derive(Clone, Debug)]
pub struct Operand {
    /// The planes.
    pub buffer: BufferSlice,
    /// Unit bits {0, 1} or sign bits {-1, +1}.
    pub kind: Kind,
    /// Groups in the order in which they are added.
    pub groups: Vec<Group>,
}

impl Operand {
    /// Planes over all groups.
    pub fn planes(&self) -> u32 {
        self.groups.iter().map(|g| g.planes.planes).sum()
    }
}

/// Sizes of `dst[m,n] = sum over segments of sum over k of lhs[m,k] * rhs[n,k]`.
#[derive(Clone, Copy, Debug)]
pub struct ProductShape {
    /// Rows of the left operand.
    pub m: u32,
    /// Rows of the right operand.
    pub n: u32,
    /// True elements of one segment.
    pub k: u32,
    /// Segments of a row; each fills whole words.
    pub segments: u32,
    /// Distance of two rows of `dst`.
    pub dst_row_stride: u32,
    /// Distance of two columns of `dst`.
    pub dst_col_stride: u32,
}

/// Records the product of two operands and returns the name of the kernel that carries it.
///
/// `row_sums` holds the code sums of the left rows per segment; only a unit left operand needs them.
///
/// # Errors
/// Buffers that do not fit.
pub fn record_product(
    recorder: &mut Recorder,
    shape: ProductShape,
    lhs: &Operand,
    rhs: &Operand,
    row_sums: Option<BufferSlice>,
    dst: Destination,
) -> Result<&'static str, GraphError> {
    let segment_words = kernels::words_for(shape.k);
    let mut accumulate = dst.accumulate;
    let one = (recorder.one(), ScaleIndex { by: By::One, div: 1 });
    for left in &lhs.groups {
        for right in &rhs.groups {
            let ((lhs_buffer, lhs_scale), (rhs_buffer, rhs_scale)) =
                (left.scale.unwrap_or(one), right.scale.unwrap_or(one));
            let whole = Product {
                m: shape.m,
                n: shape.n,
                k: shape.k,
                segments: shape.segments,
                segment_words,
                first_segment: 0,
                first_word: 0,
                row_words: shape.segments * segment_words,
                lhs: left.planes,
                rhs: right.planes,
                rhs_kind: rhs.kind,
                factor: left.factor * right.factor,
                lhs_scale,
                rhs_scale,
                dst_row_stride: shape.dst_row_stride,
                dst_col_stride: shape.dst_col_stride,
                accumulate,
                output: dst.output,
            }
            .checked()
            .map_err(|error| GraphError::layer(&recorder.scope.layer, error.to_string()))?;
            for part in whole.split(MAX_TRIPS) {
                match lhs.kind {
                    Kind::Unit => recorder.dispatch(
                        AndProduct(part),
                        &[
                            lhs.buffer,
                            rhs.buffer,
                            row_sums.unwrap_or(recorder.one()),
                            lhs_buffer,
                            rhs_buffer,
                            dst.buffer,
                        ],
                    )?,
                    Kind::Sign => recorder.dispatch(
                        XorProduct(part),
                        &[lhs.buffer, rhs.buffer, lhs_buffer, rhs_buffer, dst.buffer],
                    )?,
                }
            }
            accumulate = true;
        }
    }
    Ok(if lhs.kind == Kind::Unit { "and_product" } else { "xor_product" })
}

/// Where a product goes.
#[derive(Clone, Copy, Debug)]
pub struct Destination {
    /// The written buffer.
    pub buffer: BufferSlice,
    /// f32, or the raw i32 accumulator of a single pair of groups.
    pub output: Output,
    /// Add to what is there.
    pub accumulate: bool,
}
