//! Inverted dropout: what is kept is scaled by `1 / (1 - rate)`.

use crate::random::uniform;

/// Whether an element with this uniform number is kept: `uniform >= rate`.
pub fn keep(uniform: f64, rate: f64) -> bool {
    uniform >= rate
}

/// The factor of what is kept, `1 / (1 - rate)`; on codes it joins their scale.
pub fn kept_scale(rate: f64) -> f64 {
    1.0 / (1.0 - rate)
}

/// The mask `[rows][columns]` of a tensor in a training step, a pure function of its arguments.
pub fn keep_mask(seed: u64, step: u32, tensor: u32, rows: usize, columns: usize, rate: f64) -> Vec<bool> {
    let index = |value: usize| u32::try_from(value).expect("rows and columns fit in a counter word");
    let at = |element: usize| uniform(seed, step, tensor, index(element / columns), index(element % columns));
    (0..rows * columns).map(|element| keep(at(element), rate)).collect()
}

/// The codes that are kept, 0 elsewhere.
pub fn dropout_codes(codes: &[u32], mask: &[bool]) -> Vec<u32> {
    assert_eq!(codes.len(), mask.len(), "each code needs a mask bit");
    codes.iter().zip(mask).map(|(&code, &kept)| if kept { code } else { 0 }).collect()
}

/// The values that are kept, scaled by [`kept_scale`], 0 elsewhere; forward and backward alike.
pub fn dropout(values: &[f64], mask: &[bool], rate: f64) -> Vec<f64> {
    assert_eq!(values.len(), mask.len(), "each value needs a mask bit");
    values.iter().zip(mask).map(|(value, &kept)| if kept { value * kept_scale(rate) } else { 0.0 }).collect()
}
