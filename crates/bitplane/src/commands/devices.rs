//! `devices`: the adapters of this machine.

use gpu::AdapterInfo;
use pollster::block_on;
use serde::Serialize;

use crate::cli::DevicesArgs;
use crate::exit::Failure;
use crate::output;
use crate::report::{DeviceReport, SCHEMA, print_json};

#[derive(Serialize)]
struct Listed {
    index: usize,
    #[serde(flatten)]
    device: DeviceReport,
}

#[derive(Serialize)]
struct Listing {
    schema: u32,
    devices: Vec<Listed>,
}

/// Lists them, best first; as JSON also where there is none.
///
/// # Errors
/// [`Failure::Gpu`] where there is none.
pub fn run(args: &DevicesArgs) -> Result<(), Failure> {
    let adapters = block_on(gpu::adapters());
    if args.json {
        let listed = |info: &AdapterInfo| Listed { index: info.index, device: info.into() };
        print_json(&Listing { schema: SCHEMA, devices: adapters.iter().map(listed).collect() })?;
    } else {
        for info in &adapters {
            output::result(&data::printable(&info.to_string()))?;
        }
    }
    if adapters.is_empty() {
        // Choosing among none says what was looked for and what to install.
        block_on(gpu::select(None))?;
    }
    Ok(())
}
