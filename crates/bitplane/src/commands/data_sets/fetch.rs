//! `data fetch`: a public data set on this machine's disk.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::FetchArgs;
use crate::exit::Failure;
use crate::fetch::{self, FetchError, Options, data_folder, place};
use crate::output;
use crate::report::{SCHEMA, print_json};

#[derive(Serialize)]
struct Report {
    schema: u32,
    set: String,
    folder: String,
    /// What `train --data` takes.
    data: String,
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    name: String,
    bytes: u64,
    sha256: String,
}

/// Fetches a set, or checks that it is there.
///
/// # Errors
/// [`FetchError`].
pub fn run(args: &FetchArgs) -> Result<(), Failure> {
    let mut set = fetch::find(&args.name)?;
    if let Some(mirror) = &args.mirror {
        set.bases = vec![mirror.clone()];
    }
    if let Some(manifest) = &args.manifest {
        set.files = fetch::manifest(manifest)?;
    }
    let folder = match &args.to {
        Some(folder) => std::path::absolute(folder).unwrap_or_else(|_| folder.clone()),
        None => data_folder().ok_or(FetchError::NoFolder)?.join(set.name),
    };
    fetch::fetch(&set, &folder, Options { offline: args.offline, tries: args.tries })?;
    let path: PathBuf = place(&folder, set.entry);
    let spec =
        if args.to.is_some() { format!("{}:{}", set.name, path.display()) } else { set.name.to_owned() };
    if args.json {
        let files = set.files.into_iter();
        return print_json(&Report {
            schema: SCHEMA,
            set: set.name.to_owned(),
            folder: folder.display().to_string(),
            data: spec,
            files: files.map(|f| File { name: f.name, bytes: f.bytes, sha256: f.sha256 }).collect(),
        });
    }
    output::result(&format!("{} is complete; use it with --data {}", set.name, data::printable(&spec)))
}
