//! Planes of weights as they lie in a file, and what they stand for.

use crate::{
    Error, File,
    check::Map,
    codes::levels,
    manifest::{BitConvolution, WeightGroup},
};

/// A group of planes with a bit for every weight, in the order `[channel][kernel row][kernel column][inner]`.
#[derive(Clone, Debug)]
pub struct Group {
    /// As the description has it.
    pub written: WeightGroup,
    /// Bits of every weight, the most significant plane first; 0 where the mask is.
    pub planes: Vec<Vec<bool>>,
    /// Bits of every weight, where there is a mask.
    pub mask: Option<Vec<bool>>,
    /// One for all or for every run of output channels.
    pub scales: Vec<f32>,
}

impl Group {
    /// The group reaches weight `at`.
    fn reaches(&self, at: usize) -> bool {
        self.mask.as_ref().is_none_or(|mask| mask[at])
    }

    /// The integer of weight `at`.
    fn integer(&self, at: usize) -> i32 {
        if !self.reaches(at) {
            return 0;
        }
        let code = self.planes.iter().fold(0, |code, plane| 2 * code + i32::from(plane[at]));
        2 * code - levels(self.written.planes) as i32
    }

    /// The sum of the integers of some weights.
    pub(crate) fn sum(&self, weights: std::ops::Range<usize>) -> i32 {
        weights.map(|at| self.integer(at)).sum()
    }

    /// The scale of an output channel of `channels`.
    pub fn scale(&self, channel: usize, channels: usize) -> f32 {
        self.scales[channel / (channels / self.scales.len())]
    }
}

/// Which of groups that are apart an output channel of `channels` belongs to.
pub fn group_of(groups: &[Group], channel: usize, channels: usize) -> usize {
    let reaches = |group: &Group| group.reaches(channel * (group.planes[0].len() / channels));
    groups.iter().position(reaches).expect("every channel is checked to belong to one")
}

/// Weights of a convolution over `input`, and those of one output channel.
fn sizes(conv: &BitConvolution, input: Map) -> (usize, usize) {
    let fan_in = conv.window.taps() as usize * (input.channels / conv.groups) as usize;
    (conv.channels as usize * fan_in, fan_in)
}

fn bit(bytes: &[u8], at: usize) -> bool {
    bytes[at / 8] >> (at % 8) & 1 == 1
}

/// The groups of a layer.
pub fn groups(file: &File, layer: &str, conv: &BitConvolution, input: Map) -> Vec<Group> {
    let (count, fan_in) = sizes(conv, input);
    let group = |(at, written): (usize, WeightGroup)| {
        let mask: Option<Vec<bool>> = written.mask.map(|mask| {
            let bits = file.bytes(layer, &conv.tensor("mask", at));
            let (run, runs) = (mask.run as usize, fan_in.div_ceil(mask.run as usize));
            (0..count).map(|weight| bit(bits, weight / fan_in * runs + weight % fan_in / run)).collect()
        });
        let bytes = file.bytes(layer, &conv.tensor("planes", at));
        let plane_bytes = bytes.len() / written.planes as usize;
        let plane = |plane: usize| -> Vec<bool> {
            let bits = &bytes[plane * plane_bytes..][..plane_bytes];
            let Some(mask) = &mask else { return (0..count).map(|weight| bit(bits, weight)).collect() };
            let mut next = 0..;
            mask.iter().map(|&kept| kept && next.next().is_some_and(|at| bit(bits, at))).collect()
        };
        let planes = (0..written.planes as usize).map(plane).collect();
        let scales = match written.scales {
            0 => vec![1.0],
            _ => file.floats(layer, &conv.tensor("scale", at)).to_vec(),
        };
        Group { written, planes, mask, scales }
    };
    conv.groups_of_planes().into_iter().enumerate().map(group).collect()
}

/// The weights as numbers: group after group, `(factor * scale) * integer`.
pub fn dense(groups: &[Group], channels: usize, count: usize) -> Vec<f32> {
    let mut weights = vec![0.0; count];
    for (number, group) in groups.iter().enumerate() {
        for (at, weight) in weights.iter_mut().enumerate() {
            let scale = group.scale(at / (count / channels), channels);
            let value = group.written.factor * scale * group.integer(at) as f32;
            *weight = if number == 0 { value } else { *weight + value };
        }
    }
    weights
}

/// Masks reach as many weights as they say, those of groups apart every channel once, and behind the last bit of masks and
/// planes there are zeros.
pub fn check(file: &File, layer: &str, conv: &BitConvolution, input: Map) -> Result<(), Error> {
    let (count, fan_in) = sizes(conv, input);
    let channels = conv.channels as usize;
    let mut groups_of = vec![usize::from(!conv.apart); channels];
    for (at, group) in conv.groups_of_planes().into_iter().enumerate() {
        let mut reached = count;
        if let Some(mask) = group.mask {
            let name = conv.tensor("mask", at);
            let (bits, run) = (file.bytes(layer, &name), mask.run as usize);
            let runs = fan_in.div_ceil(run);
            if conv.apart {
                groups_of.iter_mut().enumerate().for_each(|(at, of)| *of += usize::from(bit(bits, at)));
            }
            let sizes = (0..channels * runs).filter(|&place| bit(bits, place)).map(|place| {
                // The last run of a channel may be shorter.
                run.min(fan_in - place % runs * run)
            });
            reached = sizes.sum();
            if ends_in_ones(bits, channels * runs) || reached as u64 != mask.weights {
                let message = format!("reaches {reached} weights, not {}", mask.weights);
                return Err(Error::tensor(&format!("{layer}.{name}"), message));
            }
        }
        let name = conv.tensor("planes", at);
        let planes = file.bytes(layer, &name);
        let plane_bytes = (planes.len() / group.planes as usize).max(1);
        if planes.chunks_exact(plane_bytes).any(|plane| ends_in_ones(plane, reached)) {
            return Err(Error::tensor(&format!("{layer}.{name}"), "has bits behind its last weight"));
        }
    }
    match groups_of.iter().position(|&groups| groups != 1) {
        Some(channel) => {
            Err(Error::layer(layer, format!("has channel {channel} in {} groups", groups_of[channel])))
        }
        None => Ok(()),
    }
}

/// A bit of the last byte behind the first `count` of all bits is 1.
fn ends_in_ones(bytes: &[u8], count: usize) -> bool {
    !count.is_multiple_of(8) && bytes.last().is_some_and(|last| last >> (count % 8) != 0)
}
