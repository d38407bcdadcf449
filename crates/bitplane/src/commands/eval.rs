//! `eval`: the accuracy of a trained network.

use crate::batches::Source;
use crate::cli::EvalArgs;
use crate::evaluation::{Portions, evaluate};
use crate::exit::Failure;
use crate::fetch;
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
    let trained = find(&args.run, args.checkpoint, flags)?;
    let spec = args.data.as_deref().unwrap_or(&trained.data);
    let dataset = data::open_with(&fetch::located(spec), trained.bad_images)?;
    dataset
        .warnings
        .iter()
        .for_each(|warning| output::note(&format!("warning: {}", data::printable(warning))));
    let found = ([dataset.height, dataset.width, dataset.channels], dataset.classes.len());
    let wanted = (trained.identity.image, trained.identity.classes.len());
    if found != wanted {
        let message = format!(
            "the data set {} has images of {:?} in {} classes, the network was trained on {:?} in {}; \
             choose a --data that fits",
            data::printable(&dataset.name),
            found.0,
            found.1,
            wanted.0,
            wanted.1
        );
        return Err(Failure::Usage { message });
    }
    let portions = Portions { batch_size: trained.batch_size, limit: args.limit_test_batches };
    let (mut session, input) = trained.open(portions.batch_size, &[&dataset.test.pixels])?;
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
