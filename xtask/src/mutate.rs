//! Every kernel broken on purpose: a comparison that does not notice is no comparison.

use anyhow::Result;
use gpu::{AdapterInfo, Gpu};
use kernels::{Case, Checker, Entry, Mutant, Mutation, SHARED};
use recording::{ExecutorError, shader};
use serde_json::{Value, json};

use crate::{device, outcome::Outcome, validate};

/// What became of a mutation.
enum Verdict {
    /// This case noticed.
    Caught(String),
    /// No case noticed, or the mutation is no valid one.
    Missed(String),
}

/// Applies every mutation of `entries` on `adapter`.
pub fn all(adapter: &AdapterInfo, entries: &[&'static Entry]) -> Result<(Outcome, Value)> {
    let mut checker = Checker::new(device::open(adapter)?);
    let mut outcome = Outcome::default();
    let mut records = Vec::new();
    for entry in entries {
        let kernel = entry.shader.name;
        if entry.mutations.is_empty() {
            println!("{kernel}: NO MUTATIONS");
            outcome.count(false);
        }
        let mut cases = (entry.cases)();
        cases.retain(|case| checker.can_run(case));
        if cases.is_empty() {
            println!("{kernel}: skipped, it is written for subgroups that this adapter does not have");
            continue;
        }
        for mutation in entry.mutations {
            let verdict = apply(adapter, &mut checker, entry, mutation, &cases)?;
            let (caught, text) = match verdict {
                Verdict::Caught(case) => (true, format!("caught by `{case}`")),
                Verdict::Missed(reason) => (false, format!("NOT CAUGHT: {reason}")),
            };
            println!("{kernel}: {}: {text}", mutation.rule);
            outcome.count(caught);
            records
                .push(json!({ "kernel": kernel, "rule": mutation.rule, "caught": caught, "detail": text }));
        }
    }
    Ok((outcome, Value::Array(records)))
}

fn apply(
    adapter: &AdapterInfo,
    checker: &mut Checker<Gpu>,
    entry: &Entry,
    mutation: &Mutation,
    cases: &[Case],
) -> Result<Verdict> {
    let text = match shader::compose(&entry.shader.source, SHARED) {
        Ok(text) => text,
        Err(error) => return Ok(Verdict::Missed(error.to_string())),
    };
    if !text.contains(mutation.from) {
        return Ok(Verdict::Missed(format!("`{}` does not occur in the shader", mutation.from)));
    }
    // Imports are resolved already, and a second resolution would define everything twice.
    let text = text.replace(mutation.from, mutation.to).replace("//#import ", "// imported: ");
    for case in cases {
        let kernel = std::sync::Arc::new(Mutant::new(case.kernel.clone(), text.clone()));
        let mutant = Case { kernel, ..case.clone() };
        match pollster::block_on(checker.check(&mutant)) {
            Ok(result) if result.passed() => {}
            Ok(_) => return Ok(Verdict::Caught(case.label.clone())),
            Err(error @ ExecutorError::Shader { .. }) => {
                return Ok(Verdict::Missed(format!("does not compile: {error}")));
            }
            Err(error) => {
                validate::replace_if_dead(adapter, checker, &error)?;
                return Ok(Verdict::Missed(format!("case `{}` does not run: {error}", case.label)));
            }
        }
    }
    Ok(Verdict::Missed(format!("{} cases agree with the reference", cases.len())))
}

#[cfg(test)]
mod tests {
    use kernels::REGISTRY;

    use super::*;

    fn verdict(rule: &'static str, from: &'static str, to: &'static str) -> Option<Verdict> {
        let adapter = match device::chosen(None, false) {
            Ok(adapters) => adapters[0].clone(),
            Err(error) if std::env::var("BITPLANE_GPU_TESTS").is_ok_and(|v| v == "skip") => {
                eprintln!("SKIPPED: {error}");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let mut checker = Checker::new(device::open(&adapter).expect("opens"));
        let entry = REGISTRY.iter().find(|e| e.shader.name == "bit_pack").expect("is registered");
        let mutation = Mutation { rule, from, to };
        Some(apply(&adapter, &mut checker, entry, &mutation, &(entry.cases)()).expect("the device lives"))
    }

    #[test]
    fn only_a_fault_that_a_comparison_notices_counts_as_caught() {
        let missed = [
            ("harmless", "plane < BITS", "plane + 0u < BITS", "agree"),
            ("absent", "no such text", "", "does not occur"),
            ("broken", "plane < BITS", "plane < 1.5f", "does not compile"),
        ];
        for (rule, from, to, reason) in missed {
            let Some(verdict) = verdict(rule, from, to) else { return };
            assert!(matches!(verdict, Verdict::Missed(text) if text.contains(reason)), "{rule}");
        }
        let Some(verdict) = verdict("plane skipped", "plane < BITS", "plane + 1u < BITS") else { return };
        assert!(matches!(verdict, Verdict::Caught(_)));
    }
}
