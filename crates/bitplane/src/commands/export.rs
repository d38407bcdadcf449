//! `export`: a trained network as one file for deployment.

use std::path::{Path, PathBuf};

use pollster::block_on;
use serde::Serialize;

use super::trained::find;
use crate::cli::{CutArgs, ExportArgs, ExportFormat};
use crate::exit::Failure;
use crate::output;
use crate::packed_network::{Deployed, pack, pack_networks};
use crate::report::{DeviceReport, SCHEMA, bytes, print_json};
use crate::settings::Settings;
use crate::storage::{Disk, replace};

#[derive(Serialize)]
struct Report {
    schema: u32,
    run: String,
    checkpoint: String,
    output: String,
    /// Bytes of the file.
    bytes: u64,
    /// Bytes that its numbers take without names, padding and description.
    counted_bytes: u64,
    /// Bytes of the trained parameters in f32.
    float_bytes: u64,
    device: DeviceReport,
}

/// Writes the file. Scales, codes and thresholds are those that an evaluation on the adapter uses.
///
/// # Errors
/// A refused run, a network that has no such form, a device failure, a file that cannot be written.
pub fn run(args: &ExportArgs) -> Result<(), Failure> {
    let ExportFormat::Packed = args.format;
    let path = target(&args.output)?;
    let flags = Settings { device: args.device.clone(), ..Settings::default() };
    let trained = find(&args.run, args.checkpoint, flags.clone())?;
    let Some(checkpoint) = trained.checkpoint() else {
        let message = format!("{} is packed already; name the folder of a run", output::shown(&args.run));
        return Err(Failure::Usage { message });
    };
    let (mut session, input) = trained.open(1, &[])?;
    let layers = block_on(session.deployed())?;
    let scale = trained.preprocess().scale();
    let narrower = trained.widths().iter().skip(1).map(|&bits| {
        let cut = CutArgs { bits: Some(bits.to_string()), ..CutArgs::default() };
        let (mut session, _) = find(&args.run, args.checkpoint, flags.clone())?.cut(&cut)?.open(1, &[])?;
        Ok(Deployed { bits: [bits, bits], layers: block_on(session.deployed())? })
    });
    let narrower = narrower.collect::<Result<Vec<_>, Failure>>()?;
    let file = match narrower.as_slice() {
        [] => pack(&layers, (&input, scale), checkpoint)?,
        narrower => pack_networks(&layers, narrower, (&input, scale), checkpoint)?,
    };
    let contents = file.encode();
    // What no reader takes is not written.
    packed::File::decode(&contents)?;
    let written = |source| Failure::Write { path: path.clone(), source };
    replace(&Disk, &path, &contents).map_err(|error| written(error.source))?;
    let (size, float_bytes) = (contents.len() as u64, 4 * session.parameter_count());
    if args.json {
        return print_json(&Report {
            schema: SCHEMA,
            run: args.run.display().to_string(),
            checkpoint: trained.file,
            output: path.display().to_string(),
            bytes: size,
            counted_bytes: file.counted_bits().div_ceil(8),
            float_bytes,
            device: DeviceReport::from(session.executor_mut().info()),
        });
    }
    output::result(&format!(
        "{} of {}: {}, {:.1} times smaller than its parameters in f32",
        output::shown(&path),
        trained.file,
        bytes(size),
        float_bytes as f64 / size as f64
    ))
}

/// The absolute path of a file that may be written.
fn target(path: &Path) -> Result<PathBuf, Failure> {
    let refused = |kind: std::io::ErrorKind| Failure::Write { path: path.to_owned(), source: kind.into() };
    let full = std::path::absolute(path).map_err(|error| refused(error.kind()))?;
    match full.file_name() {
        Some(_) if !full.is_dir() => Ok(full),
        _ => Err(refused(std::io::ErrorKind::IsADirectory)),
    }
}
