//! How far a training has come.

use serde::{Deserialize, Serialize};

use crate::plateau::Plateau;

/// Sums over the training batches of the running epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// Bits of the f64 sum of losses over samples; as a number, JSON would round it.
    loss_bits: u64,
    /// Samples whose first guess was right.
    pub top1: u64,
    /// Samples.
    pub samples: u64,
}

impl Sums {
    /// Adds a batch of `samples` with mean loss `loss` and `top1` right.
    pub fn add(&mut self, loss: f32, top1: u32, samples: u32) {
        let sum = f64::from_bits(self.loss_bits) + f64::from(loss) * f64::from(samples);
        self.loss_bits = sum.to_bits();
        self.top1 += u64::from(top1);
        self.samples += u64::from(samples);
    }

    /// Mean loss over the samples so far.
    pub fn mean_loss(&self) -> f64 {
        f64::from_bits(self.loss_bits) / self.samples.max(1) as f64
    }

    /// Fraction of right first guesses so far.
    pub fn accuracy(&self) -> f64 {
        self.top1 as f64 / self.samples.max(1) as f64
    }
}

/// The best evaluation so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Its epoch, from 1.
    pub epoch: u32,
    /// Right first guesses.
    pub correct: u64,
    /// Samples.
    pub total: u64,
}

impl Best {
    /// Fraction of right first guesses.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.total.max(1) as f64
    }
}

/// How far a training has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Epochs that are complete, with their evaluation.
    pub epoch: u32,
    /// Steps done in the running epoch.
    pub step_in_epoch: u32,
    /// Steps done in all.
    pub step: u32,
    /// Sums over the running epoch.
    pub sums: Sums,
    /// The best evaluation, if there was one.
    pub best: Option<Best>,
    /// What a plateau schedule has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plateau: Option<Plateau>,
}
