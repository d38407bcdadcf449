//! Files that the user named: where they go, and whole or not at all.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::Picture;
use crate::exit::Failure;
use crate::output::shown;
use crate::storage::{Disk, replace};

/// How a picture is stored, by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines and text.
    Svg,
    /// Dots.
    Png,
}

impl Format {
    /// The format that the name of the file `path` asks for with `flag`.
    ///
    /// # Errors
    /// [`Failure::Usage`] for any other than `.svg` and `.png`.
    pub fn of(flag: &str, path: &Path) -> Result<Self, Failure> {
        let end = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
        match end.as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => {
                let message = format!("{flag} {} names no picture; end it in .svg or .png", shown(path));
                Err(Failure::Usage { message })
            }
        }
    }
}

/// Where the file `path` goes, as a whole path.
///
/// # Errors
/// [`Failure::Write`] where no file can be.
pub fn place(path: &Path) -> Result<PathBuf, Failure> {
    let failed = |source: io::Error| Failure::Write { path: path.to_owned(), source };
    let place = std::path::absolute(path).map_err(failed)?;
    let folder = place.parent().filter(|_| !place.is_dir() && place.file_name().is_some());
    let folder = folder.ok_or_else(|| failed(io::ErrorKind::IsADirectory.into()))?;
    match fs::metadata(folder).map_err(failed)?.is_dir() {
        true => Ok(place),
        false => Err(failed(io::ErrorKind::NotADirectory.into())),
    }
}

/// Writes the file `path`, or replaces it.
///
/// # Errors
/// [`Failure::Write`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    replace(&Disk, &place(path)?, bytes)
        .map_err(|error| Failure::Write { path: path.to_owned(), source: error.source })
}

/// Writes `picture` to the file `path`.
///
/// # Errors
/// [`Failure::Write`].
pub fn save(picture: &Picture, format: Format, path: &Path) -> Result<(), Failure> {
    match format {
        Format::Svg => write(path, picture.svg().as_bytes()),
        Format::Png => write(path, &picture.png()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_name_decides() {
        let of = |name: &str| Format::of("--output", name.as_ref());
        assert_eq!(of("a.svg").unwrap(), Format::Svg);
        assert_eq!(of("x/b.PNG").unwrap(), Format::Png);
        for wrong in ["a", "a.jpg", "svg", ".svg", "a.svg.gz", ""] {
            let failure = of(wrong).unwrap_err();
            assert_eq!(failure.exit().code(), 2, "{wrong}");
            assert!(failure.to_string().contains(".svg or .png"), "{failure}");
        }
    }
}
