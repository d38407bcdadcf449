//! Everything that has to hold, cheapest first.

use std::{env, process::Command, time::Instant};

use anyhow::Result;

use crate::{cargo, layout, outcome::Outcome, python, readme, translate, validate, wasm};

/// Where to run what needs a device.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Adapter by index, part of its name, or type.
    #[arg(long, value_name = "INDEX|NAME|TYPE")]
    pub device: Option<String>,
}

/// Makes lavapipe's subgroups sixteen lanes wide; other drivers do not know it.
const WIDE: (&str, &str) = ("LP_NATIVE_VECTOR_WIDTH", "512");
/// Hides subgroups from the program.
const NARROW: (&str, &str) = ("BITPLANE_SUBGROUPS", "off");
/// Tests of results that must not depend on which kernels run.
const EQUAL_BITS: [&str; 9] =
    ["test", "--quiet", "-p", "tests", "--test", "suite", "--", "determinism", "kernel_plans::svhn_at_1_2_4"];
/// Tests of repeated results.
const SAME_BITS: [&str; 8] = ["test", "--quiet", "-p", "tests", "--test", "suite", "--", "determinism"];

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
    steps.push(("python", Box::new(python::run)));
    let lints = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let documents = ["doc", "--quiet", "--workspace", "--no-deps"];
    let rest: [Step<'_>; 12] = [
        ("layout", Box::new(layout::run)),
        ("translate", Box::new(|| translate::run(&translate::Options::default()))),
        ("clippy", Box::new(move || cargo(&lints, &[]))),
        ("doc", Box::new(move || cargo(&documents, &[("RUSTDOCFLAGS", "-D warnings")]))),
        ("wasm", Box::new(wasm::run)),
        ("validate", Box::new(validate(false))),
        ("validate --mutate", Box::new(validate(true))),
        ("validate, wide vectors", Box::new(|| again(options, &["validate", "--filter", "subgroup"], WIDE))),
        (
            "validate --mutate, wide vectors",
            Box::new(|| again(options, &["validate", "--mutate", "--filter", "subgroup"], WIDE)),
        ),
        ("test", Box::new(|| cargo(&["test", "--quiet", "--workspace"], &[]))),
        ("test, wide vectors", Box::new(|| cargo(&EQUAL_BITS, &[WIDE]))),
        ("test, no subgroups", Box::new(|| cargo(&SAME_BITS, &[NARROW]))),
    ];
    steps.extend(rest);
    steps
}

/// Runs another task of this program with a variable of the environment.
fn again(options: &Options, arguments: &[&str], variable: (&str, &str)) -> Result<bool> {
    let mut command = Command::new(env::current_exe()?);
    command.args(arguments).envs([variable]);
    if let Some(device) = &options.device {
        command.args(["--device", device]);
    }
    Ok(command.status()?.success())
}
