//! `eval`: the accuracy of a trained network.

use crate::batches::Source;
use crate::cli::EvalArgs;
use crate::evaluation::{Portions, evaluate};
use crate::exit::Failure;
use crate::output;
use crate::report::{DeviceReport, EvalReport, SCHEMA, print_json};
use crate::settings::Settings;

use super::products::{forward, show};
use super::trained::find;

/// Evaluates a checkpoint on a test set.
///
/// # Errors
/// A refused run or data set, a device failure, a loss that is not finite.
pub fn run(args: &EvalArgs) -> Result<(), Failure> {
    let flags = Settings {
        device: args.device.clone(),
        kernels: args.kernels,
        allow_nonfinite: args.allow_nonfinite.then_some(true),
        ..Settings::default()
    };
    let trained = find(&args.run, args.checkpoint, flags)?.cut(&args.cut)?;
    let spec = args.data.as_deref().unwrap_or(&trained.data);
    let dataset = trained.dataset(spec)?;
    let portions = Portions { batch_size: trained.batch_size, limit: args.limit_test_batches };
    let pictures: &[&[u8]] = if dataset.test.files.is_some() { &[] } else { &[&dataset.test.pixels] };
    let (mut session, input) = trained.open(portions.batch_size, pictures)?;
    let layers = forward(&session);
    show(&layers);
    let source = Source::new(&dataset.test, &session, 0);
    let totals =
        evaluate(&mut session, &source, &input, portions, || true)?.expect("nothing stops this evaluation");
    let device = DeviceReport::from(session.executor_mut().info());
    if args.json {
        return print_json(&EvalReport {
            schema: SCHEMA,
            run: args.run.display().to_string(),
            checkpoint: trained.file,
            model: trained.identity.model,
            data: dataset.name,
            bits: trained.identity.bits,
            test_accuracy: totals.accuracy(),
            correct: totals.correct,
            top5: totals.top5,
            total: totals.total,
            loss: totals.loss(),
            device,
            layers,
        });
    }
    output::result(&format!(
        "test accuracy {:.4} ({} of {}), top-5 {:.4}, loss {:.4}, {} on {}",
        totals.accuracy(),
        totals.correct,
        totals.total,
        totals.top5_accuracy(),
        totals.loss(),
        trained.file,
        device.name
    ))
}
