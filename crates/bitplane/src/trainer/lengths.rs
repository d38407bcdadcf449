//! Learned bit lengths during a training: recorded anew as they move, rounded up once, and reported.

use pollster::block_on;

use super::{Backend, OPEN, Trainer};
use crate::exit::Failure;
use crate::learned_bits::{FOLLOW_STEPS, LengthRecord};

impl<B: Backend> Trainer<'_, B> {
    /// True where the network may have to be recorded again before the next step. Doing so twice changes nothing, so that a
    /// resumed run does it again.
    pub(super) fn is_follow_due(&self) -> bool {
        self.setup.config.trained_lengths().is_some()
            && self.position.step > 0
            && (self.position.step + self.in_flight()).is_multiple_of(FOLLOW_STEPS)
    }

    /// Records the network again where its lengths ask for it.
    pub(super) fn follow_lengths(&mut self, freeze: bool) -> Result<(), Failure> {
        block_on(self.session.as_mut().expect(OPEN).follow_lengths(freeze))?;
        Ok(())
    }

    /// What an epoch's end does to the lengths: after the last one that learns them they are rounded up, and the best
    /// evaluation is searched from there on.
    pub(super) fn end_epoch_of_lengths(&mut self) -> Result<(), Failure> {
        let Some(learned) = self.setup.config.trained_lengths() else { return Ok(()) };
        let freeze = self.position.epoch + 1 == learned.bits_freeze_epoch;
        if freeze {
            self.position.best = None;
        }
        self.follow_lengths(freeze)
    }

    /// The lengths for the epoch's record.
    pub(super) fn length_record(&mut self) -> Result<Option<LengthRecord>, Failure> {
        if self.setup.config.trained_lengths().is_none() {
            return Ok(None);
        }
        Ok(LengthRecord::of(&block_on(self.session.as_mut().expect(OPEN).bit_lengths())?))
    }
}
