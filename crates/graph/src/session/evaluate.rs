//! Evaluation in the deployed form.

use recording::{BufferSlice, Executor, ExecutorError, Ticket};

use super::{Evaluation, RING, Session};
use crate::{GraphError, Input, Phase, fold::FoldValues};

/// Fills the hits before an evaluation; no kernel writes it, so where it is left nothing was evaluated.
const UNSEEN: u32 = u32::MAX;

/// A queued evaluation whose results are on their way to the host.
#[derive(Debug)]
pub(crate) struct QueuedEvaluation {
    samples: usize,
    results: Ticket,
}

impl<E: Executor> Session<E> {
    /// Packs the weights and folds batch norm into integer thresholds; [`Session::evaluate`] uses them until the next
    /// training step.
    ///
    /// # Errors
    /// Reports of queued steps that nobody has taken, or a device failure.
    pub async fn freeze(&mut self) -> Result<(), GraphError> {
        self.expect_settled("freeze")?;
        // What a forward pass leaves for its backward pass is overwritten.
        self.ready = self.ready.filter(|phase| *phase == Phase::Apply);
        self.run(Phase::Freeze).await?;
        for fold in self.schedule.recorder.folds.clone() {
            let mut values = FoldValues::default();
            for (scale, _) in &fold.scales {
                values.scale.extend(self.read_f32(*scale).await?);
            }
            if let Some(bias) = fold.bias {
                values.bias = self.read_f32(bias).await?;
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
    /// [`Session::freeze`] was not called since the last step, results of queued evaluations that nobody has taken, too many
    /// samples, or a device failure.
    pub async fn evaluate(&mut self, input: impl Into<Input<'_>>) -> Result<Evaluation, GraphError> {
        self.evaluate_alone("evaluate", &input.into()).await
    }

    /// Class scores `[samples][classes]` of up to a batch of samples in the deployed form; labels are not used.
    ///
    /// # Errors
    /// As [`Session::evaluate`].
    pub async fn logits(&mut self, input: impl Into<Input<'_>>) -> Result<Vec<f32>, GraphError> {
        let input = input.into();
        self.evaluate_alone("logits", &input).await?;
        let mut scores = Vec::new();
        for slice in self.schedule.ports.logits.clone() {
            scores.extend(self.read_f32(slice).await?);
        }
        scores.truncate(input.labels.len() * self.classes as usize);
        if scores.iter().any(|score: &f32| !score.is_finite()) {
            let (layer, what) = ("loss".to_owned(), "class scores".to_owned());
            return Err(GraphError::NonFinite { layer, what, step: self.step });
        }
        Ok(scores)
    }

    async fn evaluate_alone(
        &mut self,
        call: &'static str,
        input: &Input<'_>,
    ) -> Result<Evaluation, GraphError> {
        if !self.evaluations.is_empty() {
            let message = "the results of queued evaluations come first";
            return Err(GraphError::Order { call, message });
        }
        self.queue_evaluation(call, input).await?;
        Ok(self.next_evaluation().await?.expect("an evaluation was queued"))
    }

    /// Queues the evaluation of up to a batch of samples, and behind it a copy of its results to the host. Waits only where
    /// the device has more to do than keeps it busy.
    ///
    /// # Errors
    /// As [`Session::evaluate`], but for queued evaluations: [`RING`] may be.
    pub async fn submit_evaluation(&mut self, input: impl Into<Input<'_>>) -> Result<(), GraphError> {
        let call = "submit_evaluation";
        if self.evaluations.len() >= RING {
            return Err(GraphError::Order { call, message: "the results of earlier evaluations come first" });
        }
        self.queue_evaluation(call, &input.into()).await
    }

    async fn queue_evaluation(&mut self, call: &'static str, input: &Input<'_>) -> Result<(), GraphError> {
        if !self.frozen {
            return Err(GraphError::Order { call, message: "freeze comes first, and after every step" });
        }
        self.upload(input)?;
        self.ready = None;
        let results = self.schedule.ports.results.expect("an evaluation is recorded");
        let mut words = std::mem::take(&mut self.words);
        words.clear();
        words.resize(results.words as usize, UNSEEN);
        let written = self.write(results, &words);
        self.words = words;
        written?;
        let results = self.place(results);
        let prepared = self.prepared.get(&Phase::Evaluate).expect("an evaluation is prepared");
        let results = self.executor.run_and_read(prepared, results).await?;
        self.evaluations.push_back(QueuedEvaluation { samples: input.labels.len(), results });
        Ok(())
    }

    /// Evaluations that were queued and whose results nobody has taken yet.
    pub fn evaluations_in_flight(&self) -> usize {
        self.evaluations.len()
    }

    /// The results of the oldest evaluation in flight, after a wait where they have not arrived; `None` where there is none.
    ///
    /// # Errors
    /// An evaluation that did nothing is a [`ExecutorError::StepToken`]; device failures. Either takes the results.
    pub async fn next_evaluation(&mut self) -> Result<Option<Evaluation>, GraphError> {
        let Some(QueuedEvaluation { samples, results }) = self.evaluations.pop_front() else {
            return Ok(None);
        };
        let mut words = std::mem::take(&mut self.words);
        self.executor.take(results, &mut words).await?;
        let evaluation = self.sum(&words, samples);
        self.words = words;
        evaluation.map(Some)
    }

    /// Sums over the first `samples` samples of what an evaluation wrote.
    fn sum(&self, results: &[u32], samples: usize) -> Result<Evaluation, GraphError> {
        let part = |slice: &BufferSlice| &results[slice.offset as usize..][..slice.words as usize];
        let ports = &self.schedule.ports;
        let mut evaluation = Evaluation::default();
        let mut left = samples;
        for (losses, hits) in ports.losses.iter().zip(&ports.hits) {
            let (losses, hits) = (part(losses), part(hits));
            if let Some(&found) = hits.iter().find(|hit| **hit == UNSEEN) {
                return Err(ExecutorError::StepToken { found, expected: 0 }.into());
            }
            for (loss, hit) in losses.iter().zip(hits).take(left) {
                evaluation.loss_sum += f64::from(f32::from_bits(*loss));
                evaluation.top1 += hit & 1;
                evaluation.top5 += hit >> 1 & 1;
                evaluation.samples += 1;
            }
            left = left.saturating_sub(losses.len());
        }
        Ok(evaluation)
    }
}
