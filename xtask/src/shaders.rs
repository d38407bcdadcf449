//! The registry's shaders as naga sees them.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow};
use kernels::{Entry, SHARED};
use naga::{
    Module, ShaderStage,
    back::PipelineConstants,
    valid::{Capabilities, ModuleInfo, ValidationFlags, Validator},
};
use recording::{Constant, Kernel, shader};

/// Names and values of the override constants of one pipeline.
pub type Constants = Vec<(&'static str, u32)>;

/// A parsed shader.
pub struct Parsed {
    text: String,
    capabilities: Capabilities,
    /// The module.
    pub module: Module,
    /// What its validation found out.
    pub info: ModuleInfo,
}

/// Cases of an entry whose shader has the same text: all of them, unless it is a template.
pub struct Variant {
    /// Values that the template is expanded with.
    pub template: Vec<Constant>,
    /// The kernels use subgroup operations.
    pub subgroups: bool,
    /// Every set of constants.
    pub constants: BTreeSet<Constants>,
}

/// The variants among the cases of `entry`, in the order of the cases.
pub fn variants(entry: &Entry) -> Vec<Variant> {
    let mut variants: Vec<Variant> = Vec::new();
    for case in (entry.cases)() {
        let (template, subgroups) = (case.kernel.template(), case.kernel.subgroup().is_some());
        let constants = constants(&*case.kernel);
        match variants.iter_mut().find(|v| v.template == template) {
            Some(variant) => {
                variant.constants.insert(constants);
            }
            None => variants.push(Variant { template, subgroups, constants: [constants].into() }),
        }
    }
    variants
}

/// Composes, expands, parses and validates a variant of the shader of `entry`, with no optional capability but the
/// subgroups that its kernels ask for.
pub fn parse(entry: &Entry, variant: &Variant) -> Result<Parsed> {
    let text = shader::expand(&shader::compose(&entry.shader.source, SHARED)?, &variant.template)?;
    let module = naga::front::wgsl::parse_str(&text).map_err(|error| anyhow!(error.emit_to_string(&text)))?;
    let capabilities = if variant.subgroups { Capabilities::SUBGROUP } else { Capabilities::empty() };
    let info = validate(&module, &text, capabilities)?;
    Ok(Parsed { text, capabilities, module, info })
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
    let info = validate(&module, &text, parsed.capabilities)?;
    Ok(Parsed { text, capabilities: parsed.capabilities, module, info })
}

/// The constants of `kernel`, in its order.
pub fn constants(kernel: &dyn Kernel) -> Constants {
    kernel.constants().iter().map(|c| (c.name, c.value)).collect()
}

fn validate(module: &Module, text: &str, capabilities: Capabilities) -> Result<ModuleInfo> {
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    validator.validate(module).map_err(|error| anyhow!("{}", error.emit_to_string(text)))
}
