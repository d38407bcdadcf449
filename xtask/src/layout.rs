//! Host files and shaders agree: bindings, parameters, constants, sizes.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result};
use kernels::{Case, Entry, REGISTRY, SHARED};
use naga::{
    AddressSpace, ArraySize, GlobalVariable, Module, ScalarKind, ShaderStage, StorageAccess, TypeInner,
};
use recording::{Access, Binding, Kernel, MAX_LOOP_TRIPS};

use crate::{
    outcome::Outcome,
    root, shaders,
    shaders::{Constants, Parsed},
};

// One of the default eight is left for Metal, which passes buffer lengths in it.
const MAX_STORAGE_BUFFERS: usize = 7;
const MAX_WORKGROUP_THREADS: u32 = 256;
const MAX_WORKGROUP_BYTES: u32 = 16_384;

/// Runs the task; one check is one kernel, and one more is the list of shader files. True if nothing failed.
pub fn run() -> Result<bool> {
    let mut outcome = Outcome::default();
    let mut report = |name: &str, faults: Vec<String>| {
        for fault in &faults {
            println!("{name}: {fault}");
        }
        outcome.count(faults.is_empty());
    };
    report("shaders/", files()?);
    for entry in REGISTRY {
        report(entry.shader.name, faults(entry));
    }
    Ok(outcome.close())
}

/// Shader files that no registry entry or import name stands for, and the reverse.
fn files() -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let kernels = REGISTRY.iter().map(|e| e.shader.name).collect();
    let shared = SHARED.iter().map(|(name, _)| *name).collect();
    for (folder, names) in [("shaders", kernels), ("shaders/shared", shared)] {
        let names: BTreeSet<&str> = names;
        let mut found = BTreeSet::new();
        let path = root().join(folder);
        for file in fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))? {
            let file = file?.file_name().to_string_lossy().into_owned();
            found.extend(file.strip_suffix(".wgsl").map(str::to_owned));
        }
        let listed: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
        faults.extend(found.symmetric_difference(&listed).map(|name| {
            format!("`{folder}/{name}.wgsl` is not both a file and listed by the crate `kernels`")
        }));
    }
    Ok(faults)
}

/// Everything in which the shader of `entry` and its host file differ.
fn faults(entry: &Entry) -> Vec<String> {
    let mut faults = Vec::new();
    let cases = (entry.cases)();
    if cases.is_empty() || entry.mutations.is_empty() {
        faults.push("has no cases or no mutations".to_owned());
    }
    if entry.shader.bindings.len() > MAX_STORAGE_BUFFERS {
        faults.push(format!("{} storage buffers of {MAX_STORAGE_BUFFERS}", entry.shader.bindings.len()));
    }
    for case in &cases {
        if let Some(fault) = case_fault(entry, case) {
            faults.push(format!("case `{}`: {fault}", case.label));
            break;
        }
    }
    for variant in shaders::variants(entry) {
        let parsed = match shaders::parse(entry, &variant) {
            Ok(parsed) => parsed,
            Err(error) => {
                faults.push(format!("{error:#}"));
                break;
            }
        };
        compare(&mut faults, "bindings", &storage(&parsed.module), &declared(entry.shader.bindings));
        let kernels = || cases.iter().map(|c| &*c.kernel).filter(|k| k.template() == variant.template);
        if let Some(fault) = kernels().find_map(|kernel| interface_fault(&parsed, kernel)) {
            faults.push(fault);
        }
        for constants in &variant.constants {
            match shaders::specialize(&parsed, constants) {
                Ok(special) => faults.extend(sizes(&special).map(|fault| format!("{constants:?}: {fault}"))),
                Err(error) => faults.push(format!("{error:#}")),
            }
        }
    }
    faults
}

/// What the host file of a case contradicts itself in.
fn case_fault(entry: &Entry, case: &Case) -> Option<String> {
    let kernel = &*case.kernel;
    if kernel.name() != entry.shader.name {
        return Some(format!("the kernel is called `{}`", kernel.name()));
    }
    if kernel.lens().len() != kernel.bindings().len() || case.inputs.len() != kernel.bindings().len() {
        return Some("lens or inputs do not match the bindings".to_owned());
    }
    (kernel.loop_trips() >= MAX_LOOP_TRIPS)
        .then(|| format!("{} loop iterations an invocation", kernel.loop_trips()))
}

/// Parameters and constants that differ between a kernel and its shader.
fn interface_fault(parsed: &Parsed, kernel: &dyn Kernel) -> Option<String> {
    let mut found = Vec::new();
    let params: Vec<String> = kernel.params().iter().map(|p| format!("{}: {}", p.name, p.kind)).collect();
    compare(&mut found, "params", &uniform(&parsed.module), &params);
    let constants = sorted_names(&shaders::constants(kernel));
    compare(&mut found, "constants", &overrides(&parsed.module), &constants);
    found.into_iter().next()
}

fn compare(faults: &mut Vec<String>, what: &str, shader: &[String], host: &[String]) {
    if shader != host {
        faults.push(format!(
            "{what}: the shader has [{}], the host [{}]",
            shader.join(", "),
            host.join(", ")
        ));
    }
}

/// `number name access` per storage binding, as the host declares them.
fn declared(bindings: &[Binding]) -> Vec<String> {
    let access = |b: &Binding| if b.access == Access::Write { "read_write" } else { "read" };
    (1..).zip(bindings).map(|(n, b)| format!("{n} {} {}", b.name, access(b))).collect()
}

/// `number name access` per storage binding in the shader, with a remark where its type is not allowed.
fn storage(module: &Module) -> Vec<String> {
    let mut found = Vec::new();
    for (_, variable) in module.global_variables.iter() {
        let AddressSpace::Storage { access } = variable.space else { continue };
        let access = if access == StorageAccess::LOAD {
            "read"
        } else if access == StorageAccess::LOAD | StorageAccess::STORE {
            "read_write"
        } else {
            "of unknown access"
        };
        let number = variable.binding.map_or(u32::MAX, |b| b.binding);
        let group = if variable.binding.is_some_and(|b| b.group == 0) { "" } else { " outside group 0" };
        let words = if is_words(module, variable) { "" } else { " not an array of words" };
        let name = variable.name.as_deref().unwrap_or("?");
        found.push((number, format!("{number} {name} {access}{group}{words}")));
    }
    found.sort();
    found.into_iter().map(|(_, text)| text).collect()
}

/// A run-time sized array of 32-bit words or of vec2 or vec4 of these.
fn is_words(module: &Module, variable: &GlobalVariable) -> bool {
    let TypeInner::Array { base, size: ArraySize::Dynamic, .. } = module.types[variable.ty].inner else {
        return false;
    };
    match module.types[base].inner {
        TypeInner::Scalar(scalar) | TypeInner::Atomic(scalar) => scalar.width == 4,
        TypeInner::Vector { size: naga::VectorSize::Bi | naga::VectorSize::Quad, scalar } => {
            scalar.width == 4
        }
        _ => false,
    }
}

/// `name: type` per member of the uniform struct at binding 0.
fn uniform(module: &Module) -> Vec<String> {
    let mut found = Vec::new();
    for (_, variable) in module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::Uniform) {
        let place = variable.binding.map(|b| (b.group, b.binding));
        if variable.name.as_deref() != Some("params") || place != Some((0, 0)) {
            found.push(format!("uniform {:?} at {place:?}", variable.name));
        }
        let TypeInner::Struct { members, span } = &module.types[variable.ty].inner else {
            found.push("no struct".to_owned());
            continue;
        };
        for (index, member) in members.iter().enumerate() {
            let kind = match module.types[member.ty].inner {
                TypeInner::Scalar(naga::Scalar { kind: ScalarKind::Uint, width: 4 }) => "u32",
                TypeInner::Scalar(naga::Scalar { kind: ScalarKind::Sint, width: 4 }) => "i32",
                TypeInner::Scalar(naga::Scalar { kind: ScalarKind::Float, width: 4 }) => "f32",
                _ => "not a word",
            };
            let place = if member.offset == 4 * index as u32 { "" } else { " at a gap" };
            found.push(format!("{}: {kind}{place}", member.name.as_deref().unwrap_or("?")));
        }
        if *span != 4 * members.len() as u32 {
            found.push(format!("{span} bytes"));
        }
    }
    found
}

/// Sorted names of the overrides, with a remark where one has a default or a number.
fn overrides(module: &Module) -> Vec<String> {
    let remark = |o: &naga::Override| {
        let name = o.name.as_deref().unwrap_or("?");
        let default = if o.init.is_some() { " with a default" } else { "" };
        let number = if o.id.is_some() { " with a number" } else { "" };
        format!("{name}{default}{number}")
    };
    let mut names: Vec<String> = module.overrides.iter().map(|(_, o)| remark(o)).collect();
    names.sort();
    names
}

fn sorted_names(constants: &Constants) -> Vec<String> {
    let mut names: Vec<String> = constants.iter().map(|(name, _)| (*name).to_owned()).collect();
    names.sort();
    names
}

/// What WebGPU's default limits forbid; drivers may allow it, and wgpu does not check sizes that overrides make.
fn sizes(special: &Parsed) -> impl Iterator<Item = String> {
    let mut faults = Vec::new();
    let module = &special.module;
    match module.entry_points.as_slice() {
        [main] if main.name == "main" && main.stage == ShaderStage::Compute => {
            let [x, y, z] = main.workgroup_size;
            if y != 1 || z != 1 || !x.is_multiple_of(8) || x > MAX_WORKGROUP_THREADS {
                faults.push(format!("workgroup of {x} x {y} x {z} threads"));
            }
        }
        _ => faults.push("does not have `main` as its only entry point".to_owned()),
    }
    let mut layouter = naga::proc::Layouter::default();
    if let Err(error) = layouter.update(module.to_ctx()) {
        faults.push(error.to_string());
    } else {
        let local = module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::WorkGroup);
        let bytes: u32 = local.map(|(_, v)| layouter[v.ty].size).sum();
        if bytes > MAX_WORKGROUP_BYTES {
            faults.push(format!("{bytes} bytes of workgroup memory"));
        }
    }
    faults.into_iter()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use recording::Shader;

    use super::*;

    #[test]
    fn every_host_file_matches_its_shader() {
        assert_eq!(files().expect("the folder is there"), Vec::<String>::new());
        for entry in REGISTRY {
            assert_eq!(faults(entry), Vec::<String>::new(), "{}", entry.shader.name);
        }
    }

    #[test]
    fn a_shader_that_differs_from_its_host_file_is_noticed() {
        let entry = REGISTRY.iter().find(|e| e.shader.name == "bit_pack").expect("is registered");
        let edits = [
            ("    rows: u32,\n    k: u32,\n", "    k: u32,\n    rows: u32,\n", "[k: u32, rows: u32]"),
            ("    k: u32,\n", "    k: u32,\n    more: i32,\n", "more: i32"),
            ("<storage, read> codes", "<storage, read_write> codes", "codes read_write"),
            ("@binding(2)", "@binding(3)", "3 planes"),
            ("override BITS: u32;", "override BITS: u32 = 1u;", "with a default"),
            ("override BITS: u32;", "override BITS: u32; override OTHER: u32;", "OTHER"),
            ("@workgroup_size(WORKGROUP)", "@workgroup_size(WORKGROUP * 8u)", "512 x 1 x 1"),
            ("@workgroup_size(WORKGROUP)", "@workgroup_size(8, WORKGROUP)", "8 x 64 x 1"),
            ("fn main(", "fn other(", "only entry point"),
            ("codes: array<u32>", "codes: array<u32, 4>", "not an array of words"),
        ];
        for (from, to, notice) in edits {
            assert!(entry.shader.source.contains(from), "{from}");
            let source = Cow::Owned(entry.shader.source.replace(from, to));
            let shader = Shader { source, ..entry.shader.clone() };
            let edited = Entry { shader, cases: entry.cases, mutations: entry.mutations };
            let faults = faults(&edited).join("; ");
            assert!(!faults.is_empty() && faults.contains(notice), "{to}: {faults}");
        }
    }
}
