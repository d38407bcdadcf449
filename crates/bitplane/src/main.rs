//! Entry point: parse, run one verb, turn its failure into a message and an exit code.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{PanicHookInfo, catch_unwind, set_hook};
use std::process::exit;
use std::sync::Mutex;

use bitplane::cli::Cli;
use bitplane::commands;
use bitplane::exit::Exit;
use bitplane::output::{note, printable_lines};
use clap::Parser;

/// What the last panic said; printed only if nobody catches it.
static PANIC: Mutex<String> = Mutex::new(String::new());

fn main() {
    set_hook(Box::new(remember_panic));
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        // Help for a reader that has gone is no failure.
        let _ = error.print();
        exit(error.exit_code());
    });
    let code = match catch_unwind(|| commands::run(cli.command)) {
        Ok(Ok(())) => Exit::Success,
        Ok(Err(failure)) => {
            note(&format!("error: {}", printable_lines(&failure.to_string())));
            failure.exit()
        }
        Err(_) => {
            let message =
                PANIC.lock().map_or_else(|poisoned| poisoned.into_inner().clone(), |text| text.clone());
            note(&format!("internal error: {message}"));
            note("this is a bug in bitplane; please report it with the command line and the lines above");
            Exit::Internal
        }
    };
    exit(code.code());
}

fn remember_panic(info: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let mut text = info.to_string();
    if backtrace.status() == BacktraceStatus::Captured {
        text.push_str(&format!("\n{backtrace}"));
    }
    if let Ok(mut last) = PANIC.lock() {
        *last = text;
    }
}
