//! Results: convolutions of codes beside sums written out, threads, files and what they hold.

use packed::manifest::{Narrower, Operation, Quantize};
use packed::{Error, File, Network, Tensor};
use safetensors::SafeTensors;

use super::support::{Draft, Noise, draft, fourth_draft, nested_draft, plain, sample, second_draft, window};

fn pictures(network: &Network, count: usize) -> Vec<u8> {
    Noise(7).bytes(network.picture_len() * count)
}

#[test]
fn a_file_round_trips_and_other_readers_understand_it() {
    let file = sample();
    let bytes = file.encode();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("network.safetensors");
    std::fs::write(&path, &bytes).expect("a file");
    let network = Network::open(&path).expect("a network");
    assert_eq!(network.file().encode(), bytes);
    assert_eq!(network.classes()[3], "class \"3\" é");
    let other = SafeTensors::deserialize(&bytes).expect("safetensors");
    assert_eq!(other.tensor("conv1.planes").expect("planes").shape(), [2, 34]);
    assert_eq!(other.tensor("act1.thresholds").expect("thresholds").shape(), [3, 6]);
    assert!(other.names().iter().all(|name| {
        file.tensor(name.rsplit_once('.').expect("a layer").0, name.rsplit_once('.').expect("a layer").1)
            .is_some()
    }));
}

#[test]
fn threads_and_single_pictures_give_the_same_scores() {
    let network = Network::new(sample());
    let pictures = pictures(&network, 7);
    let one = network.classify_batch(&pictures, 1).expect("pictures");
    assert_eq!(one.len(), 7 * 4);
    assert!(one.chunks(4).any(|scores| scores != &one[..4]), "pictures differ");
    for threads in [0, 2, 3, 7, 50] {
        assert_eq!(network.classify_batch(&pictures, threads).expect("pictures"), one, "{threads} threads");
    }
    for (picture, scores) in pictures.chunks(network.picture_len()).zip(one.chunks(4)) {
        assert_eq!(network.classify(picture).expect("a picture"), scores);
        assert_eq!(network.trace(picture).expect("a picture").values("fc"), Some(scores));
    }
    assert_eq!(network.classify_batch(&[], 2).expect("no picture"), Vec::<f32>::new());
    for wrong in [1, network.picture_len() - 1, network.picture_len() + 1] {
        let found = network.classify(&vec![0; wrong]);
        assert!(matches!(found, Err(Error::Picture { .. })), "{wrong} bytes");
    }
}

/// Sums of codes times centred weights, as `docs/packed-format.md` writes them, over all widths and odd sizes.
#[test]
fn convolutions_of_codes_are_the_sums_of_their_definition() {
    let mut seed = 1;
    for (bits, weight_bits, channels, inner, groups) in [
        (1, 1, 9, 1, 1),
        (1, 2, 8, 63, 1),
        (2, 1, 17, 64, 1),
        (2, 2, 3, 65, 1),
        (3, 3, 6, 5, 3),
        (4, 4, 10, 70, 2),
        (5, 7, 2, 3, 1),
        (8, 8, 5, 9, 1),
    ] {
        for (kernel, stride, padding) in [(3, 1, [1, 1, 1, 1]), (2, 2, [0, 1, 0, 0]), (1, 3, [0; 4])] {
            seed += 1;
            check_sums(seed, [bits, weight_bits, channels, inner, groups], window(kernel, stride, padding));
        }
    }
}

fn check_sums(
    seed: u64,
    [bits, weight_bits, channels, inner, groups]: [u32; 5],
    window: packed::manifest::Window,
) {
    let (height, width) = (5, 4);
    let input = inner * groups;
    let mut draft = Draft::new(seed);
    draft.add("act", &["image"], Operation::Quantize(Quantize::plain(bits)));
    draft.bits("conv", "act", plain(channels, groups, weight_bits, window), inner);
    draft.add("values", &["conv"], Operation::Rescale);
    draft.add("scores", &["values"], Operation::GlobalAveragePool);
    let manifest = draft.manifest([height, width, input], [height, width], channels as usize);
    let Some(Tensor::U8(planes)) = draft.tensors.get("conv.planes").cloned() else { panic!("no planes") };
    let network = Network::new(File::new(manifest, draft.tensors).expect("a network"));
    let mut picture = Noise(seed + 99).bytes(network.picture_len());
    picture[..2].copy_from_slice(&[0, 255]);
    let trace = network.trace(&picture).expect("a picture");
    let (codes, sums) = (trace.codes("act").expect("codes"), trace.sums("conv").expect("sums"));
    assert!(codes.iter().any(|code| u32::from(*code) == (1 << bits) - 1) && codes.contains(&0));
    let plane_bytes = planes.len() / weight_bits as usize;
    let weight = |e: usize| {
        let code = planes
            .chunks_exact(plane_bytes)
            .fold(0, |code, plane| 2 * code + i64::from(plane[e / 8] >> (e % 8) & 1));
        2 * code - ((1 << weight_bits) - 1)
    };
    let [rows, columns] = window.output(height, width).expect("fits");
    let mut expected = Vec::new();
    for oy in 0..rows {
        for ox in 0..columns {
            for channel in 0..channels {
                let group = channel / (channels / groups);
                let mut sum = 0;
                for ky in 0..window.kernel[0] {
                    for kx in 0..window.kernel[1] {
                        let y = i64::from(oy * window.stride + ky) - i64::from(window.padding[0]);
                        let x = i64::from(ox * window.stride + kx) - i64::from(window.padding[2]);
                        if !(0..i64::from(height)).contains(&y) || !(0..i64::from(width)).contains(&x) {
                            continue;
                        }
                        for ci in 0..inner {
                            let at = (y as u32 * width + x as u32) * input + group * inner + ci;
                            let e = ((channel * window.kernel[0] + ky) * window.kernel[1] + kx) * inner + ci;
                            sum += i64::from(codes[at as usize]) * weight(e as usize);
                        }
                    }
                }
                expected.push(sum as i32);
            }
        }
    }
    assert_eq!(
        sums, expected,
        "{bits} {weight_bits} bits, {input} to {channels} in {groups} groups, {window:?}"
    );
}

#[test]
fn a_score_that_overflows_is_an_error() {
    let mut draft = Draft::new(3);
    let conv = packed::manifest::Convolution {
        channels: 1,
        groups: 1,
        bias: false,
        window: window(1, 1, [0; 4]),
        outside: 0.0,
    };
    for name in ["a", "b"] {
        draft.tensor(&format!("{name}.weight"), Tensor::F32(vec![3e38]));
    }
    draft.add("a", &["image"], Operation::Convolution(conv));
    draft.add("b", &["a"], Operation::Convolution(conv));
    let manifest = draft.manifest([1, 1, 1], [1, 1], 1);
    let network = Network::new(File::new(manifest, draft.tensors).expect("a network"));
    assert!(matches!(network.classify(&[200]), Err(Error::NonFinite)));
    assert_eq!(network.classify(&[0]).expect("zero"), [0.0]);
}

fn drafted(
    (manifest, tensors): (packed::manifest::Manifest, std::collections::BTreeMap<String, Tensor>),
) -> File {
    File::new(manifest, tensors).expect("a network")
}

/// A file has the earliest version that holds it, and one of the second version round trips too.
#[test]
fn files_have_the_earliest_format() {
    assert_eq!(sample().manifest().format, 1);
    for (file, format) in
        [(drafted(second_draft()), 2), (drafted(nested_draft()), 2), (drafted(fourth_draft()), 4)]
    {
        assert_eq!(file.manifest().format, format);
        let again = File::decode(&file.encode()).expect("what was written is read");
        assert_eq!((again.manifest(), again.encode()), (file.manifest(), file.encode()));
    }
    // Of several networks in a file, each by itself.
    let (mut manifest, tensors) = draft();
    manifest.narrower = vec![Narrower { bits: [1, 1], layers: manifest.layers.clone() }];
    manifest.format = manifest.needed_format();
    let several = drafted((manifest, tensors));
    assert_eq!((several.manifest().format, several.networks().len()), (2, 2));
    for bits in several.networks() {
        assert_eq!(several.at(bits).expect("a network").manifest().format, 1, "{bits:?}");
    }
}

#[test]
fn a_narrower_network_reads_the_first_planes_and_its_own_thresholds() {
    let file = drafted(nested_draft());
    assert_eq!(file.networks(), [[3, 3], [2, 2], [1, 1]]);
    let picture = Noise(3).bytes(4 * 4 * 3);
    let mut scores = Vec::new();
    for bits in [3u32, 2, 1] {
        let own = file.at([bits, bits]).expect("a network");
        assert_eq!(own.networks(), [[bits, bits]]);
        let (all, prefix) = (file.bytes("conv1", "planes.0"), own.bytes("conv1", "planes.0"));
        assert_eq!((prefix, prefix.len()), (&all[..prefix.len()], all.len() * bits as usize / 3));
        let key = if bits == 3 { String::new() } else { format!("@{bits},{bits}") };
        assert_eq!(own.integers("act1", "thresholds"), file.integers("act1", &format!("thresholds{key}")));
        assert!(own.counted_bits() < file.counted_bits());
        let network = Network::new(own);
        let trace = network.trace(&picture).expect("a picture");
        assert!(trace.codes("act1").expect("codes").iter().all(|code| u32::from(*code) < 1 << bits));
        scores.push(network.classify(&picture).expect("a picture"));
    }
    assert_eq!(scores[0], Network::new(file.clone()).classify(&picture).expect("a picture"), "the widest");
    assert!(scores[0] != scores[1] && scores[1] != scores[2], "each has its own results: {scores:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("nested.safetensors");
    std::fs::write(&path, file.encode()).expect("a file");
    let network = Network::open_at(&path, [2, 2]).expect("a network");
    assert_eq!(network.classify(&picture).expect("a picture"), scores[1]);
    assert!(matches!(Network::open_at(&path, [2, 1]), Err(Error::File { .. })));
}
