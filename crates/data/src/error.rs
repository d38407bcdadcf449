use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

/// Why a data set or an image could not be used.
///
/// Three classes: a wrong request ([`DataError::is_usage`]), a failing file system ([`DataError::is_io`]), and for
/// everything else data that is missing or refused. Names that come from files are escaped in the messages.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The part before the colon names no reader.
    #[error("unknown data set `{}`; known are {known}", printable(.kind))]
    UnknownKind {
        /// What was asked for.
        kind: String,
        /// All kinds, separated by commas.
        known: String,
    },
    /// The reader needs a path and got none.
    #[error("data set `{kind}` needs a path; write {kind}:PATH, where PATH is {wanted}")]
    PathNeeded {
        /// The kind of data set.
        kind: &'static str,
        /// What the path must lead to.
        wanted: &'static str,
    },
    /// The embedded set takes no path.
    #[error("data set `{kind}` is built in and takes no path; write just {kind}")]
    PathRefused {
        /// The kind of data set.
        kind: &'static str,
    },
    /// An image was asked for in a size or channel count that cannot be made.
    #[error(
        "cannot make an image of {height}x{width} with {channels} channels; \
         sides go from 1 to {limit}, channels are 1 or 3"
    )]
    BadShape {
        /// Rows asked for.
        height: u32,
        /// Columns asked for.
        width: u32,
        /// Channels asked for.
        channels: u32,
        /// Largest side.
        limit: u32,
    },
    /// The operating system failed: permission, disk, too many open files.
    #[error("cannot read {}: {source}", shown(.path))]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file or folder is not there.
    #[error("{} does not exist; expected {wanted}", shown(.path))]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// What should be there.
        wanted: String,
    },
    /// Something else lies where a file or folder should be.
    #[error("{} is not a {kind}; expected {wanted}", shown(.path))]
    WrongType {
        /// Where it was looked for.
        path: PathBuf,
        /// `file` or `folder`.
        kind: &'static str,
        /// What should be there.
        wanted: String,
    },
    /// A file is too short or too long.
    #[error(
        "{} holds {found}, wanted {wanted}; the file is damaged or not of this format, get it again",
        shown(.path)
    )]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Bytes found.
        found: String,
        /// Bytes wanted.
        wanted: String,
    },
    /// A file, or what it would take in memory, is above a cap.
    #[error("{}: {what} would be above the limit of {limit}; refused", shown(.path))]
    TooLarge {
        /// The file or folder.
        path: PathBuf,
        /// What is too large.
        what: String,
        /// The cap, with its unit.
        limit: String,
    },
    /// The first word of an IDX file is wrong.
    #[error(
        "{} is not an IDX file of {wanted}: it begins with {found:#010x}, not {magic:#010x}{hint}",
        shown(.path)
    )]
    NotIdx {
        /// The file.
        path: PathBuf,
        /// `images` or `labels`.
        wanted: &'static str,
        /// The first word, big-endian.
        found: u32,
        /// The word that belongs there.
        magic: u32,
        /// What it may be instead.
        hint: &'static str,
    },
    /// Two files that belong together count differently.
    #[error(
        "{} has {images} images but {} has {labels} labels; the files do not belong together",
        shown(.images_path),
        shown(.labels_path)
    )]
    CountMismatch {
        /// The file of images.
        images_path: PathBuf,
        /// Its count.
        images: u64,
        /// The file of labels.
        labels_path: PathBuf,
        /// Its count.
        labels: u64,
    },
    /// A file does not fit the others of its set.
    #[error("{} has {found}, but {} has {wanted}; the files do not belong together", shown(.path), shown(.other))]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: String,
        /// The file before it.
        other: PathBuf,
        /// What that one has.
        wanted: String,
    },
    /// A label names no class.
    #[error("{}, record {record}: {what} {label} is out of range, largest is {largest}", shown(.path))]
    LabelOutOfRange {
        /// The file.
        path: PathBuf,
        /// Number of the record, from 0.
        record: usize,
        /// `label`, or which one where a record has several.
        what: &'static str,
        /// The label found.
        label: u32,
        /// The largest label allowed.
        largest: u32,
    },
    /// A gzip stream ends before its end.
    #[error("{} is truncated: its gzip stream ends early; get the file again", shown(.path))]
    TruncatedGzip {
        /// The file.
        path: PathBuf,
    },
    /// Bytes that are no gzip member follow the stream.
    #[error("{} has trailing bytes after its gzip stream; get the file again", shown(.path))]
    TrailingGarbage {
        /// The file.
        path: PathBuf,
    },
    /// A gzip stream does not inflate or fails its checksum.
    #[error("{} is damaged: {reason}; get the file again", shown(.path))]
    CorruptGzip {
        /// The file.
        path: PathBuf,
        /// What the inflater says.
        reason: String,
    },
    /// A tar archive is malformed.
    #[error("{} is not a usable tar archive: {}", shown(.path), printable(.reason))]
    BadArchive {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A MATLAB file is not what is wanted.
    #[error("{} is not a usable MATLAB file: {}", shown(.path), printable(.reason))]
    BadMat {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A text file with class names is malformed, or a class folder has a name that cannot be used.
    #[error("{}: {}", shown(.path), printable(.reason))]
    BadNames {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A folder or file holds too little to learn from.
    #[error("{} {found}; expected {wanted}", shown(.path))]
    TooFew {
        /// The folder or file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What it should hold.
        wanted: String,
    },
    /// A file is not a PNG or JPEG that can be decoded within the limits.
    #[error("{} cannot be used as an image: {}; only PNG and JPEG are read", shown(.path), printable(.reason))]
    BadImage {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl DataError {
    /// True where the request itself is wrong: an unknown kind, a missing path, an impossible shape.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::UnknownKind { .. }
                | Self::PathNeeded { .. }
                | Self::PathRefused { .. }
                | Self::BadShape { .. }
        )
    }

    /// True where the file system failed (permission, disk) rather than the data being missing or refused.
    pub fn is_io(&self) -> bool {
        matches!(self, Self::Unreadable { .. })
    }
}

/// `text` with control and text-direction characters escaped, safe to print on a terminal.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let reorders =
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || reorders {
            write!(out, "{}", c.escape_default()).expect("writing to a String cannot fail");
        } else {
            out.push(c);
        }
    }
    out
}

fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}

/// The error for a failed access to `path`, where `wanted` should lie.
pub(crate) fn access_error(path: &Path, wanted: &str, source: io::Error) -> DataError {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    let path = path.to_owned();
    match source.kind() {
        // A name that cannot exist (too long, or with a NUL) is a missing file, too.
        NotFound | NotADirectory | InvalidFilename | InvalidInput => {
            DataError::Missing { path, wanted: wanted.to_owned() }
        }
        _ => DataError::Unreadable { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let path = PathBuf::from("a\nb\u{1b}[31m\u{202e}é");
        let text = DataError::TruncatedGzip { path }.to_string();
        assert!(text.starts_with("a\\nb\\u{1b}[31m\\u{202e}é is truncated"), "{text}");
    }

    #[test]
    fn classes_of_errors() {
        let path = Path::new("x");
        let missing = access_error(path, "y", io::Error::from(io::ErrorKind::NotFound));
        let denied = access_error(path, "y", io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(!missing.is_io() && !missing.is_usage(), "{missing}");
        assert!(denied.is_io() && !denied.is_usage(), "{denied}");
        assert!(DataError::PathRefused { kind: "digits" }.is_usage());
    }
}
