//! Hands the points of a sweep to the trainings that run at the same time.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::child::{self, Ending};
use super::folder::{Attempt, Folder, State};
use super::plan::Plan;
use super::point::Point;
use super::tables;
use crate::exit::{Exit, Failure};
use crate::output::note;
use crate::signal;

/// A sweep under way.
pub struct Runner<'a> {
    /// The points.
    pub plan: &'a Plan,
    /// Where they are trained.
    pub folder: &'a Folder,
    /// The program that trains them.
    pub program: &'a Path,
    /// Trainings at the same time.
    pub jobs: u32,
}

/// What the workers share.
struct Work {
    queue: VecDeque<usize>,
    running: BTreeSet<usize>,
    /// The first failure of the sweep itself.
    failure: Option<Failure>,
}

/// What a worker does next.
enum Next {
    /// Trains this point.
    Point(usize),
    /// Waits for a point that another starts from.
    Later,
    /// Ends.
    Nothing,
}

/// How long a worker waits before it looks again.
const PAUSE: Duration = Duration::from_millis(50);

impl Runner<'_> {
    /// Trains the points with these numbers that need it, and writes the results after each.
    ///
    /// # Errors
    /// Files that cannot be written, a program that does not start, an interruption. A training that fails is none: it is
    /// recorded, and the others go on.
    pub fn run(&self, numbers: &[usize]) -> Result<(), Failure> {
        let (done, queue): (Vec<usize>, Vec<usize>) =
            numbers.iter().partition(|&&number| self.folder.state(&self.plan.points[number]).is_final());
        note(&format!(
            "{}: {} points, {} of them done already; results in {}",
            self.plan.title,
            numbers.len(),
            done.len(),
            crate::output::shown(self.folder.path())
        ));
        tables::write(self.folder, self.plan)?;
        let work = Mutex::new(Work { queue: queue.into(), running: BTreeSet::new(), failure: None });
        signal::install();
        thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| self.work(&work));
            }
        });
        let failure = lock(&work).failure.take();
        failure.map_or(Ok(()), Err)?;
        if signal::interrupted() {
            return Err(Failure::SweepStopped { folder: self.folder.path().to_owned() });
        }
        Ok(())
    }

    fn work(&self, work: &Mutex<Work>) {
        loop {
            // Bound first: the lock must be free again while a point trains.
            let next = self.next(&mut lock(work));
            match next {
                Next::Point(number) => {
                    let trained = self.train(number, work);
                    let mut work = lock(work);
                    work.running.remove(&number);
                    if let Err(failure) = trained {
                        work.failure.get_or_insert(failure);
                    }
                }
                Next::Later => thread::sleep(PAUSE),
                Next::Nothing => return,
            }
        }
    }

    /// The next point that need not wait for the one it starts from.
    fn next(&self, work: &mut Work) -> Next {
        if work.failure.is_some() || signal::interrupted() || work.queue.is_empty() {
            return Next::Nothing;
        }
        let pending = |number: &usize| work.queue.contains(number) || work.running.contains(number);
        let ready = |number: &usize| !self.plan.points[*number].after.as_ref().is_some_and(pending);
        match work.queue.iter().position(ready) {
            Some(index) => {
                let number = work.queue.remove(index).expect("it was found there");
                work.running.insert(number);
                Next::Point(number)
            }
            None => Next::Later,
        }
    }

    fn train(&self, number: usize, work: &Mutex<Work>) -> Result<(), Failure> {
        let point = &self.plan.points[number];
        let label = format!("[{}/{}]", number + 1, self.plan.points.len());
        if let Some(conflict) = self.folder.conflict(point).or_else(|| self.unready(point)) {
            note(&format!("{label} {} failed: {conflict}", point.name));
            self.folder.fail(point, &Attempt::new(point, Some(Exit::Usage.code()), conflict))?;
            return tables::write(self.folder, self.plan);
        }
        let begun = if self.folder.has_run(point) { "goes on" } else { "starts" };
        note(&format!("{label} {} {begun}", point.name));
        let stop = || signal::interrupted() || lock(work).failure.is_some();
        match child::train(self.program, self.folder, point, &label, stop)? {
            Ending::Stopped => {
                note(&format!("{label} {} is stopped and saved", point.name));
                return Ok(());
            }
            Ending::Ended(attempt) => self.record(number, attempt)?,
        }
        match self.folder.state(point) {
            State::Finished(measured) => note(&format!(
                "{label} {}: best test accuracy {:.4} in epoch {}",
                point.name, measured.best_accuracy, measured.best_epoch
            )),
            State::Failed(attempt) => note(&format!("{label} {} failed: {}", point.name, attempt.message)),
            State::Open => {}
        }
        tables::write(self.folder, self.plan)
    }

    /// Why the point cannot start yet, where the one whose weights it takes is not trained.
    fn unready(&self, point: &Point) -> Option<String> {
        let origin = &self.plan.points[point.after?];
        let finished = matches!(self.folder.state(origin), State::Finished(_));
        (!finished).then(|| format!("it starts with the weights of {}, which is not finished", origin.name))
    }

    /// Keeps an attempt that did not finish the point.
    fn record(&self, number: usize, attempt: Attempt) -> Result<(), Failure> {
        let point = &self.plan.points[number];
        if matches!(self.folder.state(point), State::Finished(_)) {
            return Ok(());
        }
        // A training that says it went well, and left no finished run, did not.
        let attempt = match attempt.exit_code {
            Some(0) => {
                Attempt::new(point, Some(0), "it left no finished run in the point's folder".to_owned())
            }
            _ => attempt,
        };
        Ok(self.folder.fail(point, &attempt)?)
    }
}

fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::folder::tests::{begun, trained};

    #[test]
    fn a_training_that_says_it_went_well_and_left_no_run_failed() {
        let place = tempfile::tempdir().unwrap();
        let (plan, folder) = begun(place.path(), "[settings]\nepochs = 1\n");
        let runner = Runner { plan: &plan, folder: &folder, program: Path::new("none"), jobs: 1 };
        let point = &plan.points[0];
        let recorded = |code| {
            runner.record(0, Attempt::new(point, Some(code), "its words".to_owned())).unwrap();
            match folder.state(point) {
                State::Failed(attempt) => (attempt.exit_code, attempt.message),
                other => panic!("{other:?}"),
            }
        };
        let (code, message) = recorded(0);
        assert!(code == Some(0) && message.contains("left no finished run"), "{message}");
        assert_eq!(recorded(3), (Some(3), "its words".to_owned()));
        folder.begin(point).unwrap();
        trained(&folder, point, &[0.5], 1);
        runner.record(0, Attempt::new(point, Some(0), String::new())).unwrap();
        let left = std::fs::read_dir(place.path().join("points")).unwrap().count();
        assert_eq!(left, 1, "the settings alone: what is finished did not fail");
    }
}
