//! Every kernel against the CPU reference.

use std::time::Instant;

use anyhow::{Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use gpu::{AdapterInfo, Gpu};
use kernels::{Checker, Entry, REGISTRY};
use recording::{Comparison, ExecutorError};
use serde::Serialize;

use crate::{device, mutate, outcome::Outcome};

/// What to validate, and where.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Adapter by index, part of its name, or type.
    #[arg(long, value_name = "INDEX|NAME|TYPE", conflicts_with = "all")]
    pub device: Option<String>,
    /// Every adapter of this machine.
    #[arg(long)]
    pub all: bool,
    /// Only kernels whose name contains this text.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// One JSON object as the last line before the closing one.
    #[arg(long)]
    pub json: bool,
    /// Break each kernel on purpose, and fail where no comparison notices.
    #[arg(long)]
    pub mutate: bool,
}

/// What became of one kernel.
#[derive(Debug, Default, Serialize)]
struct Report {
    kernel: &'static str,
    cases: usize,
    /// Cases for subgroups that the adapter does not have.
    skipped: usize,
    failed: usize,
    compared: u64,
    mismatches: u64,
    in_band: u64,
    worst: f64,
    seconds: f64,
    first_failure: Option<String>,
}

/// Runs the task; true if nothing failed.
pub fn run(options: &Options) -> Result<bool> {
    let entries = entries(options.filter.as_deref())?;
    let mut total = Outcome::default();
    let mut records = Vec::new();
    for adapter in device::chosen(options.device.as_deref(), options.all)? {
        println!("{adapter}");
        let (outcome, record) = if options.mutate {
            mutate::all(&adapter, &entries)?
        } else {
            let reports = validate(&adapter, &entries)?;
            print(&reports);
            let failed = reports.iter().map(|r| r.failed).sum();
            let passed = reports.iter().map(|r| r.cases).sum::<usize>() - failed;
            (Outcome { passed, failed }, serde_json::to_value(&reports)?)
        };
        total.add(outcome);
        records.push(serde_json::json!({ "adapter": adapter.to_string(), "kernels": record }));
    }
    if options.json {
        let Outcome { passed, failed } = total;
        println!("{}", serde_json::json!({ "passed": passed, "failed": failed, "adapters": records }));
    }
    Ok(total.close())
}

/// The registry's entries whose name contains `filter`.
fn entries(filter: Option<&str>) -> Result<Vec<&'static Entry>> {
    let matches = |e: &&&Entry| filter.is_none_or(|f| e.shader.name.contains(f));
    let entries: Vec<&'static Entry> = REGISTRY.iter().filter(matches).copied().collect();
    ensure!(!entries.is_empty(), "no kernel's name contains `{}`", filter.unwrap_or_default());
    Ok(entries)
}

fn validate(adapter: &AdapterInfo, entries: &[&'static Entry]) -> Result<Vec<Report>> {
    let mut checker = Checker::new(device::open(adapter)?);
    let mut reports = Vec::new();
    for entry in entries {
        reports.push(validate_entry(adapter, &mut checker, entry)?);
    }
    Ok(reports)
}

fn validate_entry(adapter: &AdapterInfo, checker: &mut Checker<Gpu>, entry: &Entry) -> Result<Report> {
    let began = Instant::now();
    let mut report = Report { kernel: entry.shader.name, ..Report::default() };
    let mut sum = Comparison::default();
    for case in (entry.cases)() {
        if !checker.can_run(&case) {
            report.skipped += 1;
            continue;
        }
        report.cases += 1;
        let failure = match pollster::block_on(checker.check(&case)) {
            Ok(result) => {
                let failure = describe(&result);
                sum.merge(result);
                failure
            }
            Err(error) => {
                replace_if_dead(adapter, checker, &error)?;
                Some(error.to_string())
            }
        };
        if let Some(failure) = failure {
            report.failed += 1;
            report.first_failure.get_or_insert_with(|| format!("case `{}`: {failure}", case.label));
        }
    }
    report.compared = sum.compared;
    report.mismatches = sum.mismatches;
    report.in_band = sum.in_band;
    report.worst = sum.worst;
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

fn describe(result: &Comparison) -> Option<String> {
    let first = || {
        let first = result
            .first
            .as_ref()
            .map_or_else(|| "a word past the result changed".to_owned(), ToString::to_string);
        format!("{} of {} values differ, first {first}", result.mismatches, result.compared)
    };
    (!result.passed()).then(first)
}

/// Opens a new device where `error` made the old one unusable.
pub fn replace_if_dead(
    adapter: &AdapterInfo,
    checker: &mut Checker<Gpu>,
    error: &ExecutorError,
) -> Result<()> {
    if !matches!(
        error,
        ExecutorError::Shader { .. } | ExecutorError::Dispatch { .. } | ExecutorError::Limit { .. }
    ) {
        *checker = Checker::new(device::open(adapter)?);
    }
    Ok(())
}

fn print(reports: &[Report]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["kernel", "cases", "skipped", "values", "worst/bound", "in band", "time", "result"]);
    for report in reports {
        table.add_row([
            report.kernel.to_owned(),
            report.cases.to_string(),
            report.skipped.to_string(),
            report.compared.to_string(),
            format!("{:.3}", report.worst),
            report.in_band.to_string(),
            format!("{:.2} s", report.seconds),
            if report.failed == 0 { "ok".to_owned() } else { format!("{} FAILED", report.failed) },
        ]);
    }
    for column in 1..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
    let skipped: usize = reports.iter().map(|r| r.skipped).sum();
    if skipped > 0 {
        println!(
            "{skipped} cases skipped: they are written for subgroups of another size than this adapter's"
        );
    }
    for report in reports {
        if let Some(failure) = &report.first_failure {
            println!("{}: {failure}", report.kernel);
        }
    }
}
