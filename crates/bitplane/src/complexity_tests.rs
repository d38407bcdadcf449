use super::*;
use crate::config::Config;
use crate::engine::Engine;
use crate::models::{self, ModelInput};
use crate::settings::Settings;

/// One row of the paper: W, A, G, then the columns of complexity and storage; `None` where the paper prints a dash.
type Row = ([u32; 3], Option<u32>, Option<u32>, u32);

const fn row(bits: [u32; 3], training: u32, inference: u32, storage: u32) -> Row {
    (bits, Some(training), Some(inference), storage)
}

/// The rows of Table 1 that have a number for training. The paper prints a storage of 1 for (2,2,2), against its own rule and
/// its other rows with W = 2; here stands 2.
const TABLE_1: [Row; 16] = [
    row([1, 1, 2], 3, 1, 1),
    row([1, 1, 4], 5, 1, 1),
    row([1, 1, 8], 9, 1, 1),
    row([1, 2, 2], 4, 2, 1),
    row([1, 2, 3], 5, 2, 1),
    row([1, 2, 4], 6, 2, 1),
    row([2, 1, 2], 6, 2, 2),
    row([2, 1, 4], 10, 2, 2),
    row([1, 2, 8], 10, 2, 1),
    row([1, 3, 3], 6, 3, 1),
    row([1, 3, 4], 7, 3, 1),
    row([1, 3, 6], 9, 3, 1),
    row([1, 4, 2], 6, 4, 1),
    row([1, 4, 4], 8, 4, 1),
    row([1, 4, 8], 12, 4, 1),
    row([2, 2, 2], 8, 4, 2),
];

/// The rows of Table 2 that have a number for training.
const TABLE_2: [Row; 5] = [
    row([1, 1, 6], 7, 1, 1),
    row([1, 1, 8], 9, 1, 1),
    row([1, 2, 6], 8, 2, 1),
    row([1, 2, 8], 10, 2, 1),
    row([1, 3, 6], 9, 3, 1),
];

/// Rows that have dashes because gradients, or all, are in f32.
const DASHES: [Row; 5] = [
    ([1, 1, 32], None, Some(1), 1),
    ([1, 2, 32], None, Some(2), 1),
    ([1, 3, 32], None, Some(3), 1),
    ([1, 4, 32], None, Some(4), 1),
    ([32, 32, 32], None, None, 32),
];

fn bits([weight, activation, gradient]: [u32; 3]) -> Bits {
    Bits::new(weight, activation, gradient).expect("valid widths")
}

#[test]
fn every_row_of_the_papers_tables_agrees() {
    for (widths, training, inference, storage) in TABLE_1.into_iter().chain(TABLE_2).chain(DASHES) {
        let found = Complexity::of(bits(widths));
        assert_eq!(
            (found.training, found.inference, found.storage),
            (training, inference, storage),
            "{widths:?}"
        );
    }
    assert_eq!(TABLE_1.len() + TABLE_2.len(), 21);
    assert_eq!(Complexity::of(bits([1, 2, 4])).full, Some(14));
}

#[test]
fn the_kernels_multiply_as_many_plane_pairs_as_the_paper_counts() {
    let input = ModelInput { height: 32, width: 32, channels: 3, classes: 10 };
    for (widths, training, inference, storage) in TABLE_1.into_iter().chain(TABLE_2) {
        let settings = Settings {
            model: Some("svhn-d".to_owned()),
            bits: Some(bits(widths).to_string()),
            ..Settings::default()
        };
        let config = Config::resolve(settings, &models::recipe("svhn-d").expect("a model"));
        let engine = Engine::new(&config, &input, 1).expect("svhn-d builds");
        let notes = engine.products().expect("it fits");
        let pairs = |pass: &str| {
            let conv2 = notes.iter().find(|note| note.layer == "conv2" && note.pass == pass);
            conv2.expect("conv2 has the product").plane_pairs
        };
        let (forward, grad_input) = (pairs("forward"), pairs("grad_input"));
        assert_eq!(Some(forward), inference, "{widths:?}");
        assert_eq!(Some(forward + grad_input), training, "{widths:?}");
        assert_eq!(Some(forward + grad_input + pairs("grad_weight")), Complexity::of(bits(widths)).full);
        let conv2 =
            engine.network().summary().into_iter().find(|layer| layer.name == "conv2").expect("a layer");
        assert_eq!(conv2.stored_bits, f64::from(storage) * conv2.parameters as f64, "{widths:?}");
    }
}

#[test]
fn equation_4_gives_the_papers_form() {
    // 3x3 taps of 256 channels to 100 outputs of 256 channels: 64 / K * ci w h / (ci w h + 64).
    let layer = |bases, plane_pairs| Bases { macs: 2304 * 25_600, plane_pairs, additions: 25_600, bases };
    assert!((layer(5, 1).speed_up(64) - 64.0 / 5.0 * 2304.0 / (2304.0 + 64.0)).abs() < 1e-12);
    assert!((layer(5, 1).speed_up(64) - 12.45).abs() < 0.01, "{}", layer(5, 1).speed_up(64));
    assert!((layer(1, 1).speed_up(32) - 32.0 * 2304.0 / (2304.0 + 32.0)).abs() < 1e-12);
    assert!((layer(1, 2).speed_up(64) - 2304.0 / (2304.0 / 32.0 + 1.0)).abs() < 1e-12, "two plane pairs");
}
