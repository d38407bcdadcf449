//! Weights whose runs of output channels have planes of their own: in a file as one group for each width, on an adapter as
//! codes of the widest.

use graph::{DeployedGroup, DeployedLayer};
use kernels::PlaneGroup;
use packed::manifest::{BitConvolution, WeightGroup, Window};
use packed::{Group, Tensor};

use super::{pack::floats, plane_bits::PlaneBits};

/// Planes of some runs that have the same place, factor and scale.
struct Width {
    /// Place among the groups of a run.
    place: usize,
    group: DeployedGroup,
    scale: Option<u32>,
    runs: Vec<usize>,
}

/// A convolution with `runs` runs of output channels, whose groups of planes follow each other in `weights`, and its tensors.
pub(super) fn pack(
    layer: &DeployedLayer,
    window: Window,
    [channels, groups, fan_in]: [u32; 3],
    (weights, runs): (&[DeployedGroup], u32),
) -> (BitConvolution, Vec<(String, Tensor)>) {
    let named = |wanted: &'static str| {
        layer.tensors.iter().filter(move |(name, _)| *name == wanted).map(|(_, words)| words.as_slice())
    };
    let parts: Vec<&[u32]> = named("planes").collect();
    let bits = PlaneBits { parts: &parts, rows: channels, k: fan_in };
    let of_run = weights.len() / runs as usize;
    let mut scales = named("scale").map(|words| words[0]);
    let mut widths: Vec<Width> = Vec::new();
    for (at, group) in weights.iter().enumerate() {
        let (run, place) = (at / of_run, at % of_run);
        let scale = (group.scales > 0).then(|| scales.next().expect("a scale for each group that has one"));
        let same = |width: &&mut Width| (width.place, width.group, width.scale) == (place, *group, scale);
        match widths.iter_mut().find(same) {
            Some(width) => width.runs.push(run),
            None => widths.push(Width { place, group: *group, scale, runs: vec![run] }),
        }
    }
    // A channel's groups are added in the order of their places.
    widths.sort_by_key(|width| (width.place, width.group.planes.planes));
    let (mut tensors, mut list) = (Vec::new(), Vec::new());
    for (at, Width { group, scale, runs: own, .. }) in widths.iter().enumerate() {
        let kept = |row: u32| own.contains(&((row * runs / channels) as usize));
        let planes = group.planes.first_plane..group.planes.end();
        tensors.push((format!("planes.{at}"), Tensor::U8(bits.bytes_of_rows(planes, kept))));
        let masked = own.len() < runs as usize;
        let mask = masked.then(|| bits.mask_of_rows(kept));
        let (mask, packed) = mask.map_or((None, None), |(mask, packed)| (Some(mask), Some(packed)));
        tensors.extend(packed.map(|packed| (format!("mask.{at}"), Tensor::U8(packed))));
        tensors.extend(scale.map(|scale| (format!("scale.{at}"), Tensor::F32(floats(&[scale])))));
        let (planes, factor, scales) = (group.planes.planes, group.factor, u32::from(scale.is_some()));
        list.push(WeightGroup { planes, factor, scales, mask });
    }
    let weight_bits = list.iter().map(|group| group.planes).sum();
    let apart = of_run == 1 && list.len() > 1;
    (BitConvolution { channels, groups, weight_bits, window, weights: list, apart }, tensors)
}

/// The groups as an adapter computes them. Groups apart become one of as many planes as the widest has, with a scale for each
/// channel: the integers of b bits are among those of more.
pub(super) fn merged(
    conv: &BitConvolution,
    (written, groups): (Vec<DeployedGroup>, Vec<Group>),
) -> (Vec<DeployedGroup>, Vec<Group>) {
    if !conv.apart {
        return (written, groups);
    }
    let channels = conv.channels as usize;
    let widest = groups.iter().map(|group| group.written.planes).max().expect("at least one group");
    let count = groups[0].planes[0].len();
    let (mut codes, mut scales) = (vec![0u32; count], Vec::new());
    for (channel, codes) in codes.chunks_exact_mut(count / channels).enumerate() {
        let group = &groups[packed::group_of(&groups, channel, channels)];
        let first = channel * codes.len();
        let middle = (1u32 << widest >> 1) - (1 << group.written.planes >> 1);
        for (code, at) in codes.iter_mut().zip(first..) {
            *code = middle + group.planes.iter().fold(0, |code, plane| 2 * code + u32::from(plane[at]));
        }
        scales.push(group.written.factor * group.scale(channel, channels));
    }
    let planes =
        (0..widest).rev().map(|plane| codes.iter().map(|code| code >> plane & 1 == 1).collect()).collect();
    let (factor, all) = (1.0, conv.channels);
    let group = DeployedGroup { planes: PlaneGroup::first(widest), factor, scales: all };
    let written = WeightGroup { planes: widest, factor, scales: all, mask: None };
    (vec![group], vec![Group { written, planes, mask: None, scales }])
}
