//! The learning rate as a pure function of the position in training.

use serde::{Deserialize, Serialize};

use crate::plateau::{Plateau, PlateauRule};

/// How the learning rate changes from epoch to epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SchedulerKind {
    /// The same in every epoch.
    Constant,
    /// Times gamma every `lr-step-size` epochs.
    Step,
    /// Times gamma at each of `lr-milestones`.
    Multistep,
    /// Half a cosine from the full rate down to zero.
    Cosine,
    /// Times gamma after `lr-patience` epochs in which the training loss has not fallen by more than `lr-min-delta`.
    Plateau,
}

/// Everything that decides the learning rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The kind of decay.
    pub kind: SchedulerKind,
    /// Rate at the start, after warm-up.
    pub base: f64,
    /// Epochs of the whole training.
    pub epochs: u32,
    /// Epochs between two decays of [`SchedulerKind::Step`].
    pub step_size: u32,
    /// Factor of one decay.
    pub gamma: f64,
    /// Epochs that begin with a decay of [`SchedulerKind::Multistep`].
    pub milestones: Vec<u32>,
    /// Epochs over which the rate rises linearly from nearly zero, step by step.
    pub warmup_epochs: u32,
    /// When [`SchedulerKind::Plateau`] decays.
    pub plateau: PlateauRule,
}

impl Schedule {
    /// The rate of step `step_in_epoch` (from 0) of `epoch` (from 0), where an epoch has `steps_per_epoch` steps.
    ///
    /// `plateau` is what the epochs before gave. Decays follow torchvision: they act between epochs, and the cosine counts the epochs after warm-up,
    /// `base (1 + cos(pi e / (epochs - warmup))) / 2`.
    pub fn rate(
        &self,
        epoch: u32,
        step_in_epoch: u32,
        steps_per_epoch: u32,
        plateau: Option<Plateau>,
    ) -> f64 {
        if epoch < self.warmup_epochs {
            let done = u64::from(epoch) * u64::from(steps_per_epoch) + u64::from(step_in_epoch) + 1;
            let all = u64::from(self.warmup_epochs) * u64::from(steps_per_epoch);
            return self.base * done as f64 / all as f64;
        }
        let after = epoch - self.warmup_epochs;
        match self.kind {
            SchedulerKind::Plateau => self.decayed(plateau.map_or(0, |plateau| plateau.decays)),
            SchedulerKind::Constant => self.base,
            SchedulerKind::Step => self.decayed(after / self.step_size),
            SchedulerKind::Multistep => {
                let passed = self.milestones.iter().filter(|&&milestone| milestone <= epoch).count();
                self.decayed(u32::try_from(passed).expect("milestones are few"))
            }
            SchedulerKind::Cosine => {
                let span = f64::from((self.epochs - self.warmup_epochs).max(1));
                self.base * (1.0 + (std::f64::consts::PI * f64::from(after) / span).cos()) / 2.0
            }
        }
    }

    /// What an epoch of mean loss `loss` makes of `before`; warm-up does not count.
    pub fn observed(&self, before: Option<Plateau>, epoch: u32, loss: f64) -> Option<Plateau> {
        if self.kind != SchedulerKind::Plateau || epoch < self.warmup_epochs {
            return None;
        }
        Some(self.plateau.after(before, loss))
    }

    /// True where another number of epochs means other rates in the epochs before.
    pub fn depends_on_epochs(&self) -> bool {
        self.kind == SchedulerKind::Cosine
    }

    fn decayed(&self, times: u32) -> f64 {
        // Repeated multiplication is the same on every platform, unlike `powf`.
        (0..times).fold(self.base, |rate, _| rate * self.gamma)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: SchedulerKind) -> Schedule {
        Schedule {
            kind,
            base: 0.8,
            epochs: 10,
            step_size: 3,
            gamma: 0.5,
            milestones: vec![2, 7],
            warmup_epochs: 0,
            plateau: PlateauRule { patience: 1, min_delta: 0.0 },
        }
    }

    #[test]
    fn rates_follow_their_formula() {
        let at = |kind, epoch| schedule(kind).rate(epoch, 4, 5, None);
        assert_eq!([0, 9].map(|e| at(SchedulerKind::Constant, e)), [0.8, 0.8]);
        assert_eq!([0, 2, 3, 5, 6, 9].map(|e| at(SchedulerKind::Step, e)), [0.8, 0.8, 0.4, 0.4, 0.2, 0.1]);
        assert_eq!([1, 2, 6, 7].map(|e| at(SchedulerKind::Multistep, e)), [0.8, 0.4, 0.4, 0.2]);
        assert_eq!(at(SchedulerKind::Cosine, 0), 0.8);
        assert!((at(SchedulerKind::Cosine, 5) - 0.4).abs() < 1e-12);
        assert!(at(SchedulerKind::Cosine, 9) > 0.0 && at(SchedulerKind::Cosine, 9) < 0.02);
    }

    #[test]
    fn a_plateau_decays_the_rate_from_the_next_epoch_on() {
        let schedule = Schedule { warmup_epochs: 1, ..schedule(SchedulerKind::Plateau) };
        let mut state = None;
        let mut rates = Vec::new();
        for (epoch, loss) in (0..).zip([1.0, 5.0, 4.0, 4.0, 3.0, 3.5]) {
            rates.push(schedule.rate(epoch, 4, 5, state));
            state = schedule.observed(state, epoch, loss);
        }
        assert_eq!(rates, [0.8, 0.8, 0.8, 0.8, 0.4, 0.4], "the first epoch is warm-up");
        assert_eq!(schedule.rate(6, 0, 5, state), 0.2);
    }

    #[test]
    fn warm_up_rises_step_by_step_to_the_base() {
        let schedule = Schedule { warmup_epochs: 2, ..schedule(SchedulerKind::Cosine) };
        assert!((schedule.rate(0, 0, 5, None) - 0.08).abs() < 1e-12);
        assert!((schedule.rate(1, 4, 5, None) - 0.8).abs() < 1e-12);
        assert_eq!(schedule.rate(2, 0, 5, None), 0.8);
        assert!((schedule.rate(6, 0, 5, None) - 0.4).abs() < 1e-12);
    }
}
