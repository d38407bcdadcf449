//! Which adapter to use.

use crate::{AdapterInfo, DeviceType, GpuError, adapter};

/// An adapter that has been chosen but not opened.
#[derive(Debug)]
pub struct Selected {
    /// The adapter.
    pub info: AdapterInfo,
    /// A line for the user where a software adapter was chosen for want of another.
    pub notice: Option<String>,
    pub(crate) adapter: wgpu::Adapter,
}

/// Chooses an adapter by index, type (`discrete`, `integrated`, `virtual`, `other`, `software`, `cpu`, or `gpu` for
/// any but software) or part of its name; without a request by `WGPU_ADAPTER_NAME`, else the best.
///
/// # Errors
/// No adapter, none that matches, or several different ones.
pub async fn select(spec: Option<&str>) -> Result<Selected, GpuError> {
    let mut found = adapter::enumerate().await;
    let infos: Vec<AdapterInfo> = found.iter().map(|(info, _)| info.clone()).collect();
    let variable = std::env::var("WGPU_ADAPTER_NAME").ok().filter(|name| !name.is_empty());
    let spec = spec.or(variable.as_deref());
    let index = pick(&infos, spec)?;
    let (info, adapter) = found.swap_remove(index);
    let unasked = spec.is_none() && info.device_type == DeviceType::Software;
    let notice = unasked.then(|| format!("no GPU found, using the software adapter {} (slow)", info.name));
    Ok(Selected { info, notice, adapter })
}

/// The position in `adapters`, ranked best first, that `spec` asks for.
fn pick(adapters: &[AdapterInfo], spec: Option<&str>) -> Result<usize, GpuError> {
    if adapters.is_empty() {
        return Err(GpuError::NoAdapter { backends: std::env::var("WGPU_BACKEND").ok() });
    }
    let Some(spec) = spec.map(str::trim) else { return Ok(0) };
    let unknown = || GpuError::Unknown { spec: spec.to_owned(), adapters: adapters.to_vec() };
    if let Ok(index) = spec.parse::<usize>() {
        return if index < adapters.len() { Ok(index) } else { Err(unknown()) };
    }
    let wanted = spec.to_lowercase();
    if let Some(kind) = type_test(&wanted) {
        return adapters.iter().position(|a| kind(a.device_type)).ok_or_else(unknown);
    }
    let matches: Vec<&AdapterInfo> =
        adapters.iter().filter(|a| !wanted.is_empty() && a.name.to_lowercase().contains(&wanted)).collect();
    let best = matches.first().ok_or_else(unknown)?;
    // One card shows up once for every graphics API; the first in rank is meant.
    if matches.iter().any(|a| a.name != best.name) {
        let adapters = matches.into_iter().cloned().collect();
        return Err(GpuError::Ambiguous { spec: spec.to_owned(), adapters });
    }
    Ok(best.index)
}

fn type_test(word: &str) -> Option<fn(DeviceType) -> bool> {
    Some(match word {
        "discrete" => |t| t == DeviceType::Discrete,
        "integrated" => |t| t == DeviceType::Integrated,
        "virtual" => |t| t == DeviceType::Virtual,
        "other" => |t| t == DeviceType::Other,
        "software" | "cpu" => |t| t == DeviceType::Software,
        "gpu" => |t| t != DeviceType::Software,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Vec<AdapterInfo> {
        let rows = [
            ("Radeon RX 6600", "vulkan", DeviceType::Discrete),
            ("Radeon RX 6600", "dx12", DeviceType::Discrete),
            ("Radeon Graphics", "vulkan", DeviceType::Integrated),
            ("llvmpipe", "vulkan", DeviceType::Software),
        ];
        let info = |(index, (name, backend, device_type)): (usize, (&str, &str, DeviceType))| AdapterInfo {
            index,
            name: name.to_owned(),
            backend: backend.to_owned(),
            device_type,
            driver: String::new(),
            driver_info: String::new(),
            subgroup: None,
        };
        rows.into_iter().enumerate().map(info).collect()
    }

    #[test]
    fn index_type_and_name_find_their_adapter() {
        let machine = machine();
        let cases = [
            (None, 0),
            (Some("2"), 2),
            (Some("gpu"), 0),
            (Some("CPU"), 3),
            (Some("integrated"), 2),
            (Some("rx 66"), 0),
            (Some("llvm"), 3),
        ];
        for (spec, index) in cases {
            assert_eq!(pick(&machine, spec).expect("an adapter"), index, "{spec:?}");
        }
    }

    #[test]
    fn unknown_and_ambiguous_requests_carry_the_list() {
        let machine = machine();
        for spec in ["4", "virtual", "geforce", "", "-1"] {
            let error = pick(&machine, Some(spec)).expect_err("no adapter");
            assert!(matches!(&error, GpuError::Unknown { adapters, .. } if adapters.len() == 4), "{spec}");
            assert!(error.to_string().contains("llvmpipe"));
        }
        let error = pick(&machine, Some("radeon")).expect_err("two different adapters");
        assert!(matches!(&error, GpuError::Ambiguous { adapters, .. } if adapters.len() == 3));
    }

    #[test]
    fn no_adapter_says_what_to_install() {
        let error = pick(&[], None).expect_err("no adapter").to_string();
        assert!(error.contains("Vulkan") && error.contains("mesa-vulkan-drivers"), "{error}");
    }
}
