//! What the kernels of the float convolution share.
//!
//! Each of them has two shaders: one for any number of input channels, and a faster one for multiples of
//! four, which loads four channels at once. The gradient of the weight has a third one for images of other
//! numbers of channels.

use recording::Constant;
use reference::conv::Conv2d;

use crate::Window;

/// Pixels or channels that one invocation computes together, or half of them.
pub(crate) const TILE: u32 = 4;

/// Convolutions for cases, of any number of channels: one pixel, tile sizes and one more or less, primes,
/// padding, stride, taps beyond a stride, linear layers in both forms, a sample count that divides nothing.
pub(crate) fn shapes() -> Vec<Conv2d> {
    let (same, valid) = (Conv2d::same, Conv2d::valid);
    vec![
        valid([1, 1, 1, 1], [1, 1], 1, 1),
        valid([2, 5, 4, 3], [3, 3], 5, 1),
        same([1, 5, 7, 3], [3, 3], 4, 1),
        same([3, 7, 6, 2], [3, 5], 7, 2),
        same([2, 9, 9, 1], [5, 5], 3, 3),
        valid([2, 8, 5, 6], [2, 1], 9, 2),
        same([1, 6, 6, 5], [1, 1], 3, 2),
        valid([5, 3, 3, 7], [3, 3], 13, 1),
        valid([7, 1, 1, 31], [1, 1], 10, 1),
        valid([11, 3, 5, 2], [3, 4], 17, 1),
        valid([1, 1, 1, 4], [1, 1], 1, 1),
        valid([2, 5, 4, 4], [3, 3], 5, 1),
        same([1, 5, 7, 8], [3, 3], 4, 1),
        same([3, 7, 6, 12], [3, 5], 7, 2),
        same([2, 9, 9, 4], [5, 5], 3, 3),
        valid([2, 8, 5, 20], [2, 1], 9, 2),
        same([1, 6, 6, 16], [1, 1], 3, 2),
        valid([5, 3, 3, 28], [3, 3], 13, 1),
        valid([7, 1, 1, 64], [1, 1], 10, 1),
        valid([11, 3, 5, 8], [3, 4], 17, 1),
        valid([3, 2, 2, 5], [2, 2], 3, 1),
        same([2, 6, 11, 3], [3, 5], 8, 1),
        same([3, 5, 9, 1], [5, 4], 12, 1),
        valid([7, 4, 18, 2], [2, 2], 4, 1),
        valid([1, 2, 3, 1], [1, 2], 4, 1),
        same([2, 33, 4, 5], [2, 3], 20, 1),
    ]
}

/// The same convolution as a linear layer, where the kernel is as large as the image: all taps become
/// channels.
///
/// The buffers are the same words, the sums are in the same order, and no tap is tried in vain.
pub(crate) fn flatten(window: Window, in_channels: u32) -> (Window, u32) {
    let Window { height, width, kernel_h, kernel_w, out_height, out_width, pad_top, pad_left, .. } = window;
    let whole = (kernel_h, kernel_w, out_height, out_width) == (height, width, 1, 1);
    if !whole || (pad_top, pad_left) != (0, 0) {
        return (window, in_channels);
    }
    let line = Window { height: 1, width: 1, kernel_h: 1, kernel_w: 1, stride: 1, ..window };
    (line, window.taps() * in_channels)
}

/// Whether the channels of the shape come in fours.
pub(crate) fn in_fours(in_channels: u32) -> bool {
    in_channels.is_multiple_of(4)
}

/// Positions that an iteration of the weight's gradient takes; as each four columns of a position are one vector, a
/// tile's lanes load as many vectors as it has columns.
pub(crate) const STEPS: u32 = 4;

/// Lanes of the subgroups that cases are written for.
pub(crate) const CASE_LANES: [u32; 3] = [8, 16, 32];

/// Shapes for subgroup kernels beside [`shapes`]: more channels than one tile takes, and tails of tiles of rows.
pub(crate) fn wide_shapes() -> Vec<Conv2d> {
    vec![
        Conv2d::valid([3, 5, 7, 8], [3, 3], 68, 1),
        Conv2d::same([3, 5, 5, 72], [3, 2], 10, 2),
        Conv2d::valid([67, 2, 3, 20], [2, 3], 36, 1),
    ]
}

/// `lanes` where there are kernels of f32 convolutions for subgroups of that many.
pub fn convolution_lanes(lanes: Option<u32>) -> Option<u32> {
    lanes.filter(|lanes| [8, 16, 32, 64].contains(lanes))
}

/// Rows and columns of a result that one subgroup computes: each lane `rows` rows, all lanes the same columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    lanes: u32,
    rows: u32,
    columns: u32,
}

impl Tile {
    /// The tile for a product of `rows` x `columns`.
    pub fn product(lanes: u32, rows: u32, columns: u32) -> Self {
        Self::cheapest(lanes, rows, columns, 8, |tile| (tile.rows, tile.rows * tile.columns))
    }

    /// The tile for a sum of outer products of `rows` vectors and `columns` columns, [`STEPS`] in an iteration.
    pub fn outer(lanes: u32, rows: u32, columns: u32) -> Self {
        Self::cheapest(lanes, rows, columns, 4, |tile| (STEPS * tile.rows, 4 * tile.rows * tile.columns))
    }

    /// The tile of least cost, where an iteration makes the loads and holds the sums that `iteration` tells, beside
    /// one load for each lane's share of the columns.
    ///
    /// On a software adapter a load takes its time for every lane, as much as 14 sums of 4 terms for 8 lanes take,
    /// and more than 256 sums leave the fastest cache and compile slowly.
    fn cheapest(
        lanes: u32,
        rows: u32,
        columns: u32,
        most_rows: u32,
        iteration: impl Fn(&Self) -> (u32, u32),
    ) -> Self {
        let cost = |tile: &Self| {
            let (loads, sums) = iteration(tile);
            let loads = loads + tile.columns.div_ceil(lanes);
            tile.count(rows, columns) * u64::from(14 * lanes * loads + 8 * sums)
        };
        let tiles = (1..=most_rows)
            .flat_map(|rows| (4..=64u32).step_by(4).map(move |columns| Self { lanes, rows, columns }));
        let fitting = tiles.filter(|tile| iteration(tile).1 <= 256);
        fitting.min_by_key(cost).expect("the smallest tile fits")
    }

    /// Values that the shaders' templates take.
    pub fn template(&self) -> Vec<Constant> {
        vec![
            Constant::new("LANES", self.lanes),
            Constant::new("ROWS", self.rows),
            Constant::new("COLUMNS", self.columns),
            Constant::new("LOADS", self.columns.div_ceil(self.lanes)),
        ]
    }

    /// Tiles of a result.
    pub fn count(&self, rows: u32, columns: u32) -> u64 {
        u64::from(rows.div_ceil(self.rows * self.lanes)) * u64::from(columns.div_ceil(self.columns))
    }
}
