//! What can go wrong before a device is open.

use crate::AdapterInfo;

/// No adapter could be chosen or opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GpuError {
    /// There is no adapter.
    #[error("no Vulkan, Metal or DX12 adapter found{}; {ADVICE}", looked(.backends))]
    NoAdapter {
        /// The value of `WGPU_BACKEND`, where it restricts the search.
        backends: Option<String>,
    },
    /// No adapter answers to the request.
    #[error("no adapter matches `{spec}`; there {}", list(.adapters))]
    Unknown {
        /// The request.
        spec: String,
        /// What there is.
        adapters: Vec<AdapterInfo>,
    },
    /// Several adapters answer to the request.
    #[error("`{spec}` matches several adapters, name one by its index; there {}", list(.adapters))]
    Ambiguous {
        /// The request.
        spec: String,
        /// The adapters that match.
        adapters: Vec<AdapterInfo>,
    },
    /// The adapter exists but gives no device with WebGPU's default limits.
    #[error("adapter `{adapter}` cannot be opened: {message}")]
    Device {
        /// The adapter's name.
        adapter: String,
        /// The driver's words.
        message: String,
    },
}

const ADVICE: &str = "install a graphics driver, or the software one: mesa-vulkan-drivers (Debian, Ubuntu, Fedora), \
                      vulkan-swrast (Arch), libvulkan_lvp (openSUSE)";

fn looked(backends: &Option<String>) -> String {
    backends.as_ref().map_or_else(String::new, |b| format!(" (WGPU_BACKEND is `{b}`)"))
}

fn list(adapters: &[AdapterInfo]) -> String {
    let verb = if adapters.len() == 1 { "is" } else { "are" };
    let names: Vec<String> = adapters.iter().map(ToString::to_string).collect();
    format!("{verb} {}", names.join("; "))
}
