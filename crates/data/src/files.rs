//! Files and streams read under caps.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::error::{DataError, access_error};
use crate::gzip::Gunzip;

/// Largest decompressed stream where a format has no tighter limit: 1 GiB.
pub(crate) const STREAM_LIMIT: u64 = 1 << 30;

/// Largest pixel array of one split in memory: 4 GiB.
pub const SPLIT_LIMIT: u64 = 1 << 32;

/// Opens a regular file and returns it with its length. A device or pipe is refused before it is opened, as it could
/// block or never end.
pub(crate) fn open_file(path: &Path, wanted: &str) -> Result<(File, u64), DataError> {
    let refused = |source| access_error(path, wanted, source);
    let metadata = fs::metadata(path).map_err(refused)?;
    if !metadata.is_file() {
        return Err(DataError::WrongType { path: path.to_owned(), kind: "file", wanted: wanted.to_owned() });
    }
    Ok((File::open(path).map_err(refused)?, metadata.len()))
}

/// Reads a whole file that may have at most `limit` bytes.
pub(crate) fn read_file(path: &Path, wanted: &str, limit: u64) -> Result<Vec<u8>, DataError> {
    let (file, _) = open_file(path, wanted)?;
    let mut bytes = Vec::new();
    let read = file.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|source| DataError::Unreadable { path: path.to_owned(), source })?;
    if bytes.len() as u64 > limit {
        return Err(DataError::TooLarge {
            path: path.to_owned(),
            what: "the file".to_owned(),
            limit: format!("{limit} bytes"),
        });
    }
    Ok(bytes)
}

/// True for a folder, false where there is nothing; anything else is an error.
pub(crate) fn is_folder(path: &Path, wanted: &str) -> Result<bool, DataError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(true),
        Ok(_) => {
            Err(DataError::WrongType { path: path.to_owned(), kind: "folder", wanted: wanted.to_owned() })
        }
        Err(source) => match access_error(path, wanted, source) {
            DataError::Missing { .. } => Ok(false),
            error => Err(error),
        },
    }
}

/// A file that is plain or gzip-compressed; its content decides which, not its name.
pub(crate) struct Source<'a> {
    path: &'a Path,
    stream: Stream,
}

enum Stream {
    Plain(BufReader<File>, u64),
    Gzip(Gunzip<BufReader<File>>),
}

impl<'a> Source<'a> {
    /// Opens `path`; a gzip stream may inflate to at most `limit` bytes.
    pub(crate) fn open(path: &'a Path, wanted: &str, limit: u64) -> Result<Self, DataError> {
        let (file, len) = open_file(path, wanted)?;
        let mut reader = BufReader::new(file);
        let start =
            reader.fill_buf().map_err(|source| DataError::Unreadable { path: path.to_owned(), source })?;
        let stream = if start.starts_with(&[0x1f, 0x8b]) {
            Stream::Gzip(Gunzip::new(reader, limit))
        } else {
            Stream::Plain(reader, len)
        };
        Ok(Self { path, stream })
    }

    /// The next bytes, at most `limit`; fewer only at the end. Memory grows with what is there, not with `limit`.
    pub(crate) fn read_up_to(&mut self, limit: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        match &mut self.stream {
            Stream::Plain(reader, _) => {
                reader
                    .take(limit)
                    .read_to_end(&mut bytes)
                    .map_err(|source| DataError::Unreadable { path: self.path.to_owned(), source })?;
            }
            Stream::Gzip(gunzip) => {
                if let Err(error) = gunzip.take(limit).read_to_end(&mut bytes) {
                    return Err(gunzip.fault(self.path, error));
                }
            }
        }
        Ok(bytes)
    }

    /// Length of a plain file; unknown for a compressed one.
    pub(crate) fn plain_len(&self) -> Option<u64> {
        match self.stream {
            Stream::Plain(_, len) => Some(len),
            Stream::Gzip(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_and_types() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, [7; 10]).unwrap();
        assert_eq!(read_file(&path, "ten bytes", 10).unwrap(), [7; 10]);
        assert!(matches!(read_file(&path, "ten bytes", 9), Err(DataError::TooLarge { .. })));
        assert!(matches!(read_file(dir.path(), "a file", 9), Err(DataError::WrongType { .. })));
        assert!(matches!(is_folder(&path, "a folder"), Err(DataError::WrongType { .. })));
        assert!(is_folder(dir.path(), "").unwrap() && !is_folder(&dir.path().join("none"), "").unwrap());
        // A path below a file is missing, not a failing disk.
        assert!(matches!(open_file(&path.join("below"), ""), Err(DataError::Missing { .. })));
    }
}
