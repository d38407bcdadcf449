//! Planes of weights as the device has them, and as a file has them.

use graph::layers::PackedConv2d;
use packed::manifest::Mask;

/// Planes of weights on the device: parts of the rows, each `[plane][row][word of k]` with the least significant plane first.
pub(super) struct PlaneBits<'a> {
    pub parts: &'a [&'a [u32]],
    pub rows: u32,
    pub k: u32,
}

impl PlaneBits<'_> {
    fn bit(&self, plane: u32, row: u32, k: u32) -> bool {
        let of_part = self.rows / self.parts.len() as u32;
        let (part, row) = (self.parts[(row / of_part) as usize], row % of_part);
        let word = part[((plane * of_part + row) * kernels::words_for(self.k) + k / 32) as usize];
        word >> (k % 32) & 1 == 1
    }

    /// Bits of planes of the part that each row belongs to, one behind the other, of the rows that are kept: the most
    /// significant plane first.
    pub fn bytes_of_rows(&self, planes: std::ops::Range<u32>, kept: impl Fn(u32) -> bool) -> Vec<u8> {
        let plane = |plane| {
            packed_bits(self.each().filter(|(row, _)| kept(*row)).map(|(row, k)| self.bit(plane, row, k)))
        };
        planes.rev().flat_map(plane).collect()
    }

    /// The mask of whole rows.
    pub fn mask_of_rows(&self, kept: impl Fn(u32) -> bool) -> (Mask, Vec<u8>) {
        let rows = (0..self.rows).filter(|row| kept(*row)).count() as u64;
        (Mask { run: self.k, weights: rows * u64::from(self.k) }, packed_bits((0..self.rows).map(kept)))
    }

    fn each(&self) -> impl Iterator<Item = (u32, u32)> + use<> {
        let k = self.k;
        (0..self.rows).flat_map(move |row| (0..k).map(move |at| (row, at)))
    }

    /// Bits one behind the other, the most significant plane first, and of masked planes those alone whose mask is 1.
    pub fn bytes(&self, planes: std::ops::Range<u32>, mask: Option<u32>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for plane in planes.rev() {
            let kept = self.each().filter(|&(row, k)| mask.is_none_or(|mask| self.bit(mask, row, k)));
            bytes.extend(packed_bits(kept.map(|(row, k)| self.bit(plane, row, k))));
        }
        bytes
    }

    /// The mask in a plane, by the longest runs that say it.
    pub fn mask(&self, plane: u32) -> (Mask, Vec<u8>) {
        let weights = self.each().filter(|&(row, k)| self.bit(plane, row, k)).count() as u64;
        let is_constant = |run: u32| {
            self.each().all(|(row, k)| self.bit(plane, row, k) == self.bit(plane, row, k / run * run))
        };
        let run = [self.k, 32].into_iter().find(|&run| run <= self.k && is_constant(run)).unwrap_or(1);
        let runs = self.k.div_ceil(run);
        let firsts = (0..self.rows).flat_map(|row| (0..runs).map(move |at| (row, at * run)));
        (Mask { run, weights }, packed_bits(firsts.map(|(row, k)| self.bit(plane, row, k))))
    }
}

/// Bits in bytes, the first in the lowest bit.
fn packed_bits(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, bit) in bits.enumerate() {
        if at % 8 == 0 {
            bytes.push(0);
        }
        bytes[at / 8] |= u8::from(bit) << (at % 8);
    }
    bytes
}

/// Planes of weights as [`PackedConv2d`] takes them: for each group of the rows, padded to whole slices.
pub(super) struct Placed {
    pub words: Vec<u32>,
    rows: u32,
    k: u32,
    groups: u32,
    group_words: u64,
}

impl Placed {
    pub fn new([planes, rows, k]: [u32; 3], groups: u32) -> Self {
        let group_words = PackedConv2d::group_words(planes, rows / groups, k);
        let words = vec![0u32; (u64::from(groups) * group_words) as usize];
        Self { words, rows, k, groups, group_words }
    }

    /// Puts the bits of one plane, `[row][k]`.
    pub fn put(&mut self, plane: u32, bits: &[bool]) {
        let (row_words, of_group) = (kernels::words_for(self.k), self.rows / self.groups);
        let each = (0..self.rows).flat_map(|row| (0..self.k).map(move |at| (row, at)));
        for ((row, k), _) in each.zip(bits).filter(|(_, bit)| **bit) {
            let (group, row) = (row / of_group, row % of_group);
            let place = u64::from((plane * of_group + row) * row_words + k / 32);
            self.words[(u64::from(group) * self.group_words + place) as usize] |= 1 << (k % 32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_round_trip_with_the_most_significant_first() {
        let (planes, rows, k) = (2, 3, 33);
        let group = |seed: u32| -> Vec<u32> {
            let word =
                |at: u32| 0x9e37_79b9u32.wrapping_mul(at + seed) & if at % 2 == 1 { 1 } else { u32::MAX };
            (0..planes * rows * 2).map(word).collect()
        };
        let groups = [group(1), group(50)];
        let parts = [groups[0].as_slice(), groups[1].as_slice()];
        let bits = PlaneBits { parts: &parts, rows: 2 * rows, k };
        let bytes = bits.bytes(0..planes, None);
        assert_eq!(bytes.len(), 2 * 25);
        let mut placed = Placed::new([planes, 2 * rows, k], 2);
        for (plane, bytes) in (0..planes).rev().zip(bytes.chunks_exact(25)) {
            let bits: Vec<bool> = (0..198).map(|at| bytes[at / 8] >> (at % 8) & 1 == 1).collect();
            placed.put(plane, &bits);
        }
        let words = placed.words;
        assert_eq!((words.len(), &words[..12], &words[64..76]), (128, &groups[0][..], &groups[1][..]));
        assert_eq!(
            u32::from(bytes[0] & 1),
            groups[0][6] & 1,
            "the first byte begins with the high bit of weight 0"
        );
        assert_eq!(bytes[24] >> 6, 0, "198 bits take 25 bytes, the last 2 bits are zero");
    }

    #[test]
    fn masks_are_written_by_the_longest_runs_and_planes_without_what_they_leave_out() {
        // Plane 0 holds bits, the others masks over 2 rows of 33.
        let planes = [
            [0b1011, 1],
            [0b0110, 0],
            [u32::MAX, 1],
            [0, 0],
            [u32::MAX, 0],
            [0, 1],
            [0b0111, 0],
            [0b0001, 1],
        ];
        let words = planes.concat();
        let parts = [words.as_slice()];
        let bits = PlaneBits { parts: &parts, rows: 2, k: 33 };
        let found = |plane| {
            let (mask, bytes) = bits.mask(plane);
            (mask.run, mask.weights, bytes, bits.bytes(0..1, Some(plane)).len())
        };
        assert_eq!(found(1), (33, 33, vec![0b01], 5));
        assert_eq!(found(2), (32, 33, vec![0b1001], 5));
        let (run, weights, _, len) = found(3);
        assert_eq!((run, weights, len), (1, 5, 1));
        assert_eq!(bits.bytes(0..1, Some(3)), [0b0_0011], "bits 0 to 2 of row 0, 0 and 32 of row 1");
    }
}
