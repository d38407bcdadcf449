//! MATLAB version 5 files: a header of 128 bytes, then one element a variable, plain or compressed by zlib.
//!
//! Only what numeric arrays need is read. Variables are handed over one after the other and their values as a stream, so
//! that memory grows with what is there and is wanted, never with what a header promises.

mod variable;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::bufread::ZlibDecoder;

use crate::error::DataError;
use crate::files::open_file;

pub(crate) use variable::Variable;

/// Most variables of a file.
const VARIABLES: usize = 64;
/// Most axes of an array.
const AXES: u64 = 8;
/// Longest name of a variable; MATLAB allows 63 bytes.
const NAME: u64 = 255;
/// What any compressed element may inflate to.
const FREE: u64 = 64 << 20;
/// How many times its size a larger one may inflate to; zlib reaches 1,032 times, pictures about twice.
const RATIO: u64 = 64;
/// Bytes of the file's header.
const HEADER: u64 = 128;

/// Types of elements.
const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// Classes of arrays: those of numbers reach from double (6) to uint64 (15).
const CLASS_UINT8: u8 = 9;
/// A class without sizes and name, which is passed over.
const CLASS_OPAQUE: u8 = 17;

/// Why a file is refused.
pub(crate) enum Fault {
    /// The file system failed, or the data ended or did not inflate.
    Io(io::Error),
    /// What is wrong, as a clause.
    Bad(String),
    /// Something is above a cap.
    TooLarge { what: String, limit: String },
    /// Another reader's error.
    Data(DataError),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Fault {
    fn at(self, path: &Path) -> DataError {
        let bad = |reason: String| DataError::BadMat { path: path.to_owned(), reason };
        match self {
            Self::Io(error) if error.raw_os_error().is_some() => {
                DataError::Unreadable { path: path.to_owned(), source: error }
            }
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                bad("it is truncated; get the file again".to_owned())
            }
            Self::Io(error) => bad(format!("it is damaged: {error}; get the file again")),
            Self::Bad(reason) => bad(reason),
            Self::TooLarge { what, limit } => DataError::TooLarge { path: path.to_owned(), what, limit },
            Self::Data(error) => error,
        }
    }
}

fn bad<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Bad(reason.into()))
}

/// Hands every named variable of the file at `path` to `visit`, in the order of the file. A variable whose values `visit`
/// does not read is passed over.
pub(crate) fn read(
    path: &Path,
    wanted: &str,
    mut visit: impl FnMut(&mut Variable<'_>) -> Result<(), Fault>,
) -> Result<(), DataError> {
    let (file, len) = open_file(path, wanted)?;
    let mut file = BufReader::with_capacity(1 << 16, file);
    walk(&mut file, len, &mut visit).map_err(|fault| fault.at(path))
}

type Visit<'a> = &'a mut dyn FnMut(&mut Variable<'_>) -> Result<(), Fault>;

fn walk(file: &mut BufReader<File>, len: u64, visit: Visit<'_>) -> Result<(), Fault> {
    let is_big_endian = header(file)?;
    let mut at = HEADER;
    for count in 0.. {
        if file.fill_buf()?.is_empty() {
            return Ok(());
        }
        if count == VARIABLES {
            let what = "the number of its variables".to_owned();
            return Err(Fault::TooLarge { what, limit: VARIABLES.to_string() });
        }
        let mut plain = Body { input: file, left: 8, is_big_endian };
        let (kind, size) = (plain.word()?, u64::from(plain.word()?));
        at += 8;
        if size > len.saturating_sub(at) {
            return bad(format!(
                "it is truncated: a variable at byte {at} has {size} bytes by its header, {} are left",
                len.saturating_sub(at)
            ));
        }
        match kind {
            MATRIX => Body { input: file, left: size, is_big_endian }.variable(visit)?,
            COMPRESSED => compressed(&mut file.take(size), size, is_big_endian, visit)?,
            kind => {
                return bad(format!(
                    "it has an element of type {kind} at byte {at} where a variable belongs"
                ));
            }
        }
        at += size;
        file.seek(SeekFrom::Start(at))?;
    }
    Ok(())
}

/// True where numbers are big-endian.
fn header(file: &mut impl Read) -> Result<bool, Fault> {
    const HINT: &str = "only version 5 is read; in MATLAB save it with -v7, in Python with scipy.io.savemat";
    let mut bytes = Vec::new();
    file.take(HEADER).read_to_end(&mut bytes)?;
    if bytes.starts_with(b"\x89HDF\r\n\x1a\n") || bytes.starts_with(b"MATLAB 7.3 ") {
        return bad(format!("it is a MATLAB 7.3 (HDF5) file; {HINT}"));
    }
    // The text of a version 5 file has no zero among its first four bytes, the first word of version 4 always has one.
    if bytes.len() >= 4 && bytes[..4].contains(&0) {
        return bad(format!("it is a MATLAB version 4 file or none at all; {HINT}"));
    }
    if bytes.len() < HEADER as usize {
        return bad(format!("it has {} bytes, the header alone takes {HEADER}", bytes.len()));
    }
    match [bytes[124], bytes[125], bytes[126], bytes[127]] {
        [0x00, 0x01, b'I', b'M'] => Ok(false),
        [0x01, 0x00, b'M', b'I'] => Ok(true),
        [_, _, b'I', b'M'] | [_, _, b'M', b'I'] => bad(format!("it has another version; {HINT}")),
        _ => bad(format!("it has no mark of a MATLAB file; {HINT}")),
    }
}

/// One variable that is a zlib stream of `size` bytes.
fn compressed(
    input: &mut dyn BufRead,
    size: u64,
    is_big_endian: bool,
    visit: Visit<'_>,
) -> Result<(), Fault> {
    let mut inflated = ZlibDecoder::new(input);
    let mut tag = Body { input: &mut inflated, left: 8, is_big_endian };
    let (kind, len) = (tag.word()?, u64::from(tag.word()?));
    if kind != MATRIX {
        let what = if kind == COMPRESSED { "another compressed element" } else { "no array" };
        return bad(format!("a compressed variable holds {what}"));
    }
    let limit = FREE.max(size.saturating_mul(RATIO));
    if len > limit {
        let what = format!("a variable of {len} bytes, inflated from {size},");
        return Err(Fault::TooLarge { what, limit: format!("{limit} bytes") });
    }
    let mut body = Body { input: &mut inflated, left: len, is_big_endian };
    body.variable(visit)?;
    if body.left >= 8 {
        return Ok(());
    }
    // The checksum comes behind the last byte and is compared where the end is read.
    let padding = body.left;
    let mut rest = [0; 16];
    let mut count = 0;
    while count < rest.len() {
        match inflated.read(&mut rest[count..])? {
            0 => break,
            more => count += more,
        }
    }
    if count as u64 >= padding + 8 {
        return bad("a compressed variable goes on behind its end");
    }
    Ok(())
}

/// The rest of an element.
pub(crate) struct Body<'a> {
    input: &'a mut dyn Read,
    left: u64,
    is_big_endian: bool,
}

/// An element within an array: its type, its size, and its bytes where they lie in the tag itself.
struct Tag {
    kind: u32,
    len: u64,
    short: Option<[u8; 4]>,
}

impl Body<'_> {
    fn exact(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        if bytes.len() as u64 > self.left {
            return bad("a part of a variable is longer than the variable");
        }
        self.input.read_exact(bytes)?;
        self.left -= bytes.len() as u64;
        Ok(())
    }

    fn word(&mut self) -> Result<u32, Fault> {
        let mut bytes = [0; 4];
        self.exact(&mut bytes)?;
        Ok(if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn tag(&mut self) -> Result<Tag, Fault> {
        let word = self.word()?;
        let (kind, len) = (word & 0xffff, word >> 16);
        if len == 0 {
            return Ok(Tag { kind, len: u64::from(self.word()?), short: None });
        }
        if len > 4 {
            return bad(format!("a short element has {len} bytes, at most 4 fit"));
        }
        let mut bytes = [0; 4];
        self.exact(&mut bytes)?;
        Ok(Tag { kind, len: u64::from(len), short: Some(bytes) })
    }

    /// The bytes of an element of type `kind`, `limit` at most, with the padding behind them.
    fn part(&mut self, kind: u32, what: &str, limit: u64) -> Result<Vec<u8>, Fault> {
        let tag = self.tag()?;
        if tag.kind != kind {
            return bad(format!("the {what} of a variable are of type {}, not {kind}", tag.kind));
        }
        if tag.len > limit {
            return bad(format!("the {what} of a variable take {} bytes, at most {limit} are read", tag.len));
        }
        if let Some(bytes) = tag.short {
            return Ok(bytes[..tag.len as usize].to_vec());
        }
        let mut bytes = vec![0; tag.len as usize];
        self.exact(&mut bytes)?;
        self.padding(tag.len)?;
        Ok(bytes)
    }

    /// Passes over what fills `len` bytes up to eight; the last element may do without.
    fn padding(&mut self, len: u64) -> Result<(), Fault> {
        let count = (len.wrapping_neg() % 8).min(self.left);
        self.exact(&mut [0; 8][..count as usize])
    }

    /// Reads what stands before the values and hands the variable over.
    fn variable(&mut self, visit: Visit<'_>) -> Result<(), Fault> {
        let is_big_endian = self.is_big_endian;
        let words = move |bytes: &[u8]| -> Vec<u32> {
            let word = |b: &[u8]| {
                let bytes = [b[0], b[1], b[2], b[3]];
                if is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
            };
            bytes.chunks_exact(4).map(word).collect()
        };
        let flags = self.part(UINT32, "flags", 8)?;
        let Some(&flags) = words(&flags).first() else { return bad("a variable has no flags") };
        let class = (flags & 0xff) as u8;
        if class == CLASS_OPAQUE {
            return Ok(());
        }
        let sizes = self.part(INT32, "sizes", 4 * AXES)?;
        let mut dims = Vec::new();
        for dim in words(&sizes) {
            match u64::try_from(dim.cast_signed()) {
                Ok(dim) => dims.push(dim),
                Err(_) => return bad(format!("a variable has the size {}", dim.cast_signed())),
            }
        }
        let name = self.part(INT8, "name", NAME)?;
        let name = String::from_utf8_lossy(&name).into_owned();
        visit(&mut Variable { name, dims, class, is_complex: flags & 0x0800 != 0, body: self })
    }
}
