//! The case table that both products share.

use reference::product::Kind;

use super::{By, Output, PlaneGroup, Product, ScaleIndex};
use crate::{Random, words_for};

/// A product with the elements that its operands' segments hold.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) label: String,
    pub(crate) product: Product,
    /// Elements of a segment in the buffers; more than the product's for a part of a deep segment.
    pub(crate) held: u32,
    /// Words of a mask are zero, full and mixed in turn, in an order that differs from row to row.
    sparse: bool,
}

impl Shape {
    /// Dense rows of `segments` segments of `k` elements, planes from 0, integer output, sign planes on the
    /// right.
    pub(crate) fn new([m, n, k]: [u32; 3], segments: u32, bits: [u32; 2]) -> Self {
        let group = |planes| PlaneGroup { first_plane: 0, planes, mask: None };
        let segment_words = words_for(k);
        let product = Product {
            m,
            n,
            k,
            segments,
            segment_words,
            first_segment: 0,
            first_word: 0,
            row_words: segments * segment_words,
            lhs: group(bits[0]),
            rhs: group(bits[1]),
            rhs_kind: Kind::Sign,
            factor: 1.0,
            lhs_scale: ScaleIndex { by: By::One, div: 1 },
            rhs_scale: ScaleIndex { by: By::One, div: 1 },
            dst_row_stride: n,
            dst_col_stride: 1,
            accumulate: false,
            output: Output::I32,
        };
        Self {
            label: format!("{m}x{n}x{k} segments {segments} bits {}x{}", bits[0], bits[1]),
            product,
            held: k,
            sparse: false,
        }
    }

    /// The same with masks of which whole words are zero.
    pub(crate) fn sparse(self) -> Self {
        Self { label: format!("{} sparse", self.label), sparse: true, ..self }
    }

    /// The same with `change` applied to the product.
    pub(crate) fn with(mut self, what: &str, change: impl FnOnce(&mut Product)) -> Self {
        self.label = format!("{} {what}", self.label);
        change(&mut self.product);
        self
    }

    /// The same with a mask plane behind the planes of the chosen sides.
    pub(crate) fn masked(self, lhs: bool, rhs: bool) -> Self {
        let mask = |group: &mut PlaneGroup| group.mask = Some(group.first_plane + group.planes);
        let what = ["", "lhs mask", "rhs mask", "both masks"][usize::from(lhs) + 2 * usize::from(rhs)];
        self.with(what, |product| {
            if lhs {
                mask(&mut product.lhs);
            }
            if rhs {
                mask(&mut product.rhs);
            }
        })
    }

    /// Scaled f32 output.
    pub(crate) fn scaled(self, lhs: ScaleIndex, rhs: ScaleIndex) -> Self {
        self.with(&format!("scales {:?}/{} {:?}/{}", lhs.by, lhs.div, rhs.by, rhs.div), |product| {
            product.output = Output::F32;
            product.factor = 0.37;
            product.lhs_scale = lhs;
            product.rhs_scale = rhs;
        })
    }

    /// One shape for each part of the product with fewer than `max_trips` iterations.
    pub(crate) fn parts(&self, max_trips: u64) -> Vec<Self> {
        let parts = self.product.split(max_trips).into_iter().enumerate();
        parts
            .map(|(i, product)| Self { label: format!("{} part {i}", self.label), product, ..*self })
            .collect()
    }

    /// Random contents of lhs, rhs, lhs_scale, rhs_scale and dst; pad bits are zero.
    pub(crate) fn inputs(&self, random: &mut Random) -> [Vec<u32>; 5] {
        let lens = self.product.lens();
        let mut scales = |len: u64| random.floats(len as usize, 0.01, 2.0);
        let (lhs_scale, rhs_scale) = (scales(lens[2]), scales(lens[3]));
        let mut operand = |len: u64, group: PlaneGroup, rows: u32| -> Vec<u32> {
            let plane = u64::from(rows) * u64::from(self.product.row_words);
            let thinned = |index: u64| {
                let is_mask = group.mask.is_some_and(|mask| index / plane == u64::from(mask));
                match (index * 5 / 7) % 3 {
                    0 if is_mask && self.sparse => 0,
                    1 if is_mask && self.sparse => u32::MAX,
                    _ => random.word(),
                }
            };
            let words: Vec<u32> = (0..len).map(thinned).collect();
            words.into_iter().zip(0..).map(|(word, index)| word & self.kept(index)).collect()
        };
        let (lhs, rhs) = (
            operand(lens[0], self.product.lhs, self.product.m),
            operand(lens[1], self.product.rhs, self.product.n),
        );
        let dst = match (self.product.accumulate, self.product.output) {
            (false, _) => vec![],
            (true, Output::F32) => random.floats(lens[4] as usize, -30.0, 30.0),
            (true, Output::I32) => random.words(lens[4] as usize).iter().map(|w| w >> 16).collect(),
        };
        [lhs, rhs, lhs_scale, rhs_scale, dst]
    }

    /// Ones for the elements that exist in word `index` of an operand.
    fn kept(&self, index: u64) -> u32 {
        let first = 32 * (index % u64::from(self.product.segment_words));
        match u64::from(self.held).saturating_sub(first) {
            left @ 0..32 => (1 << left) - 1,
            _ => u32::MAX,
        }
    }
}

fn by(by: By, div: u32) -> ScaleIndex {
    ScaleIndex { by, div }
}

/// Sizes around the word and the tile, primes, deep and narrow ones.
pub(crate) fn sizes() -> Vec<[u32; 3]> {
    vec![
        [1, 1, 1],
        [4, 4, 32],
        [3, 5, 31],
        [5, 3, 33],
        [8, 9, 64],
        [1, 17, 97],
        [257, 2, 45],
        [13, 11, 576],
        [2, 3, 4099],
    ]
}

/// Shapes that both products must compute, sign planes on the right.
pub(crate) fn table() -> Vec<Shape> {
    let mut shapes: Vec<Shape> = sizes().into_iter().map(|size| Shape::new(size, 1, [2, 3])).collect();
    shapes.extend(scales());
    shapes.extend(layouts());
    shapes.extend(deep());
    for lhs_bits in 1..=8 {
        shapes.extend((1..=8).map(|rhs_bits| Shape::new([5, 6, 37], 1, [lhs_bits, rhs_bits])));
    }
    shapes
}

/// Every index of a scale, on one and on several segments.
fn scales() -> Vec<Shape> {
    let shape = |segments| Shape::new([9, 7, 49], segments, [1, 2]);
    vec![
        shape(1).scaled(by(By::One, 1), by(By::One, 1)),
        shape(1).scaled(by(By::Row, 1), by(By::Column, 1)),
        shape(3).scaled(by(By::Column, 2), by(By::Row, 4)),
        shape(7).scaled(by(By::Segment, 1), by(By::Segment, 3)),
        shape(5).scaled(by(By::One, 1), by(By::Segment, 1)),
    ]
}

/// Positions of planes, segments and results other than the simplest, and accumulation.
fn layouts() -> Vec<Shape> {
    let shape = || Shape::new([6, 5, 70], 4, [2, 2]);
    let row = by(By::Row, 2);
    vec![
        shape().with("later planes", |p| {
            (p.lhs.first_plane, p.rhs.first_plane) = (3, 1);
        }),
        shape().with("segments 1 to 3", |p| {
            (p.first_segment, p.segments) = (1, 2);
        }),
        shape().with("transposed", |p| {
            (p.dst_row_stride, p.dst_col_stride) = (1, p.m);
        }),
        shape().with("strided", |p| {
            (p.dst_row_stride, p.dst_col_stride) = (16, 3);
        }),
        shape().with("accumulated", |p| p.accumulate = true),
        shape().scaled(row, by(By::Segment, 1)).with("accumulated later planes", |p| {
            p.accumulate = true;
            (p.lhs.first_plane, p.rhs.first_plane) = (2, 4);
        }),
        shape().scaled(row, by(By::Segment, 2)).with("segments 2 to 4 strided", |p| {
            (p.first_segment, p.segments) = (2, 2);
            (p.dst_row_stride, p.dst_col_stride) = (1, 2 * p.m);
        }),
        // Segments that end before the next one begins.
        Shape::new([6, 5, 40], 3, [1, 1]).with("padded segments", |p| {
            (p.segment_words, p.row_words) = (4, 12);
        }),
    ]
}

/// Products that would pass the loop limit of an invocation, in the parts that do not.
fn deep() -> Vec<Shape> {
    let many = Shape::new([2, 3, 25], 12_007, [1, 2]).scaled(by(By::One, 1), by(By::Segment, 1));
    let long = Shape::new([1, 2, 32 * 40_009 - 7], 1, [1, 1]);
    [many.parts(60_000), long.parts(60_000)].concat()
}
