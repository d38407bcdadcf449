//! `config`: the settings that a training would use.

use crate::cli::ConfigArgs;
use crate::config::{Config, DEFAULT_MODEL};
use crate::exit::Failure;
use crate::flexnet;
use crate::models;
use crate::output;
use crate::settings::Settings;

/// Checks the file and the flags and prints the whole as TOML.
///
/// # Errors
/// Settings that are refused.
pub fn run(args: ConfigArgs) -> Result<(), Failure> {
    let file = args.file.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
    let config = resolve(args.settings, file)?;
    output::result(config.to_toml().trim_end())
}

/// Flags over a file over the model's recipe.
///
/// # Errors
/// Values out of range, an unknown model.
pub fn resolve(flags: Settings, file: Settings) -> Result<Config, Failure> {
    flags.check_flags()?;
    let settings = flags.or(file);
    let recipe = models::recipe(settings.model.as_deref().unwrap_or(DEFAULT_MODEL))?;
    flexnet::check(&settings)?;
    Ok(Config::resolve(settings, &recipe))
}
