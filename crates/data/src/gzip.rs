//! Gzip streams under a cap: members are joined, anything else after the stream is refused.

use std::io::{self, BufRead, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use crate::error::DataError;

/// Inflates all members of a gzip stream. After an error, [`Gunzip::fault`] says what it was.
pub(crate) struct Gunzip<R> {
    member: Option<GzDecoder<R>>,
    limit: u64,
    total: u64,
    fault: Option<Fault>,
}

enum Fault {
    Truncated,
    Trailing,
    TooLarge,
    Corrupt(String),
}

impl<R: BufRead> Gunzip<R> {
    /// Inflates `reader` to at most `limit` bytes; the byte after that is an error.
    pub(crate) fn new(reader: R, limit: u64) -> Self {
        Self { member: Some(GzDecoder::new(reader)), limit, total: 0, fault: None }
    }

    /// The error to report for `path` after a read from this stream, or from a reader around it, failed with `error`.
    pub(crate) fn fault(&mut self, path: &Path, error: io::Error) -> DataError {
        let path = path.to_owned();
        match self.fault.take() {
            Some(Fault::Truncated) => DataError::TruncatedGzip { path },
            Some(Fault::Trailing) => DataError::TrailingGarbage { path },
            Some(Fault::Corrupt(reason)) => DataError::CorruptGzip { path, reason },
            Some(Fault::TooLarge) => DataError::TooLarge {
                path,
                what: "the decompressed data".to_owned(),
                limit: format!("{} bytes", self.limit),
            },
            None => DataError::Unreadable { path, source: error },
        }
    }

    /// True where the last failure came from this stream's content.
    pub(crate) fn has_fault(&self) -> bool {
        self.fault.is_some()
    }

    fn fail(&mut self, fault: Fault) -> io::Error {
        self.fault = Some(fault);
        self.member = None;
        io::Error::from(io::ErrorKind::InvalidData)
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            match member.read(buffer) {
                Ok(0) if buffer.is_empty() => {
                    self.member = Some(member);
                    return Ok(0);
                }
                Ok(0) => {
                    let mut reader = member.into_inner();
                    let rest = reader.fill_buf()?;
                    let is_member = match rest {
                        [] => return Ok(0),
                        [only] => *only == 0x1f,
                        [first, second, ..] => [*first, *second] == [0x1f, 0x8b],
                    };
                    if !is_member {
                        return Err(self.fail(Fault::Trailing));
                    }
                    self.member = Some(GzDecoder::new(reader));
                }
                Ok(count) => {
                    self.total += count as u64;
                    if self.total > self.limit {
                        return Err(self.fail(Fault::TooLarge));
                    }
                    self.member = Some(member);
                    return Ok(count);
                }
                Err(error) => {
                    return Err(match error.kind() {
                        io::ErrorKind::Interrupted => {
                            self.member = Some(member);
                            error
                        }
                        io::ErrorKind::UnexpectedEof => self.fail(Fault::Truncated),
                        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                            self.fail(Fault::Corrupt(error.to_string()))
                        }
                        _ => error,
                    });
                }
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
pub(crate) fn compress(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate(bytes: &[u8], limit: u64) -> Result<Vec<u8>, DataError> {
        let mut gunzip = Gunzip::new(bytes, limit);
        let mut out = Vec::new();
        match gunzip.read_to_end(&mut out) {
            Ok(_) => Ok(out),
            Err(error) => Err(gunzip.fault(Path::new("f.gz"), error)),
        }
    }

    #[test]
    fn members_are_joined() {
        let mut bytes = compress(b"one ");
        bytes.extend(compress(b""));
        bytes.extend(compress(b"two"));
        assert_eq!(inflate(&bytes, 7).unwrap(), b"one two");
    }

    #[test]
    fn every_cut_is_refused_except_between_members() {
        let first = compress(b"one").len();
        let mut bytes = compress(b"one");
        bytes.extend(compress(b"two"));
        for cut in 0..bytes.len() {
            let result = inflate(&bytes[..cut], 100);
            if cut == first {
                assert_eq!(result.unwrap(), b"one");
            } else {
                assert!(matches!(result, Err(DataError::TruncatedGzip { .. })), "cut at {cut}: {result:?}");
            }
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        for tail in [&b"x"[..], b"\0", b"\0\0\0\0\0\0\0\0\0\0\0\0", b"garbage that is long enough"] {
            let mut bytes = compress(b"data");
            bytes.extend(tail);
            assert!(matches!(inflate(&bytes, 100), Err(DataError::TrailingGarbage { .. })), "{tail:?}");
        }
    }

    #[test]
    fn a_flipped_checksum_is_refused() {
        let mut bytes = compress(b"data");
        let at = bytes.len() - 8;
        bytes[at] ^= 1;
        assert!(matches!(inflate(&bytes, 100), Err(DataError::CorruptGzip { .. })));
    }

    #[test]
    fn a_bomb_stops_at_the_cap() {
        let bytes = compress(&vec![0; 1 << 20]);
        assert!(bytes.len() < 4096);
        assert!(matches!(inflate(&bytes, (1 << 20) - 1), Err(DataError::TooLarge { .. })));
        assert_eq!(inflate(&bytes, 1 << 20).unwrap().len(), 1 << 20);
    }
}
