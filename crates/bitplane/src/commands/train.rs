//! `train`: from settings to a run folder with a trained network.

mod resumed;

use std::path::{Path, PathBuf};

use data::Dataset;
use gpu::Gpu;
use graph::{Change, Session};
use resumed::Resumed;

use super::config::resolve;
use super::products::{all, show};
use crate::bit_masks;
use crate::cli::TrainArgs;
use crate::config::Config;
use crate::dataset;
use crate::engine::Engine;
use crate::exit::Failure;
use crate::fault::Fault;
use crate::identity::Identity;
use crate::initial::{self, Initial};
use crate::method::ActivationForm;
use crate::models::ModelInput;
use crate::output::{self, note, shown};
use crate::report::{DeviceReport, SCHEMA, TrainReport, bytes, grouped, print_json};
use crate::run::{self, RunFolder};
use crate::settings::Settings;
use crate::signal;
use crate::storage::{Disk, Storage};
use crate::store::{Store, Which};
use crate::teacher::{self, Teacher};
use crate::tensorboard::{self, EventFile};
use crate::trainer::{Backend, Outcome, Setup, Start, Trainer, steps_per_epoch};

/// The run that is gone on with, and the checkpoint.
struct Resume {
    path: PathBuf,
    which: Which,
}

/// What a command line may ask for beside its settings.
struct Extras {
    fault: Option<Fault>,
    tune: bool,
    overwrite: bool,
    teacher: Option<Teacher>,
}

/// Trains.
///
/// # Errors
/// [`Failure`] for everything that ends training early; a folder in which nothing was trained is removed again.
pub fn run(args: TrainArgs) -> Result<(), Failure> {
    let file = args.config.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
    args.settings.check_flags()?;
    let fault = Fault::from_environment()?;
    if args.stop_with_stdin {
        signal::follow_stdin();
    }
    let settings = args.settings.or(file);
    let resume = args
        .resume
        .as_deref()
        .map(|given| find_run(given, args.output_dir.as_deref(), &settings))
        .transpose()?;
    let mut config = match &resume {
        None => resolve(settings, Settings::default())?,
        Some(resume) => merged(settings, run::read_settings(&resume.path)?, &resume.path)?,
    };
    let stored = match &resume {
        Some(Resume { path, which }) => resumed::image(which, path, &config)?,
        None => None,
    };
    let dataset = dataset::for_training(&config, stored)?;
    steps_per_epoch(&config, &dataset)?;
    check_colors(&config, &dataset)?;
    let initial = match resume {
        None => initial::read(&config, &model_input(&dataset))?,
        Some(_) => None,
    };
    let image = [dataset.height, dataset.width, dataset.channels];
    let teacher = teacher::read(&config, &Identity::new(&config, image, dataset.classes.clone()))?;
    config.teacher_sha256 = teacher.as_ref().map(|teacher| teacher.sha256.clone());
    config.init_sha256 = initial.as_ref().map_or(config.init_sha256, |initial| Some(initial.sha256.clone()));
    let mut folder = match (&resume, &args.output_dir) {
        (Some(resume), _) => RunFolder::reopen(&resume.path)?,
        (None, Some(path)) => RunFolder::create(path, args.overwrite)?,
        (None, None) => RunFolder::create_numbered(&default_folder(&config))?,
    };
    let outcome = train(
        &config,
        &dataset,
        &mut folder,
        match &resume {
            Some(resume) => Origin::Run(&resume.which),
            None => Origin::New(initial),
        },
        Extras { fault, tune: args.tune, overwrite: args.overwrite, teacher },
    )?;
    finish(&outcome, &folder, args.json)
}

/// Gray pictures have no colors to change.
fn check_colors(config: &Config, dataset: &Dataset) -> Result<(), Failure> {
    if config.augment.change() != Change::Color || dataset.channels == 3 {
        return Ok(());
    }
    let message = format!(
        "--augment changes colors, but pictures of {} have {} channel; choose another, such as crop",
        data::printable(&dataset.name),
        dataset.channels
    );
    Err(Failure::Usage { message })
}

/// Settings of the run, with what may change in a resumed one taken from the flags.
fn merged(flags: Settings, stored: Settings, path: &Path) -> Result<Config, Failure> {
    let config = resolve(flags, stored.clone())?;
    let before = resolve(Settings::default(), stored)?;
    let differences = config.differences(&before);
    if differences.is_empty() {
        return Ok(config);
    }
    let message = format!(
        "the run in {} was started with other settings ({}); resume it without these flags, or start a new run",
        shown(path),
        data::printable(&differences.join("; "))
    );
    Err(Failure::Usage { message })
}

/// The run and the checkpoint that the argument of `--resume` means.
fn find_run(given: &Path, output_dir: Option<&Path>, settings: &Settings) -> Result<Resume, Failure> {
    let named = match given.to_str() {
        Some("last") => Some(Which::Last),
        Some("best") => Some(Which::Best),
        _ => None,
    };
    if let Some(which) = named {
        let path = match output_dir {
            Some(path) => path.to_owned(),
            None => {
                let base = default_folder(&resolve(settings.clone(), Settings::default())?);
                run::newest(&base).ok_or_else(|| Failure::Usage {
                    message: format!(
                        "there is no run {} to go on with; name one with --resume RUN",
                        shown(&base)
                    ),
                })?
            }
        };
        return Ok(Resume { path, which });
    }
    if output_dir.is_some() {
        let message = "--resume PATH names the run already; leave --output-dir away".to_owned();
        return Err(Failure::Usage { message });
    }
    let file = given.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".safetensors"));
    match (file, given.parent().and_then(Path::parent)) {
        (Some(file), Some(run)) if given.is_file() => {
            let path = if run.as_os_str().is_empty() { PathBuf::from(".") } else { run.to_owned() };
            Ok(Resume { path, which: Which::File(file.to_owned()) })
        }
        _ => Ok(Resume { path: given.to_owned(), which: Which::Last }),
    }
}

fn default_folder(config: &Config) -> PathBuf {
    Path::new("runs").join(config.run_name())
}

fn model_input(dataset: &Dataset) -> ModelInput {
    let Dataset { height, width, channels, .. } = *dataset;
    let classes = u32::try_from(dataset.classes.len()).expect("data sets have few classes");
    ModelInput { height, width, channels, classes }
}

/// What a training goes on from.
enum Origin<'a> {
    /// A checkpoint of the run.
    Run(&'a Which),
    /// Nothing, or the weights of another training.
    New(Option<Initial>),
}

/// The report, but for where it lies.
fn train(
    config: &Config,
    dataset: &Dataset,
    folder: &mut RunFolder,
    origin: Origin<'_>,
    Extras { fault, tune, overwrite, teacher }: Extras,
) -> Result<TrainReport, Failure> {
    let storage: &dyn Storage = &Disk;
    let image = [dataset.height, dataset.width, dataset.channels];
    let identity = Identity::new(config, image, dataset.classes.clone());
    let input = model_input(dataset);
    let (resumed, initial) = match origin {
        Origin::Run(which) => (Some(Resumed::read(which, folder, (&identity, config, &input))?), None),
        Origin::New(initial) => (None, initial.map(|initial| initial.tensors)),
    };
    let in_files = dataset.train.files.is_some() || dataset.test.files.is_some();
    let pictures = [dataset.train.pixels.as_slice(), &dataset.test.pixels];
    let pictures = if in_files { &[] } else { &pictures[..] };
    let mut engine = Engine::new(config, &input, config.batch_size)?.holding(pictures);
    if let Some(teacher) = teacher {
        engine = engine.taught_by(teacher, config)?;
    }
    let observed = observed_layers(config, &engine.weighted_layers())?;
    let events = config.tensorboard.as_ref().map(|given| folder.tensorboard(given));
    if let Some(events) = events.as_ref().filter(|_| resumed.is_none() && !overwrite) {
        refuse_present(events)?;
    }
    if resumed.is_some() {
        engine = engine.preferring(run::kernels(folder.path()));
    }
    if tune {
        note("measuring which kernels are fastest");
        engine.tune(|tuned| note(&format!("  {}", tuned.describe())))?;
    }
    let mut session = engine.open()?;
    let device = DeviceReport::from(session.executor_mut().info());
    let layers = all(&session);
    introduce(config, &session);
    if let Some(cut) = &config.cut_to {
        let trained = grouped(engine.network().trained_count());
        note(&format!("  cut to {cut} bits; batch norm alone is trained, {trained} of these parameters"));
    }
    show(&layers);
    if let Some(events) = &events {
        make_events_folder(storage, events)?;
    }
    folder.begin(storage, config, resumed.is_none())?;
    if let Some(choices) = engine.choices() {
        folder.write_kernels(storage, &choices)?;
    }
    let (store, mut start) = match resumed {
        Some(resumed) => resumed.rewind(folder)?,
        // What an overwritten run had there, damaged or not, is gone by now.
        None => (Store::open(storage, &folder.checkpoints())?, Start { initial, ..Start::default() }),
    };
    let masks = bit_masks::choose(config, engine.network(), &mut session, &mut start)?;
    let events = match (&events, &start.checkpoint) {
        (None, _) => None,
        (Some(path), None) => Some(EventFile::create(storage, path)?),
        // What the file holds of the running epoch's steps will be written again at its end.
        (Some(path), Some(_)) => {
            let step = start.records.last().map_or(0, |record| record.step);
            Some(EventFile::resume(storage, path, step)?)
        }
    };
    let (parameters, gpu_bytes) = (session.parameter_count(), session.memory_bytes());
    let setup = Setup {
        config,
        data: dataset,
        input: engine.input(),
        identity: identity.clone(),
        run: folder,
        storage,
        fault,
        observed: &observed,
        events,
    };
    signal::install();
    let Outcome { records, best, recoveries } = Trainer::new(setup, &engine, session, store, start)?.run()?;
    let lengths = records.last().and_then(|record| record.bits.as_ref());
    let learned = |of_weights| lengths.and_then(|lengths| lengths.layer_mean(of_weights));
    Ok(TrainReport {
        schema: SCHEMA,
        model: identity.model,
        data: dataset.name.clone(),
        bits: identity.bits,
        seed: identity.seed,
        device,
        parameters,
        layers,
        average_bits: masks.map(|cost| cost.average_bits()).or(learned(true)),
        average_activation_bits: learned(false),
        executed_planes: masks.map(|cost| cost.executed_planes()),
        epochs: records,
        best_test_accuracy: best.map_or(0.0, |best| best.accuracy()),
        best_epoch: best.map_or(0, |best| best.epoch),
        gpu_bytes,
        recoveries,
        run: folder.path().display().to_string(),
    })
}

/// The layers that `--histograms` names, in the network's order.
fn observed_layers(config: &Config, known: &[&str]) -> Result<Vec<String>, Failure> {
    let wanted = &config.histograms;
    if let Some(unknown) = wanted.iter().find(|name| *name != "all" && !known.contains(&name.as_str())) {
        let message = format!(
            "--histograms names `{}`, which is no layer of {} with weights; those are {}, or write all",
            data::printable(unknown),
            config.model,
            known.join(", ")
        );
        return Err(Failure::Usage { message });
    }
    let is_wanted = |name: &&str| wanted.iter().any(|wanted| wanted == "all" || wanted == name);
    Ok(known.iter().copied().filter(is_wanted).map(str::to_owned).collect())
}

/// Another run's events are not mixed with those of a new one.
fn refuse_present(folder: &Path) -> Result<(), Failure> {
    let file = folder.join(tensorboard::FILE);
    if file.exists() {
        let message = format!(
            "{} exists already; choose another --tensorboard or --output-dir, or remove it",
            shown(&file)
        );
        return Err(Failure::Usage { message });
    }
    Ok(())
}

/// Makes the folder that `--tensorboard` names while nothing of the run is written yet.
fn make_events_folder(storage: &dyn Storage, folder: &Path) -> Result<(), Failure> {
    storage.create_dir_all(folder).map_err(|error| {
        let source = std::io::Error::new(error.kind(), format!("{error}; choose another --tensorboard"));
        Failure::Write { path: folder.to_owned(), source }
    })
}

/// Says on standard error what is about to be trained.
fn introduce(config: &Config, session: &Session<Gpu>) {
    note(&format!(
        "{} at {} bits, seed {}: {} parameters, {} on the device",
        config.model,
        config.computed_bits(),
        config.seed,
        grouped(session.parameter_count()),
        bytes(session.memory_bytes())
    ));
    if config.activation_form == ActivationForm::Cabs {
        note(
            "  activations min(1, |x|) are not monotone: evaluations quantize in f32, not by integer thresholds",
        );
    }
    if config.activation_scale {
        note("  the activations' factor depends on the picture: evaluations quantize behind it in f32");
    }
    if session.resident() == 0 {
        note("  the pictures stay off the device, each batch brings its own");
    }
}

fn finish(report: &TrainReport, folder: &RunFolder, json: bool) -> Result<(), Failure> {
    let run = shown(folder.path());
    let lines = [
        format!("best test accuracy {:.4} in epoch {}", report.best_test_accuracy, report.best_epoch),
        format!("run       {run}"),
        format!("evaluate  bitplane eval {run}"),
        format!("predict   bitplane predict {run} IMAGE.png"),
    ];
    if json {
        lines.iter().for_each(|line| note(line));
        return print_json(report);
    }
    lines.iter().try_for_each(|line| output::result(line))
}
