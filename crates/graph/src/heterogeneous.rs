//! Which weight of a tensor has how many bits: heterogeneous binarization (Fromm, Patel and Philipose 2018).

use reference::random::philox4x32_10;

use crate::bit_mix::BitMix;

/// Weights of a word of a packed row.
const WORD: usize = 32;
/// Sets the numbers that order masks apart from all others.
const ORDER_STREAM: u32 = 0x6d61_736b;

/// Which weights come last in the order of their widths, and so have the most bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BitOrder {
    /// The largest magnitudes.
    TopDown,
    /// The smallest magnitudes, as in the paper.
    #[default]
    MiddleOut,
    /// The largest values.
    BottomUp,
    /// Those that a seeded permutation puts there.
    Random,
}

/// Weights that share their number of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaskGranularity {
    /// None, as in the paper.
    #[default]
    Element,
    /// 32 neighbors in a packed row of the forward product, so that mask words are zero or full.
    Word,
    /// Those of an output channel.
    Channel,
}

/// How weights get their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heterogeneous {
    /// Shares of the widths.
    pub mix: BitMix,
    /// Which weights get most.
    pub order: BitOrder,
    /// What shares a width.
    pub granularity: MaskGranularity,
}

/// What the masks of a tensor cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MaskCost {
    /// Weights.
    pub weights: u64,
    /// Bits of all weights together.
    pub bits: u64,
    /// Words of packed rows in the forward product.
    pub words: u64,
    /// Words of planes that a product executes which skips empty mask words.
    pub executed_words: u64,
}

impl Heterogeneous {
    /// Homogeneous residual binarization.
    pub fn of(mix: BitMix) -> Self {
        Self { mix, order: BitOrder::default(), granularity: MaskGranularity::default() }
    }

    /// Bits of each of `weights`, `rows` output channels of equal length: the units of the granularity are ordered by the mean
    /// of their weights' keys and get bits in rising order, counted by largest remainder. `tensor` tells the random orders of
    /// tensors apart. Equal keys keep their order.
    pub fn assign(&self, weights: &[f32], rows: usize, (seed, tensor): (u64, u32)) -> Vec<u32> {
        let units = units(self.granularity, weights.len(), rows);
        let mut order: Vec<(f64, usize)> = units
            .iter()
            .enumerate()
            .map(|(at, unit)| (self.key(&weights[unit.clone()], at, (seed, tensor)), at))
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut bits = vec![1; weights.len()];
        let counts = self.mix.counts(units.len());
        let widths = (1..).zip(counts).flat_map(|(width, count)| std::iter::repeat_n(width, count));
        for ((_, at), width) in order.into_iter().zip(widths) {
            bits[units[at].clone()].fill(width);
        }
        bits
    }

    fn key(&self, unit: &[f32], at: usize, (seed, tensor): (u64, u32)) -> f64 {
        let mean = |value: fn(f64) -> f64| {
            unit.iter().map(|&weight| value(f64::from(weight))).sum::<f64>() / unit.len() as f64
        };
        match self.order {
            BitOrder::TopDown => mean(f64::abs),
            BitOrder::MiddleOut => -mean(f64::abs),
            BitOrder::BottomUp => mean(|weight| weight),
            BitOrder::Random => {
                let counter = [at as u32, (at as u64 >> 32) as u32, tensor, ORDER_STREAM];
                let words = philox4x32_10(counter, [seed as u32, (seed >> 32) as u32]);
                f64::from(words[0]) * 2f64.powi(32) + f64::from(words[1])
            }
        }
    }

    /// Bits that a weight's part of the masks takes in a file: none where they follow from a seed, otherwise the entropy of
    /// the widths, shared by the weights of a unit. `fan_in` is the length of a row.
    pub fn mask_bits(&self, fan_in: usize) -> f64 {
        let together = match self.granularity {
            _ if self.order == BitOrder::Random => return 0.0,
            MaskGranularity::Element => 1.0,
            MaskGranularity::Word => fan_in as f64 / fan_in.div_ceil(WORD) as f64,
            MaskGranularity::Channel => fan_in as f64,
        };
        self.mix.entropy() / together
    }
}

/// Runs of weights with equal bits; a run of words ends with its row.
fn units(granularity: MaskGranularity, len: usize, rows: usize) -> Vec<std::ops::Range<usize>> {
    let row = len / rows.max(1);
    let unit = match granularity {
        MaskGranularity::Element => 1,
        MaskGranularity::Word => WORD,
        MaskGranularity::Channel => row,
    };
    let starts = |row_start: usize| {
        (0..row).step_by(unit.max(1)).map(move |at| row_start + at..row_start + (at + unit).min(row))
    };
    (0..rows).flat_map(|at| starts(at * row)).collect()
}

impl MaskCost {
    /// Of the bits of a tensor's weights in `rows` output channels, in f32 as parameters are.
    pub fn of(bits: &[f32], rows: usize) -> Self {
        let mut cost = Self::default();
        let row = (bits.len() / rows.max(1)).max(1);
        for word in bits.chunks(row).flat_map(|row| row.chunks(WORD)) {
            cost.weights += word.len() as u64;
            cost.bits += word.iter().map(|&bits| bits as u64).sum::<u64>();
            cost.words += 1;
            cost.executed_words += word.iter().map(|&bits| bits as u64).max().unwrap_or(0);
        }
        cost
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            weights: self.weights + other.weights,
            bits: self.bits + other.bits,
            words: self.words + other.words,
            executed_words: self.executed_words + other.executed_words,
        }
    }

    /// Bits of the mean weight.
    pub fn average_bits(&self) -> f64 {
        self.bits as f64 / self.weights.max(1) as f64
    }

    /// Planes of the mean word that a product executes which skips empty mask words.
    pub fn executed_planes(&self) -> f64 {
        self.executed_words as f64 / self.words.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: (u64, u32) = (7, 0);

    fn by(order: BitOrder, granularity: MaskGranularity) -> Heterogeneous {
        Heterogeneous { mix: "1:0.7,2:0.2,3:0.1".parse().expect("a mix"), order, granularity }
    }

    fn weights(len: usize) -> Vec<f32> {
        (0..len).map(|at| reference::random::normal(3, 1, at as u32) as f32).collect()
    }

    /// Checks every pair of weights, as slow as the definition.
    #[test]
    fn more_bits_go_to_where_the_order_says() {
        let weights = weights(400);
        type Key = fn(f32) -> f32;
        let keys: [(BitOrder, Key); 3] = [
            (BitOrder::TopDown, |w| w.abs()),
            (BitOrder::MiddleOut, |w| -w.abs()),
            (BitOrder::BottomUp, |w| w),
        ];
        for (order, key) in keys {
            let bits = by(order, MaskGranularity::Element).assign(&weights, 4, SEED);
            for width in 1..=3 {
                let count = bits.iter().filter(|bits| **bits == width).count();
                assert_eq!(count, [280, 80, 40][width as usize - 1], "{order:?}");
            }
            for (a, at) in weights.iter().zip(&bits) {
                for (b, bt) in weights.iter().zip(&bits) {
                    assert!(at <= bt || key(*a) >= key(*b), "{order:?}: {a} has {at} bits, {b} has {bt}");
                }
            }
        }
    }

    #[test]
    fn a_random_order_depends_on_seed_and_tensor_alone() {
        let rule = by(BitOrder::Random, MaskGranularity::Element);
        let (some, other) = (weights(500), vec![0.0; 500]);
        let bits = rule.assign(&some, 5, SEED);
        assert_eq!(bits, rule.assign(&other, 5, SEED));
        assert_ne!(bits, rule.assign(&some, 5, (8, 0)));
        assert_ne!(bits, rule.assign(&some, 5, (7, 1)));
        assert_eq!(bits.iter().sum::<u32>(), 700, "1.4 bits on average, exactly");
    }

    #[test]
    fn words_and_channels_have_one_width_and_cost_what_they_execute() {
        // Ten rows of 70 weights: two full words and one of six weights each.
        let weights = weights(700);
        let cost = |granularity| {
            let bits = by(BitOrder::TopDown, granularity).assign(&weights, 10, SEED);
            for row in bits.chunks(70) {
                let parts = match granularity {
                    MaskGranularity::Word => row.chunks(32).collect(),
                    MaskGranularity::Channel => vec![row],
                    MaskGranularity::Element => Vec::new(),
                };
                assert!(parts.iter().all(|part| part.iter().all(|bits| *bits == part[0])), "{granularity:?}");
            }
            let bits: Vec<f32> = bits.into_iter().map(|bits| bits as f32).collect();
            MaskCost::of(&bits, 10)
        };
        let element = cost(MaskGranularity::Element);
        assert_eq!((element.weights, element.bits, element.words), (700, 980, 30));
        assert!(element.executed_planes() > 2.3, "nearly every word has a weight of each width: {element:?}");
        let word = cost(MaskGranularity::Word);
        assert_eq!(word.executed_words, 21 + 2 * 6 + 3 * 3);
        let channel = cost(MaskGranularity::Channel);
        assert_eq!((channel.bits, channel.executed_words), (980, 42));
        assert!((channel.executed_planes() - channel.average_bits()).abs() < 1e-12);
        assert_eq!(element.and(channel).weights, 1400);
    }

    #[test]
    fn masks_from_a_seed_take_no_room() {
        assert_eq!(by(BitOrder::Random, MaskGranularity::Element).mask_bits(64), 0.0);
        assert!((by(BitOrder::MiddleOut, MaskGranularity::Element).mask_bits(64) - 1.1568).abs() < 1e-4);
        assert!((by(BitOrder::MiddleOut, MaskGranularity::Word).mask_bits(64) - 1.1568 / 32.0).abs() < 1e-4);
        assert!(
            (by(BitOrder::MiddleOut, MaskGranularity::Channel).mask_bits(64) - 1.1568 / 64.0).abs() < 1e-4
        );
    }
}
