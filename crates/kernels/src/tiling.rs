//! Sizes that every one-dimensional kernel shares.

/// Invocations of a one-dimensional workgroup.
pub const WORKGROUP: u32 = 64;

/// Workgroups that cover `invocations`.
pub fn groups_for(invocations: u64) -> u64 {
    invocations.div_ceil(u64::from(WORKGROUP))
}

/// 32-bit words that hold `elements` bits.
pub fn words_for(elements: u32) -> u32 {
    elements.div_ceil(32)
}
