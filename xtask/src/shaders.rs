//! The registry's shaders as naga sees them.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow};
use kernels::{Entry, SHARED};
use naga::{
    Module, ShaderStage,
    back::PipelineConstants,
    valid::{Capabilities, ModuleInfo, ValidationFlags, Validator},
};
use recording::{Kernel, shader};

/// Names and values of the override constants of one pipeline.
pub type Constants = Vec<(&'static str, u32)>;

/// A parsed shader.
pub struct Parsed {
    text: String,
    /// The module.
    pub module: Module,
    /// What its validation found out.
    pub info: ModuleInfo,
}

/// Composes, parses and validates the shader of `entry`, without any optional capability.
pub fn parse(entry: &Entry) -> Result<Parsed> {
    let text = shader::compose(&entry.shader.source, SHARED)?;
    let module = naga::front::wgsl::parse_str(&text).map_err(|error| anyhow!(error.emit_to_string(&text)))?;
    let info = validate(&module, &text)?;
    Ok(Parsed { text, module, info })
}

/// The module with its overrides replaced by `constants`.
pub fn specialize(parsed: &Parsed, constants: &Constants) -> Result<Parsed> {
    let values: PipelineConstants =
        constants.iter().map(|&(name, value)| (name.to_owned(), f64::from(value))).collect();
    let entry = Some((ShaderStage::Compute, "main"));
    let (module, _) =
        naga::back::pipeline_constants::process_overrides(&parsed.module, &parsed.info, entry, &values)
            .with_context(|| format!("constants {constants:?}"))?;
    let module = module.into_owned();
    let text = parsed.text.clone();
    let info = validate(&module, &text)?;
    Ok(Parsed { text, module, info })
}

/// Every set of constants among the cases of `entry`.
pub fn constant_sets(entry: &Entry) -> BTreeSet<Constants> {
    (entry.cases)().iter().map(|case| constants(&*case.kernel)).collect()
}

/// The constants of `kernel`, in its order.
pub fn constants(kernel: &dyn Kernel) -> Constants {
    kernel.constants().iter().map(|c| (c.name, c.value)).collect()
}

fn validate(module: &Module, text: &str) -> Result<ModuleInfo> {
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
    validator.validate(module).map_err(|error| anyhow!("{}", error.emit_to_string(text)))
}
