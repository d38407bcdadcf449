//! `bench infer FILE`: a packed network on the adapter and on the processor.

use std::time::Instant;

use graph::{Change, KernelPlan, Optimizer, Session, SessionOptions};
use packed::{File, Network};
use pollster::block_on;

use super::choices::plan;
use super::context::{Bench, go_on, open_device};
use super::rows::Row;
use super::subject::{Subject, batches_of_a_repetition, close, most_memory};
use crate::cli::bench::NetworkArgs;
use crate::exit::Failure;
use crate::output::note;
use crate::packed_network::unpack;
use crate::settings::MAX_BATCH_SIZE;
use crate::spread::Spread;

/// A network of the file on what computes it.
struct Variant {
    bits: String,
    kernel: String,
    on: On,
    /// Batches of a repetition.
    count: u32,
    times: Vec<f64>,
}

/// What computes a network.
enum On {
    Adapter { subject: Box<Subject>, checked: &'static str },
    Processor { network: Box<Network>, pixels: Vec<u8>, threads: usize },
}

/// One row for each of the kernels and one for the processor, at every batch size, of each of the networks that share the
/// file's planes: measured in turns, each with the planes that it reads.
///
/// # Errors
/// Too large a batch, a wrong result, a device failure, an interruption.
pub fn run(bench: &mut Bench, args: &NetworkArgs, file: &File, threads: Option<u32>) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.map_or(cores, |threads| threads as usize);
    let provenance = &file.manifest().provenance;
    let model = data::printable(&provenance.model);
    for &batch_size in &args.batch_size.0 {
        if batch_size > MAX_BATCH_SIZE {
            let message = format!("batches of {batch_size}, at most {MAX_BATCH_SIZE} are evaluated");
            return Err(Failure::Usage { message });
        }
        let mut variants = Vec::new();
        for widths in file.networks() {
            let file = file.at(widths)?;
            let bits = file.manifest().provenance.bits.map(|bits| bits.to_string()).join(",");
            note(&format!("infer {model} at {bits} bits, packed, batches of {batch_size}"));
            variants.extend(variants_of(bench, args, (&file, &bits), (batch_size, threads))?);
        }
        for _ in 0..bench.repetitions {
            for Variant { on, count, times, .. } in &mut variants {
                times.push(on.time(*count)?);
            }
        }
        let of = |variant: &Variant| Spread::of(&variant.times);
        let widest: Vec<(String, Spread)> =
            variants.iter().map(|variant| (variant.kernel.clone(), of(variant))).collect();
        for variant in &variants {
            let times = of(variant);
            // The widest network comes first.
            let first = widest.iter().find(|(kernel, _)| *kernel == variant.kernel);
            let row = Row {
                model: Some(model.clone()),
                bits: Some(variant.bits.clone()),
                batch_size: Some(batch_size),
                kernel: Some(variant.kernel.clone()),
                first_ratio: first.filter(|_| file.networks().len() > 1).and_then(|(_, t)| times.ratio_to(t)),
                ..bench.row("infer").images(batch_size, &times).timed(&times, "wall clock")
            };
            let row = match &variant.on {
                On::Adapter { subject, checked } => {
                    Row { gpu_bytes: Some(subject.session.memory_bytes()), checked, ..row }
                }
                On::Processor { .. } => Row {
                    device: "processor".to_owned(),
                    backend: String::new(),
                    driver: "host".to_owned(),
                    subgroup: None,
                    ..row
                },
            };
            bench.rows.push(row)?;
        }
    }
    Ok(())
}

/// One of the file's networks on the adapter with each of the kernels, and on the processor; warmed up.
fn variants_of(
    bench: &Bench,
    args: &NetworkArgs,
    (file, bits): (&File, &str),
    (batch_size, threads): (u32, usize),
) -> Result<Vec<Variant>, Failure> {
    let network = Network::new(file.clone());
    let (mut subjects, mut pixels) = (Vec::new(), Vec::new());
    for &kernels in &args.kernels {
        let plan = plan(kernels, bench.gpu.info());
        let (mut subject, checked) = checked(file, &network, args, batch_size, &plan)?;
        pixels = subject.parts().1.pixels.to_vec();
        subjects.push((kernels.to_string(), On::Adapter { subject: Box::new(subject), checked }));
    }
    let on = On::Processor { network: Box::new(network), pixels, threads };
    subjects.push((format!("processor, {threads} threads"), on));
    let warm = |(kernel, mut on): (String, On)| {
        // The first batch pays for what drivers do late, the second tells how many fill a repetition.
        on.time(1)?;
        let count = batches_of_a_repetition(on.time(1)?);
        Ok(Variant { bits: bits.to_owned(), kernel, on, count, times: Vec::new() })
    };
    subjects.into_iter().map(warm).collect()
}

impl On {
    /// Seconds of a batch, the mean of `count`.
    fn time(&mut self, count: u32) -> Result<f64, Failure> {
        match self {
            Self::Adapter { subject, .. } => subject.infer(count),
            Self::Processor { network, pixels, threads } => {
                go_on()?;
                let began = Instant::now();
                for _ in 0..count {
                    network.classify_batch(pixels, *threads)?;
                }
                Ok(began.elapsed().as_secs_f64() / f64::from(count))
            }
        }
    }
}

/// The network on the adapter, with how close its scores are to the processor's.
fn checked(
    file: &File,
    network: &Network,
    args: &NetworkArgs,
    batch_size: u32,
    plan: &KernelPlan,
) -> Result<(Subject, &'static str), Failure> {
    let unpacked = unpack(file)?;
    let gpu = open_device(args.measure.device.as_deref(), false)?;
    let options = SessionOptions {
        batch_size,
        optimizer: Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 },
        seed: u64::from(args.seed),
        input: unpacked.input,
        resident: 0,
        change: Change::None,
        first_sample: 0,
        max_binding_words: None,
        max_memory_bytes: most_memory(&gpu),
        frozen_batch_norm: false,
        fold: true,
        fuse: true,
        kernels: plan.clone(),
    };
    let mut session = Session::new(gpu, &unpacked.network, &options)?;
    session.load_deployed(&unpacked.tensors)?;
    let mut subject = Subject::new(session, &options, unpacked.network.classes);
    subject.freeze()?;
    let (session, batch) = subject.parts();
    let found = block_on(session.logits(&batch))?;
    let wanted = network.classify_batch(batch.pixels, 1)?;
    close("the class scores of the packed file", &found, &wanted)?;
    let equal = found.iter().zip(&wanted).all(|(a, b)| a.to_bits() == b.to_bits());
    Ok((subject, if equal { "the processor, bit for bit" } else { "the processor but for roundings" }))
}
