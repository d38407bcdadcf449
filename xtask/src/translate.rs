//! Every shader in the language of every graphics API, without a device.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, anyhow};
use comfy_table::{Table, presets};
use kernels::{Entry, REGISTRY};
use naga::{
    ShaderStage,
    back::{hlsl, msl, spv},
    proc::{BoundsCheckPolicies, BoundsCheckPolicy},
};

use crate::{
    outcome::Outcome,
    shaders::{self, Parsed},
};

/// Where to leave the translations.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Folder for `KERNEL.SET.spv`, `.hlsl` and `.metal` files; nothing is written without it.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

type Translator = fn(&Parsed) -> Result<Vec<u8>>;

const LANGUAGES: [(&str, Translator); 3] = [("spv", to_spirv), ("hlsl", to_hlsl), ("metal", to_msl)];

/// Runs the task; one check is one language of one set of constants. True if nothing failed.
pub fn run(options: &Options) -> Result<bool> {
    let mut outcome = Outcome::default();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["kernel", "sets", "SPIR-V", "HLSL", "MSL"]);
    if let Some(folder) = &options.out {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    for entry in REGISTRY {
        let mut counts = [0; LANGUAGES.len()];
        let mut sets = 0;
        for variant in shaders::variants(entry) {
            let parsed = shaders::parse(entry, &variant);
            for constants in &variant.constants {
                let special = match &parsed {
                    Ok(parsed) => shaders::specialize(parsed, constants),
                    Err(error) => Err(anyhow!("{error:#}")),
                };
                for ((extension, translate), count) in LANGUAGES.iter().zip(&mut counts) {
                    let text = special.as_ref().map_err(|error| anyhow!("{error:#}")).and_then(translate);
                    outcome.count(text.is_ok());
                    match text {
                        Ok(text) => {
                            *count += 1;
                            write(options, entry, sets, extension, &text)?;
                        }
                        Err(error) => println!("{} {constants:?} {extension}: {error:#}", entry.shader.name),
                    }
                }
                sets += 1;
            }
        }
        let cells = [sets].into_iter().chain(counts).map(|n| n.to_string());
        table.add_row([entry.shader.name.to_owned()].into_iter().chain(cells));
    }
    println!("{table}");
    Ok(outcome.close())
}

fn write(options: &Options, entry: &Entry, index: usize, extension: &str, text: &[u8]) -> Result<()> {
    let Some(folder) = &options.out else { return Ok(()) };
    let path = folder.join(format!("{}.{index}.{extension}", entry.shader.name));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

// Versions below are the oldest that wgpu asks its drivers for.

fn to_spirv(shader: &Parsed) -> Result<Vec<u8>> {
    let options = spv::Options { lang_version: (1, 3), ..spv::Options::default() };
    let pipeline =
        spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".to_owned() };
    let words = spv::write_vec(&shader.module, &shader.info, &options, Some(&pipeline))?;
    Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
}

fn to_hlsl(shader: &Parsed) -> Result<Vec<u8>> {
    let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_0, ..hlsl::Options::default() };
    let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, "main".to_owned())) };
    let mut text = String::new();
    let written =
        hlsl::Writer::new(&mut text, &options, &pipeline).write(&shader.module, &shader.info, None)?;
    for name in written.entry_point_names {
        name?;
    }
    Ok(text.into_bytes())
}

fn to_msl(shader: &Parsed) -> Result<Vec<u8>> {
    let options = msl::Options {
        lang_version: (2, 1),
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            buffer: BoundsCheckPolicy::Restrict,
            image_load: BoundsCheckPolicy::Unchecked,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        ..msl::Options::default()
    };
    let pipeline = msl::PipelineOptions {
        entry_point: Some((ShaderStage::Compute, "main".to_owned())),
        ..msl::PipelineOptions::default()
    };
    let (text, written) = msl::write_string(&shader.module, &shader.info, &options, &pipeline)?;
    for name in written.entry_point_names {
        name?;
    }
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shader_translates_to_every_language() {
        for entry in REGISTRY {
            let variant = &shaders::variants(entry)[0];
            let parsed = shaders::parse(entry, variant).expect("parses");
            let constants = variant.constants.first().expect("every kernel has cases");
            let special = shaders::specialize(&parsed, constants).expect("specializes");
            for (extension, translate) in LANGUAGES {
                let text = translate(&special).expect("translates");
                assert!(text.len() > 100, "{} {extension}", entry.shader.name);
            }
        }
    }
}
