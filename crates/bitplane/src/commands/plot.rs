//! `plot`: pictures of what runs have recorded.

mod curves;
mod lengths;
mod recorded;
mod subject;

use serde::Serialize;
use serde_json::Value;

use crate::cli::plot::{PlotArgs, PlotOf};
use crate::exit::Failure;
use crate::output::{self, shown};
use crate::plot::{Format, chart::Chart, place, save, write};
use crate::statistics::Of;
use subject::Subject;

/// A chart and the data behind it.
struct Drawn {
    chart: Chart,
    lines: Vec<Value>,
}

/// Draws.
///
/// # Errors
/// Folders that hold no run or nothing to draw, files that cannot be written.
pub fn run(args: &PlotArgs) -> Result<(), Failure> {
    let format = Format::of("--output", &args.output)?;
    // A file that cannot be written is known before anything is read.
    let picture = place(&args.output)?;
    if args.data.as_deref().map(place).transpose()? == Some(picture) {
        let message = "--output and --data name the same file; give each its own".to_owned();
        return Err(Failure::Usage { message });
    }
    let subjects = args.runs.iter().map(|run| Subject::read(run)).collect::<Result<Vec<_>, _>>()?;
    let Drawn { mut chart, lines } = draw(args, &subjects)?;
    if let Some(title) = &args.title {
        chart.title.clone_from(title);
    }
    save(&chart.picture(), format, &args.output)?;
    if let Some(data) = &args.data {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        write(data, text.as_bytes())?;
    }
    output::result(&format!("wrote {}", shown(&args.output)))
}

fn draw(args: &PlotArgs, subjects: &[Subject]) -> Result<Drawn, Failure> {
    let Some(what) = args.of else { return Ok(curves::draw(subjects)) };
    let usage = |message: &str| Failure::Usage { message: message.to_owned() };
    let [subject] = subjects else { return Err(usage("--of draws one run; name one RUN")) };
    if what == PlotOf::Bits {
        return lengths::draw(subject);
    }
    let of = match what {
        PlotOf::Weights => Some(Of::Weights),
        PlotOf::Activations => Some(Of::Activations),
        PlotOf::Gradients => Some(Of::Gradients),
        PlotOf::Saturation | PlotOf::SignFlips | PlotOf::GradientScale | PlotOf::Bits => None,
    };
    match (of, &args.histogram) {
        (Some(of), Some(layer)) => recorded::histograms(subject, layer, of, &args.epochs),
        (None, None) => recorded::figures(subject, what),
        (Some(_), None) => Err(usage("--of weights, activations or gradients needs --histogram LAYER")),
        (None, Some(_)) => {
            Err(usage("--histogram goes with --of weights, activations or gradients; leave it away"))
        }
    }
}

/// `record` with the run it belongs to, as one line of data.
fn line(subject: &Subject, record: &impl Serialize) -> Value {
    let mut line = serde_json::to_value(record).expect("records are plain values");
    line["run"] = Value::from(subject.path.display().to_string());
    line
}
