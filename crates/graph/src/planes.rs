//! Quantized matrices as weighted sums of masked bit planes, and the product of two of them.
//!
//! A quantized tensor is `c + sum_g factor_g * scale_g * value(group g)`. The planes of a group have power-of-two weights
//! and share an integer accumulator; every pair of groups contributes with one real factor, in a fixed order.

use kernels::{
    AndProduct, Arithmetic, By, Dequantize, Form, Kind, Output, PlaneGroup, Product, RowSums, ScaleIndex,
    Tactic,
};
use recording::BufferSlice;

use crate::{GraphError, ProductKey, Recorder, recorder::Chunk};

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

impl Group {
    /// Codes of `bits` bits from the first plane on, code 1 of which stands for `factor`.
    pub fn codes(bits: u32, factor: f32) -> Self {
        Self { planes: PlaneGroup::first(bits), factor, scale: None }
    }

    /// The same group behind `planes` planes of others.
    pub fn behind(self, planes: u32) -> Self {
        let mask = self.planes.mask.map(|mask| mask + planes);
        let first_plane = self.planes.first_plane + planes;
        Self { planes: PlaneGroup { first_plane, mask, ..self.planes }, ..self }
    }

    /// The group begins with the first plane and has no mask.
    pub fn is_codes(&self) -> bool {
        self.planes.first_plane == 0 && self.planes.mask.is_none()
    }

    fn scale_buffer(&self, none: BufferSlice) -> BufferSlice {
        self.scale.map_or(none, |(slice, _)| slice)
    }
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

/// Records the product of two operands for one chunk and notes the kernel that carries it.
///
/// # Errors
/// Integer sums that may leave 32 bits, a raw output of several groups, or buffers that do not fit.
pub fn record_product(
    recorder: &mut Recorder,
    chunk: Chunk,
    shape: ProductShape,
    (lhs, rhs): (&Operand, &Operand),
    dst: Destination,
) -> Result<(), GraphError> {
    if dst.output == Output::I32 && (lhs.groups.len() != 1 || rhs.groups.len() != 1) {
        return Err(GraphError::layer(
            &recorder.scope.layer,
            "only a single pair of plane groups has one accumulator",
        ));
    }
    let form = if lhs.kind == Kind::Sign { Form::Xor } else { Form::And };
    let mut accumulate = dst.accumulate;
    for left in &lhs.groups {
        let mut row_sums = None;
        for right in &rhs.groups {
            let whole = shape
                .product((left, right), rhs.kind, dst, accumulate)
                .checked()
                .map_err(|error| GraphError::layer(&recorder.scope.layer, error.to_string()))?;
            let none = recorder.one();
            let (lhs_scale, rhs_scale) = (left.scale_buffer(none), right.scale_buffer(none));
            let tactic = recorder.kernels.tactic(form, &whole, recorder.subgroup());
            let [left_operand, right_operand] = match tactic.expansions(form, &whole) {
                Some([left, right]) => [
                    recorder.expanded("lhs bytes", left, lhs.buffer)?,
                    recorder.expanded("rhs bytes", right, rhs.buffer)?,
                ],
                None => [lhs.buffer, rhs.buffer],
            };
            for part in parts(tactic, form, &whole) {
                let mut buffers = vec![left_operand, right_operand, lhs_scale, rhs_scale, dst.buffer];
                if tactic == Tactic::Register && form == Form::And {
                    let sums = match (AndProduct(part).uses_row_sums(), row_sums) {
                        (false, _) => none,
                        (true, Some(sums)) => sums,
                        (true, None) => {
                            *row_sums.insert(record_row_sums(recorder, chunk, shape, lhs.buffer, left)?)
                        }
                    };
                    buffers.insert(2, sums);
                }
                recorder.dispatch_shared(tactic.kernel(form, part), &buffers)?;
            }
            if chunk.index == 0 && !accumulate {
                let key = ProductKey::new(form, &whole);
                let name = tactic.kernel(form, whole).name();
                let pairs =
                    if tactic.arithmetic() == Arithmetic::Bits { lhs.planes() * rhs.planes() } else { 0 };
                recorder.note(name, Some((key, tactic)), pairs, recorder.kernels.reason(&whole, tactic));
            }
            accumulate = true;
        }
    }
    Ok(())
}

/// The product whole where one dispatch of the kernel may run it, otherwise in parts.
fn parts(tactic: Tactic, form: Form, whole: &Product) -> Vec<Product> {
    if tactic.kernel(form, *whole).loop_trips() < MAX_TRIPS { vec![*whole] } else { whole.split(MAX_TRIPS) }
}

impl ProductShape {
    fn product(
        self,
        (left, right): (&Group, &Group),
        rhs_kind: Kind,
        dst: Destination,
        accumulate: bool,
    ) -> Product {
        let segment_words = kernels::words_for(self.k);
        let one = ScaleIndex { by: By::One, div: 1 };
        Product {
            m: self.m,
            n: self.n,
            k: self.k,
            segments: self.segments,
            segment_words,
            first_segment: 0,
            first_word: 0,
            row_words: self.segments * segment_words,
            lhs: left.planes,
            rhs: right.planes,
            rhs_kind,
            factor: left.factor * right.factor,
            lhs_scale: left.scale.map_or(one, |(_, index)| index),
            rhs_scale: right.scale.map_or(one, |(_, index)| index),
            dst_row_stride: self.dst_row_stride,
            dst_col_stride: self.dst_col_stride,
            accumulate,
            output: dst.output,
        }
    }
}

/// Records the code sums of a group's rows per segment, the offset of products with sign planes.
fn record_row_sums(
    recorder: &mut Recorder,
    chunk: Chunk,
    shape: ProductShape,
    planes: BufferSlice,
    group: &Group,
) -> Result<BufferSlice, GraphError> {
    let sums = recorder.per_sample("row sums", chunk, u64::from(shape.m) * u64::from(shape.segments));
    let kernel = RowSums {
        rows: shape.m,
        segments: shape.segments,
        segment_words: kernels::words_for(shape.k),
        first_plane: group.planes.first_plane,
        bits: group.planes.planes,
    };
    recorder.dispatch(kernel, &[planes, sums])?;
    Ok(sums)
}

/// Records the f32 values of `rows` rows of `k` elements: the groups' values, added in order.
///
/// # Errors
/// Buffers that do not fit, or a scale that is neither one number nor one for equally many rows.
pub fn record_dequantize(
    recorder: &mut Recorder,
    (kind, groups): (Kind, &[Group]),
    buffer: BufferSlice,
    (rows, k): (u32, u32),
    dst: BufferSlice,
) -> Result<(), GraphError> {
    for (at, group) in groups.iter().enumerate() {
        let (scale, rows_per_scale) = match group.scale {
            None => (recorder.one(), rows),
            Some((scale, ScaleIndex { by: By::One, .. })) => (scale, rows),
            Some((scale, ScaleIndex { by: By::Row | By::Column, div })) => (scale, div),
            Some((_, ScaleIndex { by: By::Segment, .. })) => {
                return Err(GraphError::layer(&recorder.scope.layer, "a scale of segments has no rows"));
            }
        };
        let (planes, factor, accumulate) = (group.planes, group.factor, at > 0);
        let kernel = Dequantize { rows, k, planes, kind, factor, rows_per_scale, accumulate };
        recorder.dispatch(kernel, &[buffer, scale, dst])?;
    }
    Ok(())
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
