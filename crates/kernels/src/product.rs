//! Sizes, layout and splitting of products of packed operands. Shader side: `shaders/shared/product.wgsl`.

mod cases;
mod error;
mod expected;
#[cfg(test)]
mod tests;

use std::fmt;

use recording::{Constant, Param, Work};
use reference::product::Kind;

pub(crate) use cases::{Shape, sizes, table};
pub use error::ProductError;
pub(crate) use expected::{expected, expected_at, expected_of};

use crate::{WORKGROUP, groups_for, words_for};

/// What the planes of the left operand stand for, and with it the operation on words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Unit planes {0, 1} on the left: AND.
    And,
    /// Sign planes {-1, +1} on both sides: XOR.
    Xor,
}

impl Form {
    /// The kinds of the left and of the right planes.
    pub fn kinds(self, rhs: Kind) -> [Kind; 2] {
        match self {
            Self::And => [Kind::Unit, rhs],
            Self::Xor => [Kind::Sign, Kind::Sign],
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::And => "and",
            Self::Xor => "xor",
        })
    }
}

/// Planes of consecutive powers of two in one operand's buffer, and their mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlaneGroup {
    /// Index of the least significant plane in the buffer.
    pub first_plane: u32,
    /// Planes, 1 to 8.
    pub planes: u32,
    /// Index in the same buffer of the plane whose zeros leave elements out; unit planes of a left operand
    /// need none, as an element left out is a zero code, and [`AndProduct`](crate::AndProduct) does not look
    /// at theirs.
    pub mask: Option<u32>,
}

impl PlaneGroup {
    /// The first `planes` planes of a buffer, without a mask.
    pub fn first(planes: u32) -> Self {
        Self { first_plane: 0, planes, mask: None }
    }

    /// Planes that a buffer needs to hold the group and its mask.
    pub fn end(&self) -> u32 {
        (self.first_plane + self.planes).max(self.mask.map_or(0, |mask| mask + 1))
    }
}

/// What selects an element of a scale buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// Always element 0.
    One,
    /// The row of dst.
    Row,
    /// The column of dst.
    Column,
    /// The segment, counted from the beginning of a row.
    Segment,
}

/// The element `index / div` of a scale buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScaleIndex {
    /// The index.
    pub by: By,
    /// Its divisor, at least 1.
    pub div: u32,
}

/// Words of dst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Scaled sums.
    F32,
    /// Sums of the integers; scales and factor are not used.
    I32,
}

/// The product of two packed operands, lhs `[planes][m][row_words]` and rhs `[planes][n][row_words]`:
///
/// `dst[i, j] = [dst +] sum over segments of f32(v) * (factor * lhs_scale * rhs_scale)`, segment after
/// segment, where v is the integer product of row i of lhs and row j of rhs over `k` elements of the segment.
///
/// Segment s holds the words from `s * segment_words` on in every row of both operands; pad bits are zero.
/// [`AndProduct`](crate::AndProduct) takes unit planes on the left, [`XorProduct`](crate::XorProduct) sign
/// planes on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Product {
    /// Rows of lhs and of dst.
    pub m: u32,
    /// Rows of rhs, columns of dst.
    pub n: u32,
    /// True elements of a segment that are multiplied.
    pub k: u32,
    /// Segments that are summed.
    pub segments: u32,
    /// Words from one segment to the next.
    pub segment_words: u32,
    /// First segment that is summed.
    pub first_segment: u32,
    /// Word of each segment at which the product begins: 0 but for the parts of a deep segment that
    /// [`Product::split`] makes.
    pub first_word: u32,
    /// Words of a row in both operands, a multiple of `segment_words`.
    pub row_words: u32,
    /// Planes of the left operand.
    pub lhs: PlaneGroup,
    /// Planes of the right operand.
    pub rhs: PlaneGroup,
    /// What the right planes stand for, where the kernel leaves a choice.
    pub rhs_kind: Kind,
    /// Factor of every term.
    pub factor: f32,
    /// Index of the left operand's scale.
    pub lhs_scale: ScaleIndex,
    /// Index of the right operand's scale.
    pub rhs_scale: ScaleIndex,
    /// Words of dst from one row to the next.
    pub dst_row_stride: u32,
    /// Words of dst from one column to the next.
    pub dst_col_stride: u32,
    /// Adds to dst.
    pub accumulate: bool,
    /// Words of dst.
    pub output: Output,
}

impl Product {
    /// `self`, if widths, segments and integer sums are within what the kernels compute.
    ///
    /// # Errors
    /// See [`ProductError`].
    pub fn checked(self) -> Result<Self, ProductError> {
        let (lhs_planes, rhs_planes) = (self.lhs.planes, self.rhs.planes);
        if !(1..=8).contains(&lhs_planes) || !(1..=8).contains(&rhs_planes) {
            return Err(ProductError::Planes { lhs_planes, rhs_planes });
        }
        let end_segment = u64::from(self.first_segment) + u64::from(self.segments);
        let inside = u64::from(self.first_word) + u64::from(self.words()) <= u64::from(self.segment_words);
        if self.k == 0 || !inside || end_segment * u64::from(self.segment_words) > u64::from(self.row_words) {
            return Err(ProductError::Segments {
                k: self.k,
                first_segment: self.first_segment,
                end_segment,
                segment_words: self.segment_words,
                row_words: self.row_words,
            });
        }
        if self.lhs_scale.div == 0 || self.rhs_scale.div == 0 {
            return Err(ProductError::Divisor);
        }
        let together = if self.output == Output::I32 { u64::from(self.segments) } else { 1 };
        let k = u64::from(self.k) * together;
        let largest = ((1u64 << lhs_planes) - 1) * ((1u64 << rhs_planes) - 1);
        if k > i32::MAX as u64 / largest {
            return Err(ProductError::Overflow { k, lhs_planes, rhs_planes });
        }
        Ok(self)
    }

    /// Products that together compute `self` with fewer than `max_trips` loop iterations an invocation each,
    /// to run in order: runs of segments, and runs of words of one segment where even one is too deep.
    ///
    /// Every part but the first accumulates. Runs of segments give the same bits as the whole.
    pub fn split(&self, max_trips: u64) -> Vec<Self> {
        let words = u64::from(self.words());
        if self.trips(1, words) < max_trips {
            let segments = (max_trips - 1) / self.trips(1, words);
            let segments = u32::try_from(segments).unwrap_or(u32::MAX).min(self.segments);
            return (0..self.segments)
                .step_by(segments.max(1) as usize)
                .map(|first| Self {
                    segments: segments.min(self.segments - first),
                    first_segment: self.first_segment + first,
                    accumulate: self.accumulate || first > 0,
                    ..*self
                })
                .collect();
        }
        let fixed = self.trips(1, 0);
        let per_word = self.trips(1, 1) - fixed;
        let run = (max_trips.saturating_sub(1 + fixed) / per_word).max(1) as u32;
        let mut parts = Vec::new();
        for segment in 0..self.segments {
            for word in (0..self.words()).step_by(run as usize) {
                parts.push(Self {
                    k: (self.k - 32 * word).min(32 * run),
                    segments: 1,
                    first_segment: self.first_segment + segment,
                    first_word: self.first_word + word,
                    accumulate: self.accumulate || !parts.is_empty(),
                    ..*self
                });
            }
        }
        parts
    }

    /// Words that hold the `k` elements.
    pub fn words(&self) -> u32 {
        self.k.div_ceil(32)
    }

    /// Segments of a whole row.
    pub fn total_segments(&self) -> u32 {
        self.row_words / self.segment_words
    }

    /// Whole segments are multiplied, so that sums over whole segments apply.
    pub(crate) fn is_whole(&self) -> bool {
        words_for(self.k) == self.segment_words
    }

    /// Words of both operands that can be read at a time: 4, 2 or 1.
    pub(crate) fn load(&self) -> u32 {
        let words = self.words();
        let aligned = |load: &u32| {
            let starts = [self.first_word, self.segment_words, self.row_words];
            // Behind a whole segment lies padding, behind a part of one lies the next part.
            starts.iter().all(|x| x.is_multiple_of(*load))
                && (words.is_multiple_of(*load) || self.first_word == 0 && self.is_whole())
        };
        [4, 2].into_iter().find(aligned).unwrap_or(1)
    }

    /// Words of dst that can be stored at a time along a row: 4 or 1.
    pub(crate) fn store(&self) -> u32 {
        let aligned = self.dst_row_stride.is_multiple_of(4) && self.n.is_multiple_of(4);
        if self.dst_col_stride == 1 && aligned { 4 } else { 1 }
    }

    /// The product without the left mask, which unit planes do not need.
    pub(crate) fn needed(&self, form: Form) -> Self {
        let mask = self.lhs.mask.filter(|_| form == Form::Xor);
        Self { lhs: PlaneGroup { mask, ..self.lhs }, ..*self }
    }

    pub(crate) fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("m", self.m),
            Param::u32("n", self.n),
            Param::u32("k", self.k),
            Param::u32("words", self.words()),
            Param::u32("row_words", self.row_words),
            Param::u32("segments", self.segments),
            Param::u32("segment_words", self.segment_words),
            Param::u32("first_segment", self.first_segment),
            Param::u32("first_word", self.first_word),
            Param::u32("total_segments", self.total_segments()),
            Param::u32("lhs_plane", self.lhs.first_plane),
            Param::u32("lhs_mask", self.lhs.mask.unwrap_or(0)),
            Param::u32("rhs_plane", self.rhs.first_plane),
            Param::u32("rhs_mask", self.rhs.mask.unwrap_or(0)),
            Param::u32("lhs_div", self.lhs_scale.div),
            Param::u32("rhs_div", self.rhs_scale.div),
            Param::f32("factor", self.factor),
            Param::u32("dst_row_stride", self.dst_row_stride),
            Param::u32("dst_col_stride", self.dst_col_stride),
        ]
    }

    /// Constants of both kernels; the masks are the kernels' own.
    pub(crate) fn constants(&self) -> Vec<Constant> {
        let [lhs_step, rhs_step] = steps(self.lhs.planes, self.rhs.planes);
        vec![
            Constant::new("WORKGROUP", WORKGROUP),
            Constant::new("LHS_PLANES", self.lhs.planes),
            Constant::new("RHS_PLANES", self.rhs.planes),
            Constant::new("LHS_STEP", lhs_step),
            Constant::new("RHS_STEP", rhs_step),
            Constant::new("RHS_MASKED", u32::from(self.rhs.mask.is_some())),
            Constant::new("LHS_SCALE_BY", self.lhs_scale.by as u32),
            Constant::new("RHS_SCALE_BY", self.rhs_scale.by as u32),
            Constant::new("ACCUMULATE", u32::from(self.accumulate)),
            Constant::new("OUTPUT_I32", u32::from(self.output == Output::I32)),
        ]
    }

    pub(crate) fn workgroups(&self) -> u64 {
        groups_for(u64::from(self.m.div_ceil(4)) * u64::from(self.n.div_ceil(4)))
    }

    /// Words of lhs, rhs, lhs_scale, rhs_scale and dst.
    pub(crate) fn lens(&self) -> [u64; 5] {
        let operand = |group: PlaneGroup, rows: u32| {
            u64::from(group.end()) * u64::from(rows) * u64::from(self.row_words)
        };
        let last = |rows: u32, stride: u32| u64::from(rows - 1) * u64::from(stride);
        [
            operand(self.lhs, self.m),
            operand(self.rhs, self.n),
            self.scale_len(self.lhs_scale),
            self.scale_len(self.rhs_scale),
            last(self.m, self.dst_row_stride) + last(self.n, self.dst_col_stride) + 1,
        ]
    }

    pub(crate) fn loop_trips(&self) -> u64 {
        self.trips(u64::from(self.segments), u64::from(self.words()))
    }

    pub(crate) fn work(&self) -> Work {
        let pairs = u64::from(self.lhs.planes) * u64::from(self.rhs.planes);
        let elements = u64::from(self.k) * u64::from(self.segments);
        Work {
            operations: 2 * u64::from(self.m) * u64::from(self.n) * elements * pairs,
            bytes: 4 * self.lens().iter().sum::<u64>(),
        }
    }

    fn scale_len(&self, scale: ScaleIndex) -> u64 {
        let count = match scale.by {
            By::One => 1,
            _ if self.output == Output::I32 => 1,
            By::Row => self.m,
            By::Column => self.n,
            By::Segment => self.first_segment + self.segments,
        };
        u64::from((count - 1) / scale.div + 1)
    }

    /// Iterations over `segments` of `words`: plane pairs, a step of each side at a time, and one pass per
    /// plane of lhs for the offset of sign planes.
    fn trips(&self, segments: u64, words: u64) -> u64 {
        let [lhs_step, rhs_step] = steps(self.lhs.planes, self.rhs.planes);
        let (lhs_steps, rhs_steps) =
            (u64::from(self.lhs.planes / lhs_step), u64::from(self.rhs.planes / rhs_step));
        segments * (1 + lhs_steps * (1 + rhs_steps * (1 + words)) + u64::from(self.lhs.planes) * (1 + words))
    }
}

/// Planes of each side that one pass over the words reads, at most four pairs: every word loaded serves
/// several pairs.
fn steps(lhs_planes: u32, rhs_planes: u32) -> [u32; 2] {
    let even = |planes: u32| planes.is_multiple_of(2);
    match (even(lhs_planes), even(rhs_planes)) {
        (true, true) => [2, 2],
        (true, false) => [if lhs_planes.is_multiple_of(4) { 4 } else { 2 }, 1],
        (false, true) => [1, if rhs_planes.is_multiple_of(4) { 4 } else { 2 }],
        (false, false) => [1, 1],
    }
}
