//! A learning rate that decays where the training loss no longer falls.

use serde::{Deserialize, Serialize};

/// When the rate decays, as Keras' `ReduceLROnPlateau` has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlateauRule {
    /// Epochs without improvement after which the rate decays.
    pub patience: u32,
    /// A loss counts as better where it is lower than the best by more than this.
    pub min_delta: f64,
}

/// What the epochs so far mean for the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plateau {
    /// Bits of the f64 that is the best mean loss; as a number, JSON would round it.
    best_bits: u64,
    /// Epochs since it, or since the last decay.
    waited: u32,
    /// Decays so far.
    pub decays: u32,
}

impl PlateauRule {
    /// The state after an epoch of mean loss `loss` that began in state `before`.
    pub fn after(&self, before: Option<Plateau>, loss: f64) -> Plateau {
        let Some(Plateau { best_bits, waited, decays }) = before else {
            return Plateau { best_bits: loss.to_bits(), waited: 0, decays: 0 };
        };
        if loss < f64::from_bits(best_bits) - self.min_delta {
            return Plateau { best_bits: loss.to_bits(), waited: 0, decays };
        }
        match waited + 1 {
            waited if waited >= self.patience => Plateau { best_bits, waited: 0, decays: decays + 1 },
            waited => Plateau { best_bits, waited, decays },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_decays_after_epochs_without_improvement() {
        let rule = PlateauRule { patience: 2, min_delta: 0.1 };
        let losses = [2.0, 1.5, 1.45, 1.3, 1.25, 1.21, 1.3, 1.3, 1.0, 0.95, 0.95];
        let mut state = None;
        let mut decays = Vec::new();
        for loss in losses {
            state = Some(rule.after(state, loss));
            decays.extend(state.map(|state| state.decays));
        }
        // 1.45 is no improvement on 1.5, 1.3 is; two epochs later the first decay, and two later the second.
        assert_eq!(decays, [0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 3]);
    }

    #[test]
    fn the_state_survives_as_it_is() {
        let state = PlateauRule { patience: 3, min_delta: 0.0 }.after(None, 0.1 + 0.2);
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<Plateau>(&text).unwrap(), state);
        assert_eq!(f64::from_bits(state.best_bits).to_bits(), (0.1f64 + 0.2).to_bits());
    }
}
