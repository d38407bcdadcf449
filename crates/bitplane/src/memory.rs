//! Memory that a software adapter can take.

use std::fs::read_to_string;

/// Bytes that the system can still give without swapping, or `None` where it does not say (only Linux does).
///
/// Adapters of other kinds do not tell their free memory through WebGPU; there an allocation fails by itself.
pub fn available() -> Option<u64> {
    parse(&read_to_string("/proc/meminfo").ok()?)
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
}
