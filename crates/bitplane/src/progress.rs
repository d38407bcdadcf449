//! Progress on standard error: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;
use crate::position::Sums;
use crate::report::EpochRecord;

/// How a training shows where it is.
pub struct Progress {
    bar: Option<ProgressBar>,
    print_freq: u32,
    epochs: u32,
    steps_per_epoch: u32,
    steps_done: u64,
    started: Instant,
    epoch: u32,
}

impl Progress {
    /// For a training of `epochs` epochs of `steps_per_epoch` steps; plain output has a line every `print_freq` steps.
    pub fn new(epochs: u32, steps_per_epoch: u32, print_freq: u32) -> Self {
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        let bar = (std::io::stderr().is_terminal() && !dumb).then(|| {
            let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}")
                .expect("the template is valid")
                .progress_chars("=> ");
            let target = ProgressDrawTarget::stderr_with_hz(10);
            ProgressBar::with_draw_target(Some(u64::from(steps_per_epoch)), target).with_style(style)
        });
        let (steps_done, started, epoch) = (0, Instant::now(), 0);
        Self { bar, print_freq, epochs, steps_per_epoch, steps_done, started, epoch }
    }

    /// Begins or goes on with `epoch` (from 0) after `steps` of its steps.
    pub fn start_epoch(&mut self, epoch: u32, steps: u32) {
        self.epoch = epoch;
        if let Some(bar) = &self.bar {
            bar.set_prefix(format!("epoch {}/{}", epoch + 1, self.epochs));
            bar.set_position(u64::from(steps));
            bar.set_message("");
        }
    }

    /// After step number `steps` of the epoch.
    pub fn step(&mut self, steps: u32, sums: &Sums, images_per_second: f64) {
        self.steps_done += 1;
        let message = format!(
            "loss {:.4} accuracy {:.4} {images_per_second:.0} images/s ETA {}",
            sums.mean_loss(),
            sums.accuracy(),
            duration(self.remaining(steps))
        );
        if let Some(bar) = &self.bar {
            bar.set_position(u64::from(steps));
            bar.set_message(message);
        } else if steps.is_multiple_of(self.print_freq) {
            output::note(&format!(
                "epoch {}/{} step {steps}/{} {message}",
                self.epoch + 1,
                self.epochs,
                self.steps_per_epoch
            ));
        }
    }

    /// After an epoch's evaluation.
    pub fn finish_epoch(&self, record: &EpochRecord, best: bool) {
        let narrower = record.widths.iter().skip(1);
        let narrower: String =
            narrower.map(|width| format!(", {:.4} at {} bits", width.test_accuracy, width.bits)).collect();
        self.note(&format!(
            "epoch {}/{}: train loss {:.4} accuracy {:.4}, test loss {:.4} accuracy {:.4}{}{}{narrower}, {:.1} s, {:.0} images/s",
            record.epoch,
            self.epochs,
            record.train_loss,
            record.train_accuracy,
            record.test_loss,
            record.test_accuracy,
            if best { " (best)" } else { "" },
            record.bits.as_ref().map_or(String::new(), |bits| format!(", {:.2} bits on average", bits.average)),
            record.seconds,
            record.images_per_second,
        ));
    }

    /// A remark that does not break the bar.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    /// Time to the end, from the mean time of a step with its share of evaluation.
    fn remaining(&self, steps: u32) -> Duration {
        let epochs_left = self.epochs.saturating_sub(self.epoch + 1);
        let left = u64::from(epochs_left) * u64::from(self.steps_per_epoch)
            + u64::from(self.steps_per_epoch.saturating_sub(steps));
        self.started.elapsed().div_f64(self.steps_done.max(1) as f64).mul_f64(left as f64)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `3723 s` as `1:02:03`, below an hour `2:03`.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_clocks() {
        assert_eq!(
            [0, 59, 123, 3723].map(|s| duration(Duration::from_secs(s))),
            ["0:00", "0:59", "2:03", "1:02:03"]
        );
    }
}
