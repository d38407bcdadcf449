//! Everything that has to hold, cheapest first.

use std::time::Instant;

use anyhow::Result;

use crate::{cargo, layout, outcome::Outcome, readme, translate, validate, wasm};

/// Where to run what needs a device.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Adapter by index, part of its name, or type.
    #[arg(long, value_name = "INDEX|NAME|TYPE")]
    pub device: Option<String>,
}

type Step<'a> = (&'static str, Box<dyn Fn() -> Result<bool> + 'a>);

/// Runs the steps up to the first that fails; true if none failed.
pub fn run(options: &Options) -> Result<bool> {
    let steps = steps(options);
    let count = steps.len();
    let mut outcome = Outcome::default();
    for (number, (name, step)) in (1..).zip(steps) {
        println!("== {number}/{count} {name}");
        let began = Instant::now();
        let passed = step().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            false
        });
        let result = if passed { "ok" } else { "FAILED" };
        println!("== {number}/{count} {name}: {result}, {:.1} s", began.elapsed().as_secs_f64());
        outcome.count(passed);
        if !passed {
            break;
        }
    }
    Ok(outcome.close())
}

fn steps(options: &Options) -> Vec<Step<'_>> {
    let validate = |mutate| {
        let options =
            validate::Options { device: options.device.clone(), mutate, ..validate::Options::default() };
        move || validate::run(&options)
    };
    let mut steps: Vec<Step<'_>> = vec![("fmt", Box::new(|| cargo(&["fmt", "--all", "--check"], &[])))];
    steps.push(("readme", Box::new(readme::run)));
    let lints = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let documents = ["doc", "--quiet", "--workspace", "--no-deps"];
    let rest: [Step<'_>; 8] = [
        ("layout", Box::new(layout::run)),
        ("translate", Box::new(|| translate::run(&translate::Options::default()))),
        ("clippy", Box::new(move || cargo(&lints, &[]))),
        ("doc", Box::new(move || cargo(&documents, &[("RUSTDOCFLAGS", "-D warnings")]))),
        ("wasm", Box::new(wasm::run)),
        ("validate", Box::new(validate(false))),
        ("validate --mutate", Box::new(validate(true))),
        ("test", Box::new(|| cargo(&["test", "--quiet", "--workspace"], &[]))),
    ];
    steps.extend(rest);
    steps
}
