//! A look at the values of one training step that changes nothing.

use std::collections::BTreeSet;

use recording::{BufferSlice, Executor, ExecutorError, Recording};

use super::Session;
use crate::{
    GraphError, Input, Phase,
    tap::{Form, Quantity, Tap, WEIGHT},
};

/// Values of one layer in one training step; a large batch brings them in several parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Layer name.
    pub layer: String,
    /// What they are.
    pub quantity: Quantity,
    /// The values.
    pub data: Data,
}

/// Values as they are computed with.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// f32, those of one sample after those of another; weights are one sample.
    Values {
        /// The values.
        values: Vec<f32>,
        /// Samples.
        samples: usize,
    },
    /// Codes 0 to `n = 2^bits - 1`.
    Codes {
        /// The codes.
        codes: Vec<u8>,
        /// Bits of a code.
        bits: u32,
        /// True where code q stands for `(2q - n) / n` times its scale, false where it stands for `q / n`.
        signed: bool,
        /// One for all codes, or one a sample; 1 where there is no other.
        scales: Vec<f32>,
    },
}

impl<E: Executor> Session<E> {
    /// Runs the forward and the backward pass of training step `step` on a whole batch and hands `see` the
    /// weights, activations and gradients of `layers`: latent values, values before quantization where they
    /// exist, and codes. Parameters, running statistics and the optimizer's state are as before; gradients
    /// are those of this batch.
    ///
    /// # Errors
    /// A batch of another size, reports of queued steps that nobody has taken, a device failure. Values that
    /// are not finite are no error here.
    pub async fn observe(
        &mut self,
        input: impl Into<Input<'_>>,
        step: u32,
        layers: &[String],
        mut see: impl FnMut(Observed),
    ) -> Result<(), GraphError> {
        self.expect_settled("observe")?;
        let statistics: Vec<BufferSlice> = {
            let parameters = self.schedule.recorder.parameters.values();
            parameters
                .filter(|parameter| !parameter.spec.trainable && !parameter.frozen)
                .map(|parameter| parameter.value)
                .collect()
        };
        let mut kept = Vec::new();
        for slice in statistics {
            kept.push((slice, self.read(slice).await?));
        }
        self.begin(&input.into(), step, 0.0)?;
        for layer in layers {
            let parameter = self.schedule.recorder.parameters.get(&format!("{layer}.{WEIGHT}"));
            if let Some(slice) = parameter.map(|parameter| parameter.value) {
                let data = Data::Values { values: self.read_f32(slice).await?, samples: 1 };
                see(Observed { layer: layer.clone(), quantity: Quantity::Weights, data });
            }
        }
        for phase in [Phase::Forward, Phase::Backward] {
            self.observe_phase(phase, layers, &mut see).await?;
        }
        let status = self.read(self.status()).await?;
        for (slice, words) in kept {
            self.write(slice, &words)?;
        }
        match self.judge(&status, step, false) {
            Ok(_) | Err(GraphError::NonFinite { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Runs a phase in pieces, each to where something of `layers` can be read.
    async fn observe_phase(
        &mut self,
        phase: Phase,
        layers: &[String],
        see: &mut impl FnMut(Observed),
    ) -> Result<(), GraphError> {
        let recorder = &self.schedule.recorder;
        let planned = recorder.phases.get(&phase).map_or(&[][..], Vec::as_slice);
        let wanted = recorder.taps.iter().filter(|tap| tap.phase == phase && layers.contains(&tap.layer));
        let mut taps: Vec<(usize, Tap)> = wanted.map(|tap| (tap.ready(planned), tap.clone())).collect();
        taps.sort_by_key(|(ready, _)| *ready);
        let dispatches = self.recordings.get(&phase).cloned().unwrap_or_default().dispatches;
        let mut ends: BTreeSet<usize> = taps.iter().map(|(ready, _)| *ready).collect();
        ends.insert(dispatches.len());
        let mut start = 0;
        for end in ends {
            if end > start {
                let piece = Recording { dispatches: dispatches[start..end].to_vec() };
                let prepared = self.executor.prepare(&piece)?;
                self.executor.run(&prepared).await?;
            }
            for (_, tap) in taps.iter().filter(|(ready, _)| *ready == end) {
                let data = self.look(&tap.form).await?;
                see(Observed { layer: tap.layer.clone(), quantity: tap.quantity, data });
            }
            start = end;
        }
        Ok(())
    }

    async fn look(&mut self, form: &Form) -> Result<Data, GraphError> {
        match *form {
            Form::Values { values, samples } => {
                Ok(Data::Values { values: self.read_f32(values).await?, samples: samples as usize })
            }
            Form::Codes { planes, rows, k, bits, kind, scale } => {
                let words = self.read(planes).await?;
                let scales = match scale {
                    Some(scale) => self.read_f32(scale).await?,
                    None => vec![1.0],
                };
                let (rows, k) = (rows as usize, k as usize);
                let needed = bits as usize * rows * reference::bits::row_words(k);
                if words.len() != needed {
                    let (needed, limit) = (needed as u64, words.len() as u64);
                    let what = "planes to look at".to_owned();
                    return Err(ExecutorError::Limit { what, needed, limit }.into());
                }
                let codes = reference::bits::unpack(&words, rows, k, bits);
                let codes = codes.into_iter().map(|code| code as u8).collect();
                Ok(Data::Codes { codes, bits, signed: kind == kernels::Kind::Sign, scales })
            }
        }
    }
}
