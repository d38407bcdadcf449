//! `predict`: the classes of images.

use std::path::{Path, PathBuf};

use gpu::Gpu;
use graph::{Batch, Session, Transform};
use pollster::block_on;
use serde::Serialize;

use crate::batches::centered;
use crate::cli::PredictArgs;
use crate::exit::Failure;
use crate::output;
use crate::report::{DeviceReport, SCHEMA, print_json};
use crate::settings::Settings;

use super::trained::{Trained, find};

/// Images run at once at most.
const BATCH: usize = 64;

#[derive(Serialize)]
struct Guess {
    class: String,
    index: usize,
    probability: f64,
}

#[derive(Serialize)]
struct Prediction {
    image: String,
    guesses: Vec<Guess>,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    run: String,
    checkpoint: String,
    predictions: Vec<Prediction>,
    device: DeviceReport,
}

/// Classifies each image.
///
/// # Errors
/// A refused run or image, a device failure.
pub fn run(args: &PredictArgs) -> Result<(), Failure> {
    let flags = Settings {
        device: args.device.clone(),
        allow_nonfinite: args.allow_nonfinite.then_some(true),
        ..Settings::default()
    };
    let trained = find(&args.run, args.checkpoint, flags)?.cut(&args.cut)?;
    let Trained { identity, file, .. } = &trained;
    // A picture that cannot be used is refused before the device does anything.
    let decode = |path: &PathBuf| data::decode_as(&identity.data, path, identity.image);
    let pixels: Vec<Vec<u8>> = args.images.iter().map(decode).collect::<Result<_, _>>()?;
    let batch_size = args.images.len().min(BATCH);
    let (mut session, input) = trained.open(u32::try_from(batch_size).expect("a batch is small"), &[])?;
    let shown = centered(&input);
    block_on(session.freeze())?;
    let mut predictions = Vec::new();
    for (paths, pixels) in args.images.chunks(batch_size).zip(pixels.chunks(batch_size)) {
        let scores = logits(&mut session, &pixels.concat(), &vec![shown; paths.len()])?;
        for (path, scores) in paths.iter().zip(scores.chunks(identity.classes.len())) {
            let guesses = best_guesses(scores, &identity.classes, args.top_k as usize);
            predictions.push(Prediction { image: name(path), guesses });
        }
    }
    if args.json {
        let device = DeviceReport::from(session.executor_mut().info());
        let run = args.run.display().to_string();
        return print_json(&Report { schema: SCHEMA, run, checkpoint: file.clone(), predictions, device });
    }
    for prediction in &predictions {
        let guesses: Vec<String> = prediction
            .guesses
            .iter()
            .map(|guess| format!("{} {:.4}", guess.class, guess.probability))
            .collect();
        output::result(&format!("{}: {}", prediction.image, guesses.join(", ")))?;
    }
    Ok(())
}

fn name(path: &Path) -> String {
    output::shown(path)
}

fn logits(session: &mut Session<Gpu>, pixels: &[u8], transforms: &[Transform]) -> Result<Vec<f32>, Failure> {
    // The labels only count hits, which nobody asks for here.
    let labels = vec![0; transforms.len()];
    Ok(block_on(session.logits(&Batch { pixels, labels: &labels, transforms }))?)
}

/// The `count` most probable classes by softmax, best first; the lower index goes first among equals.
fn best_guesses(scores: &[f32], classes: &[String], count: usize) -> Vec<Guess> {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = scores.iter().map(|&score| f64::from(score - highest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let guess = |index: usize| Guess {
        class: data::printable(&classes[index]),
        index,
        probability: weights[index] / sum,
    };
    order.into_iter().take(count).map(guess).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_sorted_probabilities() {
        let classes: Vec<String> = ["a", "b", "c"].map(String::from).into();
        let guesses = best_guesses(&[1000.0, 1002.0, 1000.0], &classes, 2);
        assert_eq!(guesses.iter().map(|g| g.class.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        let wanted = 1.0 / (1.0 + 2.0 * (-2f64).exp());
        assert!((guesses[0].probability - wanted).abs() < 1e-12);
        assert_eq!(best_guesses(&[0.0; 3], &classes, 9).len(), 3);
    }
}
