//! Memory that a software adapter can take, and what of it may hold pictures.

use std::fs::read_to_string;

/// Bytes that the system can still give without swapping, or `None` where it does not say (only Linux does).
///
/// Adapters of other kinds do not tell their free memory through WebGPU; there an allocation fails by itself.
pub fn available() -> Option<u64> {
    parse(&read_to_string("/proc/meminfo").ok()?)
}

/// Most bytes of pictures that stay on a device: memory that is free there is not known.
const HELD_BYTES: u64 = 1 << 30;

/// Most buffers that they are spread over; each costs a dispatch a step.
const HELD_BUFFERS: u64 = 8;

/// Whether `bytes` of pictures may stay on a device that binds at most `binding` bytes at once; `free` are the bytes that
/// are known to be free.
pub fn may_hold(bytes: u64, binding: u64, free: Option<u64>) -> bool {
    let most = free.map_or(HELD_BYTES, |free| HELD_BYTES.min(free / 4));
    bytes <= most.min(HELD_BUFFERS.saturating_mul(binding))
}

fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_table_is_read() {
        assert_eq!(parse("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(parse("MemTotal: 9 kB\n"), None);
        assert_eq!(parse("MemAvailable: lots\n"), None);
    }

    #[test]
    fn pictures_are_held_within_a_quarter_of_what_is_free_and_eight_bindings() {
        let binding = 128 << 20;
        for (most, binding, free) in [
            (1 << 30, binding, None),
            (1 << 30, binding, Some(1 << 40)),
            (1 << 20, binding, Some(4 << 20)),
            (80, 10, None),
        ] {
            assert!(may_hold(most, binding, free) && !may_hold(most + 1, binding, free), "{most}");
        }
    }
}
