//! What adapters there are.

use std::fmt;

/// Kinds of adapters, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceType {
    /// A graphics card with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU passed into a virtual machine.
    Virtual,
    /// A GPU of unknown kind.
    Other,
    /// A software implementation on the processor.
    Software,
}

impl fmt::Display for DeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Other => "other",
            Self::Software => "software",
        })
    }
}

impl From<wgpu::DeviceType> for DeviceType {
    fn from(kind: wgpu::DeviceType) -> Self {
        match kind {
            wgpu::DeviceType::DiscreteGpu => Self::Discrete,
            wgpu::DeviceType::IntegratedGpu => Self::Integrated,
            wgpu::DeviceType::VirtualGpu => Self::Virtual,
            wgpu::DeviceType::Other => Self::Other,
            wgpu::DeviceType::Cpu => Self::Software,
        }
    }
}

/// One adapter of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterInfo {
    /// Position in the ranked list.
    pub index: usize,
    /// The adapter's name.
    pub name: String,
    /// Graphics API: `vulkan`, `metal`, `dx12` or `webgpu`.
    pub backend: String,
    /// Kind of adapter.
    pub device_type: DeviceType,
    /// Driver name.
    pub driver: String,
    /// Driver version.
    pub driver_info: String,
    /// Lanes of a subgroup, where all have the same number and the variable `BITPLANE_SUBGROUPS` is not `off`.
    pub subgroup: Option<u32>,
}

impl fmt::Display for AdapterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, name, backend, device_type, driver, driver_info, .. } = self;
        write!(f, "{index}: {name} ({device_type}, {backend}, {driver} {driver_info})")
    }
}

/// Every usable adapter: discrete, integrated, virtual, other, software.
pub async fn adapters() -> Vec<AdapterInfo> {
    enumerate().await.into_iter().map(|(info, _)| info).collect()
}

pub(crate) async fn enumerate() -> Vec<(AdapterInfo, wgpu::Adapter)> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: backends(),
        flags: wgpu::InstanceFlags::empty().with_env(),
        // Vulkan and DX12 report a budget; without a threshold they swap instead of failing.
        memory_budget_thresholds: wgpu::MemoryBudgetThresholds {
            for_resource_creation: Some(95),
            for_device_loss: None,
        },
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let found = instance.enumerate_adapters(backends()).await;
    let mut ranked: Vec<_> = found.into_iter().map(|adapter| (describe(&adapter), adapter)).collect();
    ranked.sort_by_key(|(info, _)| info.device_type);
    for (index, (info, _)) in ranked.iter_mut().enumerate() {
        info.index = index;
    }
    ranked
}

// The GL backend would list lavapipe a second time, with fewer abilities.
#[cfg(not(target_arch = "wasm32"))]
fn backends() -> wgpu::Backends {
    let native = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    wgpu::Backends::from_env().map_or(native, |chosen| chosen & native)
}

#[cfg(target_arch = "wasm32")]
fn backends() -> wgpu::Backends {
    wgpu::Backends::BROWSER_WEBGPU
}

fn describe(adapter: &wgpu::Adapter) -> AdapterInfo {
    let info = adapter.get_info();
    let fixed = info.subgroup_min_size == info.subgroup_max_size;
    let offered = adapter.features().contains(wgpu::Features::SUBGROUP) && subgroups_wanted();
    AdapterInfo {
        index: 0,
        name: info.name,
        backend: info.backend.to_string(),
        device_type: info.device_type.into(),
        driver: info.driver,
        driver_info: info.driver_info,
        subgroup: (offered && fixed).then_some(info.subgroup_min_size),
    }
}

/// A switch for tests: without subgroups every kernel must have a portable rival.
fn subgroups_wanted() -> bool {
    std::env::var("BITPLANE_SUBGROUPS").map_or(true, |value| value != "off")
}
