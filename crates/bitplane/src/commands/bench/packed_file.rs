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

/// One row for each of the kernels and one for the processor, at every batch size.
///
/// # Errors
/// Too large a batch, a wrong result, a device failure, an interruption.
pub fn run(bench: &mut Bench, args: &NetworkArgs, file: &File, threads: Option<u32>) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.map_or(cores, |threads| threads as usize);
    let network = Network::new(file.clone());
    let provenance = &file.manifest().provenance;
    let bits = provenance.bits.map(|bits| bits.to_string()).join(",");
    for &batch_size in &args.batch_size.0 {
        if batch_size > MAX_BATCH_SIZE {
            let message = format!("batches of {batch_size}, at most {MAX_BATCH_SIZE} are evaluated");
            return Err(Failure::Usage { message });
        }
        let model = data::printable(&provenance.model);
        note(&format!("infer {model} at {bits} bits, packed, batches of {batch_size}"));
        let described = |bench: &Bench, times: &Spread| Row {
            model: Some(model.clone()),
            bits: Some(bits.clone()),
            batch_size: Some(batch_size),
            ..bench.row("infer").images(batch_size, times).timed(times, "wall clock")
        };
        let mut pixels = Vec::new();
        for &kernels in &args.kernels {
            let plan = plan(kernels, bench.gpu.info());
            let (mut subject, checked) = checked(file, &network, args, batch_size, &plan)?;
            pixels = subject.parts().1.pixels.to_vec();
            subject.infer(1)?;
            let count = batches_of_a_repetition(subject.infer(1)?);
            let times =
                (0..bench.repetitions).map(|_| subject.infer(count)).collect::<Result<Vec<_>, _>>()?;
            let row = Row {
                kernel: Some(kernels.to_string()),
                gpu_bytes: Some(subject.session.memory_bytes()),
                checked,
                ..described(bench, &Spread::of(&times))
            };
            bench.rows.push(row)?;
        }
        let times = on_processor(&network, &pixels, threads, bench.repetitions)?;
        let row = Row {
            kernel: Some(format!("processor, {threads} threads")),
            device: "processor".to_owned(),
            backend: String::new(),
            driver: "host".to_owned(),
            subgroup: None,
            ..described(bench, &Spread::of(&times))
        };
        bench.rows.push(row)?;
    }
    Ok(())
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

/// Seconds of a batch on the processor.
fn on_processor(
    network: &Network,
    pixels: &[u8],
    threads: usize,
    repetitions: u32,
) -> Result<Vec<f64>, Failure> {
    let time = |count: u32| -> Result<f64, Failure> {
        go_on()?;
        let began = Instant::now();
        for _ in 0..count {
            network.classify_batch(pixels, threads)?;
        }
        Ok(began.elapsed().as_secs_f64() / f64::from(count))
    };
    time(1)?;
    let count = batches_of_a_repetition(time(1)?);
    (0..repetitions).map(|_| time(count)).collect()
}
