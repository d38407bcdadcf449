//! A packed file against the run that it comes from, on the device, on the processor and in Python.

use std::ffi::OsStr;
use std::fs;

use bitplane::checkpoint::Checkpoint;
use bitplane::identity::Identity;
use bitplane::models::Model;
use bitplane::packed_network::{pack, unpack};
use bitplane::position::Position;
use gpu::Gpu;
use graph::{NamedTensor, Session};
use packed::{File, Network, Trace};
use pollster::block_on;
use tests::{Pictures, gpu_session, open_gpu, options, python};

use crate::deployed::{codes, evaluation, run_one, state_with_odd_gammas};

/// The packed file of a network in this state.
pub(super) fn exported(model: &Model, state: &[NamedTensor], widths: [u32; 3]) -> Option<Vec<u8>> {
    let mut session = gpu_session(model, &options(model, 1))?;
    session.load_state(state).expect("its own state");
    let layers = block_on(session.deployed()).expect("a packed form");
    let image = [model.input.source_height, model.input.source_width, model.input.channels];
    let identity = Identity {
        model: "test".into(),
        bits: widths,
        data: "digits".into(),
        classes: (0..10).map(|class| class.to_string()).collect(),
        image,
        seed: 7,
        config_hash: "ab".into(),
    };
    let checkpoint = Checkpoint { identity, position: Position::default(), tensors: Vec::new() };
    Some(
        pack(&layers, (&model.input, model.network.pixel_scale), &checkpoint)
            .expect("it fits the format")
            .encode(),
    )
}

/// A session of the file's network.
pub(super) fn opened(file: &File, model: &Model, samples: u32) -> Session<Gpu> {
    let unpacked = unpack(file).expect("a session computes it");
    assert_eq!(unpacked.input, model.input);
    let gpu = open_gpu().expect("there was an adapter before");
    let mut session =
        Session::new(gpu, &unpacked.network, &options(model, samples)).expect("a session of the file");
    session.load_deployed(&unpacked.tensors).expect("its own tensors");
    session
}

/// Class scores and the evaluation's sums.
fn results(session: &mut Session<Gpu>, pictures: &Pictures) -> (Vec<u32>, graph::Evaluation) {
    block_on(session.freeze()).expect("freezes");
    let scores = block_on(session.logits(&pictures.batch())).expect("evaluates");
    let evaluation = block_on(session.evaluate(&pictures.batch())).expect("evaluates");
    (scores.iter().map(|score| score.to_bits()).collect(), evaluation)
}

/// Codes of every layer that packs some, `[picture][row][column][channel]`.
fn codes_by_layer(session: &mut Session<Gpu>, pictures: &Pictures) -> Vec<(String, Vec<u8>)> {
    let mut result = Vec::new();
    for dispatch in evaluation(session, pictures) {
        run_one(session, &dispatch);
        // Weights are packed already, so that what is left of signs is that of activations.
        let packs = ["normalize_quantize", "quantize_activation", "quantize_weight", "threshold_pack"];
        if packs.contains(&dispatch.kernel.name()) {
            let codes = codes(session, &dispatch).0.into_iter().map(|code| code as u8).collect();
            result.push((dispatch.scope.layer.clone(), codes));
        }
    }
    result
}

/// A file whose evaluation on the device is that of the run it comes from.
pub(super) struct Packed {
    pub(super) model: Model,
    pub(super) bytes: Vec<u8>,
    pub(super) file: File,
    /// The first pictures of those that were evaluated.
    pub(super) few: Pictures,
}

/// Trains a little, exports, and compares the evaluations of the run and of the file.
fn packed_like_its_run(name: &str, model: Model, widths: [u32; 3], samples: u32) -> Option<Packed> {
    let state = state_with_odd_gammas(&model, &Pictures::new(&model, 32, 3), 4)?;
    packed_in_state(name, model, &state, widths, samples)
}

/// Exports a network in `state`, and compares the evaluations of the run and of the file.
pub(super) fn packed_in_state(
    name: &str,
    model: Model,
    state: &[NamedTensor],
    widths: [u32; 3],
    samples: u32,
) -> Option<Packed> {
    let bytes = exported(&model, state, widths)?;
    let file = File::decode(&bytes).expect("what was written is read");
    assert_eq!(file.encode(), bytes, "the same contents give the same bytes");
    let most = file.counted_bits() as f64 / 8.0 * 1.03 + 16384.0;
    assert!((bytes.len() as f64) <= most, "{name} {widths:?}: {} bytes, at most {most}", bytes.len());

    let pictures = Pictures::new(&model, samples, 23);
    let mut run = gpu_session(&model, &options(&model, samples))?;
    run.load_state(state).expect("its own state");
    let (wanted, found) =
        (results(&mut run, &pictures), results(&mut opened(&file, &model, samples), &pictures));
    assert_eq!(found, wanted, "{name} {widths:?}: the file's evaluation is the run's");
    assert!(wanted.0.iter().any(|score| *score != wanted.0[0]), "the scores differ among each other");
    let few = samples.min(8) as usize;
    let size = pictures.pixels.len() / samples as usize;
    let few =
        Pictures { pixels: pictures.pixels[..few * size].into(), labels: pictures.labels[..few].into() };
    Some(Packed { model, bytes, file, few })
}

/// A plain network's file as the device, the processor and Python compute it.
pub(super) fn compare(name: &str, model: Model, widths: [u32; 3], samples: u32) {
    if let Some(packed) = packed_like_its_run(name, model, widths, samples) {
        all_agree(name, packed);
    }
}

/// The device, the processor and Python compute the same from a file.
pub(super) fn all_agree(name: &str, Packed { model, bytes, file, few }: Packed) {
    let on_device = codes_by_layer(&mut opened(&file, &model, few.labels.len() as u32), &few);
    let network = Network::new(file);
    processor_gives_codes(name, &network, &few, &on_device);
    python_gives_the_same(&network, &bytes, &few, None);
}

/// A residual network's file: its sums stay in f32, in which devices round otherwise.
pub(super) fn compare_residual(name: &str, model: Model, widths: [u32; 3], samples: u32) {
    if let Some(packed) = packed_like_its_run(name, model, widths, samples) {
        nearly_agree(&format!("{name} {widths:?}"), packed);
    }
}

/// The processor and Python compute the same from a file, and the device all but the same.
pub(super) fn nearly_agree(name: &str, Packed { model, bytes, file, few }: Packed) {
    let wanted = results(&mut opened(&file, &model, few.labels.len() as u32), &few).0;
    let wanted: Vec<f32> = wanted.into_iter().map(f32::from_bits).collect();
    let network = Network::new(file);
    let scores = network.classify_batch(&few.pixels, 2).expect("pictures");
    let off = tests::deviation(&scores, &wanted) / tests::largest(&wanted);
    println!("{name}: scores on the processor are off by {off:.1e} of the largest");
    assert!(off < 0.05, "{name}: {off:e}");
    python_gives_the_same(&network, &bytes, &few, None);
}

/// The processor's codes of layers behind the first are those of the device; in the first, which reads f32, a value may lie
/// on either side of a boundary.
fn processor_gives_codes(name: &str, network: &Network, pictures: &Pictures, device: &[(String, Vec<u8>)]) {
    let count = pictures.labels.len();
    let (first, first_codes) = &device[0];
    let mut differing = 0;
    let coded: Vec<&str> = device.iter().map(|(layer, _)| layer.as_str()).collect();
    for (at, picture) in pictures.pixels.chunks(network.picture_len()).enumerate() {
        let of_picture = |codes: &'_ [u8]| codes.len() / count * at..codes.len() / count * (at + 1);
        let wanted = &first_codes[of_picture(first_codes)];
        let own = network.trace(picture).expect("a picture");
        let own = own.codes(first).expect("codes");
        differing += own.iter().zip(wanted).filter(|(a, b)| a != b).count();
        let trace = network.trace_with(picture, &[(first, wanted)]).expect("a picture");
        assert_eq!(trace.coded_layers().collect::<Vec<_>>(), coded, "{name}");
        for (layer, codes) in device {
            assert_eq!(
                trace.codes(layer),
                Some(&codes[of_picture(codes)]),
                "{name}: {layer} of picture {at}"
            );
        }
    }
    assert!(differing * 10_000 <= first_codes.len(), "{name}: {differing} of {} codes", first_codes.len());
    for (layer, codes) in device {
        assert!(codes.iter().any(|code| *code != codes[0]), "{name}: {layer} has codes of several values");
    }
}

/// The reader in Python gives the processor's results in every layer, bit for bit; with `narrow` those of one of the networks
/// that share planes.
pub(super) fn python_gives_the_same(
    network: &Network,
    bytes: &[u8],
    pictures: &Pictures,
    narrow: Option<&str>,
) {
    let folder = tempfile::tempdir().expect("a folder");
    let [file, pixels] = ["network.safetensors", "pictures"].map(|name| folder.path().join(name));
    fs::write(&file, bytes).expect("a file");
    fs::write(&pixels, &pictures.pixels).expect("a file");
    let (count, output) = (pictures.labels.len().to_string(), folder.path().to_owned());
    let mut arguments = vec![file.as_os_str(), pixels.as_os_str(), count.as_ref(), output.as_os_str()];
    arguments.extend(narrow.map(OsStr::new));
    python("packed_reader.py", &arguments);
    let traces: Vec<Trace> = pictures
        .pixels
        .chunks(network.picture_len())
        .map(|picture| network.trace(picture).expect("a picture"))
        .collect();
    for layer in &network.manifest().layers {
        let found = fs::read(folder.path().join(format!("{}.bin", layer.name))).expect("a result");
        let bytes_of = |trace: &Trace| -> Vec<u8> {
            let name = layer.name.as_str();
            match (trace.codes(name), trace.sums(name), trace.values(name)) {
                (Some(codes), ..) => codes.to_vec(),
                (_, Some(sums), _) => sums.iter().flat_map(|sum| sum.to_le_bytes()).collect(),
                // Zeros of both signs are equal.
                (.., Some(values)) => values.iter().flat_map(|value| (value + 0.0).to_le_bytes()).collect(),
                _ => Vec::new(),
            }
        };
        let wanted: Vec<u8> = traces.iter().flat_map(bytes_of).collect();
        assert!(!wanted.is_empty() && found == wanted, "{}: Python computes something else", layer.name);
    }
}
