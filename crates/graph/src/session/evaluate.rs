//! Evaluation in the deployed form.

use recording::{Executor, ExecutorError};

use super::{Evaluation, Session};
use crate::{GraphError, Phase, batch::Batch, deploy::FoldValues};

/// Fills the hits before an evaluation; no kernel writes it, so where it is left nothing was evaluated.
const UNSEEN: u32 = u32::MAX;

impl<E: Executor> Session<E> {
    /// Packs the weights and folds batch norm into integer thresholds; [`Session::evaluate`] uses them until the next
    /// training step.
    ///
    /// # Errors
    /// Reports of queued steps that nobody has taken, or a device failure.
    pub async fn freeze(&mut self) -> Result<(), GraphError> {
        self.expect_settled("freeze")?;
        self.run(Phase::Freeze).await?;
        for fold in self.schedule.recorder.folds.clone() {
            let mut values = FoldValues::default();
            if let Some((scale, _)) = fold.scale {
                values.scale = self.read_f32(scale).await?;
            }
            if let Some(norm) = fold.batch_norm {
                values.mean = self.read_f32(norm.mean).await?;
                values.variance = self.read_f32(norm.variance).await?;
                values.gamma = self.read_f32(norm.gamma).await?;
                values.beta = self.read_f32(norm.beta).await?;
            }
            self.write(fold.thresholds, &fold.thresholds(&values))?;
        }
        self.frozen = true;
        Ok(())
    }

    /// Loss and hits of up to a batch of samples in the deployed form.
    ///
    /// # Errors
    /// [`Session::freeze`] was not called since the last step, too many samples, or a device failure.
    pub async fn evaluate(&mut self, batch: &Batch<'_>) -> Result<Evaluation, GraphError> {
        let hits = self.infer(batch).await?;
        let mut result = Evaluation::default();
        let mut left = batch.labels.len();
        for (losses, hits) in self.schedule.ports.losses.clone().into_iter().zip(hits) {
            let losses = self.read_f32(losses).await?;
            for (loss, hit) in losses.iter().zip(&hits).take(left) {
                result.loss_sum += f64::from(*loss);
                result.top1 += hit & 1;
                result.top5 += hit >> 1 & 1;
                result.samples += 1;
            }
            left = left.saturating_sub(losses.len());
        }
        Ok(result)
    }

    /// Class scores `[samples][classes]` of up to a batch of samples in the deployed form; labels are not used.
    ///
    /// # Errors
    /// As [`Session::evaluate`].
    pub async fn logits(&mut self, batch: &Batch<'_>) -> Result<Vec<f32>, GraphError> {
        self.infer(batch).await?;
        let mut scores = Vec::new();
        for slice in self.schedule.ports.logits.clone() {
            scores.extend(self.read_f32(slice).await?);
        }
        scores.truncate(batch.labels.len() * self.classes as usize);
        if scores.iter().any(|score: &f32| !score.is_finite()) {
            let (layer, what) = ("loss".to_owned(), "class scores".to_owned());
            return Err(GraphError::NonFinite { layer, what, step: self.step });
        }
        Ok(scores)
    }

    /// Evaluates a batch and returns the hits of each chunk, which prove that it ran.
    async fn infer(&mut self, batch: &Batch<'_>) -> Result<Vec<Vec<u32>>, GraphError> {
        if !self.frozen {
            return Err(GraphError::Order {
                call: "evaluate",
                message: "freeze comes first, and after every step",
            });
        }
        self.upload(batch)?;
        self.ready = None;
        for hits in self.schedule.ports.hits.clone() {
            self.write(hits, &vec![UNSEEN; hits.words as usize])?;
        }
        self.run(Phase::Evaluate).await?;
        let mut chunks = Vec::new();
        for hits in self.schedule.ports.hits.clone() {
            let hits = self.read(hits).await?;
            if let Some(&found) = hits.iter().find(|hit| **hit == UNSEEN) {
                return Err(ExecutorError::StepToken { found, expected: 0 }.into());
            }
            chunks.push(hits);
        }
        Ok(chunks)
    }
}
