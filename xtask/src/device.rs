//! The adapters that a task runs on.

use anyhow::Result;
use gpu::{AdapterInfo, Gpu};

/// The adapters that `--device` and `--all` name.
pub fn chosen(device: Option<&str>, all: bool) -> Result<Vec<AdapterInfo>> {
    if all {
        let adapters = pollster::block_on(gpu::adapters());
        if !adapters.is_empty() {
            return Ok(adapters);
        }
    }
    let selected = pollster::block_on(gpu::select(device))?;
    if let Some(notice) = &selected.notice {
        eprintln!("{notice}");
    }
    Ok(vec![selected.info])
}

/// Opens `adapter` with the kernels' shader library.
pub fn open(adapter: &AdapterInfo) -> Result<Gpu> {
    pollster::block_on(async {
        let selected = gpu::select(Some(&adapter.index.to_string())).await?;
        Ok(Gpu::open(selected, kernels::SHARED).await?)
    })
}
