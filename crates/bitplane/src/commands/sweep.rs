//! `sweep`: the points of a plan, trained one after another or side by side, and their tables.

use std::path::{Path, PathBuf};

use crate::cli::sweep::SweepArgs;
use crate::exit::Failure;
use crate::output;
use crate::report::print_json;
use crate::storage::StorageError;
use crate::sweep::folder::{Folder, State};
use crate::sweep::plan::Plan;
use crate::sweep::plans;
use crate::sweep::results::Results;
use crate::sweep::runner::Runner;
use crate::sweep::shard::Shard;
use crate::sweep::tables;

/// How a plan is carried out.
pub struct Course {
    /// Only these points.
    pub shard: Option<Shard>,
    /// Trainings at the same time.
    pub jobs: u32,
    /// Say how far each point is, and train nothing.
    pub list: bool,
    /// The result as JSON.
    pub json: bool,
}

/// Trains what is not trained yet, and prints the means.
///
/// # Errors
/// A refused plan, files that cannot be written, an interruption, and at the end [`Failure::Points`] where points failed.
pub fn run(args: SweepArgs) -> Result<(), Failure> {
    let Some(path) = &args.plan else { return output::result(&plans::names().join("\n")) };
    let plan = Plan::read(path, &args.settings, args.output_dir.as_deref())?;
    let SweepArgs { shard, jobs, list, json, .. } = args;
    carry_out(&plan, &Course { shard, jobs, list, json })
}

/// Trains what is not trained yet of `plan`, and prints the means.
///
/// # Errors
/// As [`run`].
pub fn carry_out(plan: &Plan, course: &Course) -> Result<(), Failure> {
    // A point goes with the one that it starts from.
    let root = |number: usize| plan.points[number].after.unwrap_or(number);
    let holds = |number: &usize| course.shard.is_none_or(|shard| shard.holds(root(*number)));
    let numbers: Vec<usize> = (0..plan.points.len()).filter(holds).collect();
    if course.list {
        return list(plan, &numbers);
    }
    let folder = Folder::open(&plan.place)?;
    let program = std::env::current_exe().map_err(StorageError::at("find", Path::new("this program")))?;
    let runner = Runner { plan, folder: &folder, program: &program, jobs: course.jobs };
    runner.run(&numbers)?;
    let results = Results::gather(&folder, plan);
    if course.json {
        print_json(&results)?;
    } else {
        output::result(&tables::closing(&results, plan, &folder))?;
    }
    judge(&results, &numbers, plan.place.clone())
}

/// A failure where points of `numbers` failed.
fn judge(results: &Results, numbers: &[usize], folder: PathBuf) -> Result<(), Failure> {
    let own = numbers.iter().map(|&number| &results.points[number]);
    let failed: Vec<&str> = own.filter(|row| row.status == "failed").map(|row| row.point.as_str()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Points { failed: failed.len(), total: numbers.len(), names: failed.join(", "), folder })
}

fn list(plan: &Plan, numbers: &[usize]) -> Result<(), Failure> {
    let folder = Folder::at(&plan.place);
    for point in numbers.iter().map(|&number| &plan.points[number]) {
        let state = match folder.state(point) {
            State::Finished(measured) => format!("finished, {:.4}", measured.best_accuracy),
            State::Failed(attempt) => format!("failed: {}", attempt.message),
            State::Open if folder.has_run(point) => "begun".to_owned(),
            State::Open => "open".to_owned(),
        };
        output::result(&format!("{}  {state}", point.name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::folder::Attempt;
    use crate::sweep::folder::tests::begun;

    #[test]
    fn a_shard_answers_for_its_own_points() {
        let place = tempfile::tempdir().unwrap();
        let (plan, folder) = begun(place.path(), "[grid]\nseed = [0, 1, 2]\n");
        folder.fail(&plan.points[1], &Attempt::new(&plan.points[1], Some(3), String::new())).unwrap();
        let results = Results::gather(&folder, &plan);
        let judged = |numbers: &[usize]| judge(&results, numbers, place.path().to_owned());
        assert!(judged(&[0, 2]).is_ok());
        let failed = judged(&[0, 1]).unwrap_err().to_string();
        assert!(failed.contains("1 of 2 points failed") && failed.contains("s1"), "{failed}");
    }
}
