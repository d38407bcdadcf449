//! The memory that a network takes beside its file, which its description must not make large by itself.

use crate::{
    Error,
    bit_convolution::LANES,
    check::{Checked, Kind, MAX_VALUES, Map},
    code_planes::WORD,
    manifest::{BitConvolution, Layer, Operation},
};

/// Bits of the planes and masks of one layer, written out, at most: 16 for each of the most weights.
const MAX_BITS: u64 = 16 * MAX_VALUES;
/// Words of all planes as products read them, at most: 1 GiB.
const MAX_WORDS: u64 = 1 << 27;
/// Values of all maps that are needed at one time, at most: 512 MiB.
const MAX_ALIVE: u64 = 1 << 27;

/// Whether the layers of a description, each sound by itself, take an amount of memory that is handled.
pub fn check(layers: &[Layer], checked: &[Checked], image: Map) -> Result<(), Error> {
    let mut words = 0u64;
    for (layer, known) in layers.iter().zip(checked) {
        let Operation::BitConvolution(conv) = &layer.operation else { continue };
        let input = known.inputs[0].map_or(image, |before| checked[before].output);
        let taken = planes(conv, input);
        words = words.saturating_add(taken.words);
        if taken.bits > MAX_BITS || taken.padded > MAX_VALUES || words > MAX_WORDS {
            return Err(Error::layer(&layer.name, "has planes of weights or codes beyond what is handled"));
        }
    }
    let mut last: Vec<usize> = (0..layers.len()).collect();
    for (at, known) in checked.iter().enumerate() {
        known.inputs.iter().flatten().for_each(|&before| last[before] = at);
    }
    let mut alive = image.len();
    for (at, known) in checked.iter().enumerate() {
        alive += known.output.len();
        if alive > MAX_ALIVE {
            let name = &layers[at].name;
            return Err(Error::layer(name, "runs beside maps that are together more than is handled"));
        }
        alive -= (0..=at)
            .filter(|&before| last[before] == at)
            .map(|before| checked[before].output.len())
            .sum::<u64>();
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
struct Taken {
    /// Of weights and masks, one by one.
    bits: u64,
    /// Of weights and masks, as products read them.
    words: u64,
    /// Words of the codes with their border.
    padded: u64,
}

fn planes(conv: &BitConvolution, input: Map) -> Taken {
    let [kernel_h, kernel_w] = conv.window.kernel.map(u64::from);
    let [top, bottom, left, right] = conv.window.padding.map(u64::from);
    let (inner, outer) = (u64::from(input.channels / conv.groups), u64::from(conv.channels / conv.groups));
    let (groups, taps, inner_words) =
        (u64::from(conv.groups), kernel_h * kernel_w, inner.div_ceil(WORD as u64));
    let (code_bits, code_groups) = match input.kind {
        Kind::Codes(code) => (u64::from(code.bits), code.groups().len() as u64),
        _ => (1, 1),
    };
    let with_mask = conv.groups_of_planes().into_iter();
    let planes: u64 = with_mask.map(|group| u64::from(group.planes) + u64::from(group.mask.is_some())).sum();
    let factors = [groups * outer.next_multiple_of(LANES as u64), taps, inner_words, planes, code_groups];
    let words = factors.into_iter().fold(1, u64::saturating_mul);
    let (height, width) = (u64::from(input.height) + top + bottom, u64::from(input.width) + left + right);
    let padded = [height, width, groups * inner_words, code_bits].into_iter().fold(1, u64::saturating_mul);
    Taken { bits: (u64::from(conv.channels) * taps * inner).saturating_mul(planes), words, padded }
}
