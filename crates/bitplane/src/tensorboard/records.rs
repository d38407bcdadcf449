//! The framing of TFRecord files: length, its checksum, bytes, their checksum.

/// Length and its checksum before the bytes, their checksum behind.
const HEAD: usize = 12;
const TAIL: usize = 4;
const MASK: u32 = 0xa282_ead8;

/// One record around `bytes`.
pub fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(HEAD + bytes.len() + TAIL);
    record.extend(length);
    record.extend(masked(&length).to_le_bytes());
    record.extend(bytes);
    record.extend(masked(bytes).to_le_bytes());
    record
}

/// The contents of the records of a file up to the first that is not whole.
pub fn whole(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = file;
    std::iter::from_fn(move || {
        let (record, behind) = first(rest)?;
        rest = behind;
        Some(record)
    })
}

/// The contents of the first record and what is behind it.
fn first(file: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = file.split_first_chunk::<8>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    if masked(length) != u32::from_le_bytes(*sum) {
        return None;
    }
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (bytes, rest) = rest.split_at_checked(length)?;
    let (sum, rest) = rest.split_first_chunk::<TAIL>()?;
    (masked(bytes) == u32::from_le_bytes(*sum)).then_some((bytes, rest))
}

/// CRC-32C, rotated and moved so that checksums of data that holds checksums stay good.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_the_published_ones() {
        // RFC 3720, B.4: 32 bytes of zeros, of ones, and rising.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c::crc32c(&[255; 32]), 0x62a8_ab43);
        assert_eq!(crc32c::crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
    }

    #[test]
    fn a_damaged_record_ends_the_file() {
        let parts: [&[u8]; 3] = [b"first", b"", b"third one"];
        let file: Vec<u8> = parts.iter().flat_map(|part| frame(part)).collect();
        assert!(whole(&file).eq(parts));
        let ends = [0, 21, 37, file.len()];
        for cut in 0..file.len() {
            let complete = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(whole(&file[..cut]).count(), complete, "cut at {cut}");
            let mut damaged = file.clone();
            damaged[cut] ^= 16;
            assert_eq!(whole(&damaged).count(), complete, "damaged at {cut}");
        }
    }
}
