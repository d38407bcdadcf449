//! Why a file, or a picture, was refused.

use std::{error, fmt, io, path::PathBuf};

/// Why a packed network cannot be read, or a picture cannot be classified.
#[derive(Debug)]
pub enum Error {
    /// A file that was refused, and why.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<Error>,
    },
    /// The file system failed.
    Io(io::Error),
    /// Not a safetensors file, or beyond the limits that are put on one.
    Malformed {
        /// What is wrong.
        message: String,
    },
    /// Another version of the format.
    Format {
        /// The version found; 0 where there is none.
        found: u64,
    },
    /// The contents are not those that were written.
    Digest,
    /// A layer that makes no sense.
    Layer {
        /// Its name.
        layer: String,
        /// What is wrong.
        message: String,
    },
    /// A tensor that is not what its layer needs.
    Tensor {
        /// Its name.
        tensor: String,
        /// What is wrong.
        message: String,
    },
    /// A file without the network that is asked for.
    Narrower {
        /// Bits of weights and activations asked for.
        found: [u32; 2],
        /// Those of the networks in the file.
        known: Vec<[u32; 2]>,
    },
    /// Pixels of another size than the network's pictures.
    Picture {
        /// Bytes given.
        found: usize,
        /// Bytes of the pictures.
        needed: usize,
    },
    /// A class score is infinite or not a number.
    NonFinite,
}

impl Error {
    pub(crate) fn malformed(message: impl fmt::Display) -> Self {
        Self::Malformed { message: printable(&message.to_string()) }
    }

    pub(crate) fn layer(layer: &str, message: impl fmt::Display) -> Self {
        Self::Layer { layer: printable(layer), message: printable(&message.to_string()) }
    }

    pub(crate) fn tensor(tensor: &str, message: impl fmt::Display) -> Self {
        Self::Tensor { tensor: printable(tensor), message: printable(&message.to_string()) }
    }

    /// True where the file system failed, not the file's contents.
    pub fn is_io(&self) -> bool {
        match self {
            Self::File { source, .. } => source.is_io(),
            Self::Io(_) => true,
            _ => false,
        }
    }
}

/// Text from a file that is safe to print on a terminal, cut where it is long.
pub(crate) fn printable(text: &str) -> String {
    const LONGEST: usize = 300;
    let mut shown: String = text
        .chars()
        .take(LONGEST)
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    if text.chars().count() > LONGEST {
        shown.push_str("...");
    }
    shown
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, source } => {
                write!(f, "{} {source}", printable(&path.display().to_string()))
            }
            Self::Io(source) => write!(f, "cannot be read: {source}"),
            Self::Malformed { message } => write!(f, "is not a packed network: {message}"),
            Self::Format { found } => write!(
                f,
                "has packed format {found}, this program reads 1 to {}; export the network again with this program",
                crate::FORMAT
            ),
            Self::Digest => {
                write!(f, "is damaged (its SHA-256 is not the one written in it); export or copy it again")
            }
            Self::Layer { layer, message } => write!(f, "is not a usable network: layer `{layer}` {message}"),
            Self::Tensor { tensor, message } => {
                write!(f, "is not a usable network: tensor `{tensor}` {message}")
            }
            Self::Narrower { found: [weight, activation], known } => {
                let known: Vec<String> = known.iter().map(|[w, a]| format!("{w},{a}")).collect();
                write!(
                    f,
                    "has no network of {weight} bits of weights and {activation} of activations, but {}",
                    known.join(" and ")
                )
            }
            Self::Picture { found, needed } => {
                write!(f, "{found} bytes of pixels, a whole number of pictures of {needed} bytes is needed")
            }
            Self::NonFinite => write!(f, "a class score is not a finite number"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source.as_ref()),
            Self::Io(source) => Some(source),
            _ => None,
        }
    }
}
