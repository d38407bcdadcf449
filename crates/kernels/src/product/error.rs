//! Products that cannot be computed.

/// Why a [`Product`](super::Product) cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProductError {
    /// An integer sum may leave 32 bits.
    #[error("the sum over {k} elements of {lhs_planes} by {rhs_planes} planes may leave 32 bits")]
    Overflow {
        /// Elements summed as integers.
        k: u64,
        /// Planes of the left operand.
        lhs_planes: u32,
        /// Planes of the right operand.
        rhs_planes: u32,
    },
    /// A group without planes, or with more than 8.
    #[error("{lhs_planes} by {rhs_planes} planes, each side has 1 to 8")]
    Planes {
        /// Planes of the left operand.
        lhs_planes: u32,
        /// Planes of the right operand.
        rhs_planes: u32,
    },
    /// Segments that do not fit the rows.
    #[error(
        "{k} elements in segments {first_segment}..{end_segment} of {segment_words} words leave rows of {row_words}"
    )]
    Segments {
        /// Elements of a segment.
        k: u32,
        /// First segment.
        first_segment: u32,
        /// First segment that is not summed.
        end_segment: u64,
        /// Words of a segment.
        segment_words: u32,
        /// Words of a row.
        row_words: u32,
    },
    /// A scale index divided by zero.
    #[error("the divisor of a scale index is 0")]
    Divisor,
}
