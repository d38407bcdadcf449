//! Histograms and figures of layers at the end of an epoch, between its last step and its evaluation.

use pollster::block_on;

use super::{Backend, OPEN, Trainer};
use crate::batches::Epoch;
use crate::checkpoint::Checkpoint;
use crate::exit::Failure;
use crate::statistics::{Collector, Signs, Statistics};

impl<B: Backend> Trainer<'_, B> {
    /// Keeps the signs that the weights have where an epoch begins; later, every epoch's end leaves them.
    pub(super) fn remember_signs(&mut self) -> Result<(), Failure> {
        let layers = self.setup.observed;
        if !layers.is_empty() && self.signs.is_none() && self.position.step_in_epoch == 0 {
            let state = block_on(self.session.as_mut().expect(OPEN).state())?;
            self.signs = Some(Signs::of(layers, &state));
        }
        Ok(())
    }

    /// Looks at the observed layers over the epoch's first batch with the weights that the epoch ended with,
    /// which are those of `ended`; nothing where no layer is observed or it is not the epoch's turn. Training
    /// goes on as without it.
    pub(super) fn observe(&mut self, ended: &Checkpoint) -> Result<Option<Statistics>, Failure> {
        let layers = self.setup.observed;
        if layers.is_empty() {
            return Ok(None);
        }
        let now = Signs::of(layers, &ended.tensors);
        let before = self.signs.replace(now.clone());
        let (epoch, step) = (self.position.epoch + 1, self.position.step);
        if !epoch.is_multiple_of(self.setup.config.histogram_every) {
            return Ok(None);
        }
        let mut collector = Collector::default();
        let order = Epoch::new(self.setup.config.seed, self.position.epoch, self.setup.data.train.len());
        self.with_batch(&order, 0, |session, batch| {
            block_on(session.observe(batch, step, layers, |part| collector.add(part)))
        })?;
        Ok(Some(collector.finish((epoch, step), layers, &now, before.as_ref())))
    }
}
