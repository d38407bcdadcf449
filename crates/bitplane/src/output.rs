//! Standard output carries results, standard error everything else; neither may panic when its reader is gone.

use std::io::{self, Write};
use std::path::Path;

use crate::exit::Failure;

/// Writes one result, ended by a line break, to standard output.
///
/// A reader that went away (`| head`) wanted no more; that is not an error.
///
/// # Errors
/// [`Failure::Output`] where standard output fails otherwise, such as on a full disk.
pub fn result(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output { source: error }),
        _ => Ok(()),
    }
}

/// Writes one remark, ended by a line break, to standard error.
pub fn note(text: &str) {
    // There is nowhere left to report a failing standard error.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A path as text that is safe to print on a terminal.
pub fn shown(path: &Path) -> String {
    data::printable(&path.display().to_string())
}

/// Text of several lines with each line made safe to print.
pub fn printable_lines(text: &str) -> String {
    text.lines().map(data::printable).collect::<Vec<_>>().join("\n")
}
