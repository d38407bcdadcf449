//! Hands the points of a sweep to the trainings that run at the same time.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::child::{self, Ending};
use super::folder::{Attempt, Folder, State};
use super::plan::Plan;
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
    /// The first failure of the sweep itself.
    failure: Option<Failure>,
}

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
        let work = Mutex::new(Work { queue: queue.into(), failure: None });
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
            let next = {
                let mut work = lock(work);
                let go_on = work.failure.is_none() && !signal::interrupted();
                work.queue.pop_front().filter(|_| go_on)
            };
            let Some(number) = next else { return };
            if let Err(failure) = self.train(number, work) {
                lock(work).failure.get_or_insert(failure);
            }
        }
    }

    fn train(&self, number: usize, work: &Mutex<Work>) -> Result<(), Failure> {
        let point = &self.plan.points[number];
        let label = format!("[{}/{}]", number + 1, self.plan.points.len());
        if let Some(conflict) = self.folder.conflict(point) {
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
