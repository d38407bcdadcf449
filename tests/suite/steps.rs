//! One training step, dispatch by dispatch: given the device's own inputs, every dispatch equals the reference.

use bitplane::models::Model;
use graph::{DispatchCheck, Sample};
use pollster::block_on;
use tests::{
    Pictures, SMALL_ALEXNET, SMALL_RESNET18, bits, deviation, gpu_session, host_session, largest, model,
    options, reduced,
};

const SAMPLES: u32 = 3;

fn step_equals_reference(name: &str, size: u32, widths: [u32; 3]) {
    model_equals_reference(name, &model(name, size, bits(widths)), widths);
}

pub(crate) fn model_equals_reference(name: &str, model: &Model, widths: [u32; 3]) {
    let pictures = Pictures::new(model, SAMPLES, 11);
    let Some(mut session) = gpu_session(model, &options(model, SAMPLES)) else { return };
    let checks = block_on(session.step_checked(&pictures.batch(), 0, 1e-3, false)).expect("a step");
    assert!(checks.len() > 100, "a whole step was recorded");
    for check in &checks {
        assert!(check.comparison.passed(), "{}", describe(check));
    }
    let worst = checks.iter().map(|c| c.comparison.worst).fold(0.0, f64::max);
    let codes = checks.iter().filter(|c| c.kernel.contains("quantize"));
    let (compared, in_band) =
        codes.fold((0, 0), |(c, i), check| (c + check.comparison.compared, i + check.comparison.in_band));
    println!("{name} {widths:?}: {} dispatches, worst {worst:.3}, {in_band} codes in the band", checks.len());
    // Six channels fill 6 of the 32 elements that are compared per word; the rest is padding.
    assert!(
        in_band * 10_000 * 32 / 6 <= compared,
        "{in_band} of {compared} codes took the other side of a rounding boundary"
    );

    let loss = block_on(session.report()).expect("a report").loss;
    let mut host = host_session(model, &options(model, SAMPLES));
    let reference = block_on(host.step(&pictures.batch(), 0, 1e-3)).expect("a step of the reference").loss;
    println!("{name} {widths:?}: loss {loss} on the device, {reference} end to end on the reference");
    let (ours, theirs) = (block_on(session.state()).expect("state"), block_on(host.state()).expect("state"));
    for (ours, theirs) in ours.iter().zip(&theirs).filter(|(t, _)| t.name.ends_with("weight.first_moment")) {
        let (apart, size) = (deviation(&ours.values, &theirs.values), largest(&theirs.values));
        println!("  {}: gradients differ by at most {:.1e} of the largest", ours.name, apart / size);
    }
    assert!((loss - reference).abs() <= 0.05 * reference, "the whole step agrees in its loss");
}

fn describe(check: &DispatchCheck) -> String {
    let DispatchCheck { phase, index, layer, pass, kernel, comparison } = check;
    let first = comparison.first.as_ref().map(ToString::to_string).unwrap_or_default();
    format!(
        "{phase:?} dispatch {index}, {layer} {pass} {kernel}: {} wrong, first {first}",
        comparison.mismatches
    )
}

#[test]
fn svhn_d_1_2_4() {
    step_equals_reference("svhn-d", 32, [1, 2, 4]);
}

#[test]
fn svhn_d_2_3_6() {
    step_equals_reference("svhn-d", 32, [2, 3, 6]);
}

#[test]
fn svhn_d_8_8_8() {
    step_equals_reference("svhn-d", 32, [8, 8, 8]);
}

#[test]
fn svhn_d_full_precision() {
    step_equals_reference("svhn-d", 32, [32, 32, 32]);
}

#[test]
fn resnet20_1_2_4() {
    step_equals_reference("resnet20", 16, [1, 2, 4]);
}

#[test]
fn resnet20_2_3_6() {
    step_equals_reference("resnet20", 16, [2, 3, 6]);
}

#[test]
fn resnet20_8_8_8() {
    step_equals_reference("resnet20", 16, [8, 8, 8]);
}

#[test]
fn resnet20_full_precision() {
    step_equals_reference("resnet20", 16, [32, 32, 32]);
}

#[test]
fn alexnet_1_2_6() {
    model_equals_reference("alexnet", &reduced("alexnet", SMALL_ALEXNET, bits([1, 2, 6])), [1, 2, 6]);
}

#[test]
fn alexnet_2_3_4() {
    model_equals_reference("alexnet", &reduced("alexnet", SMALL_ALEXNET, bits([2, 3, 4])), [2, 3, 4]);
}

#[test]
fn resnet18_1_4_32() {
    model_equals_reference("resnet18", &reduced("resnet18", SMALL_RESNET18, bits([1, 4, 32])), [1, 4, 32]);
}

#[test]
fn resnet18_original_1_2_4() {
    let model = reduced("resnet18-original", SMALL_RESNET18, bits([1, 2, 4]));
    model_equals_reference("resnet18-original", &model, [1, 2, 4]);
}

/// What `cargo xtask bisect --sample` does, on a network small enough for every run of the suite.
#[test]
fn alexnet_by_samples() {
    let model = reduced("alexnet", SMALL_ALEXNET, bits([1, 2, 6]));
    let pictures = Pictures::new(&model, SAMPLES, 12);
    let Some(mut session) = gpu_session(&model, &options(&model, SAMPLES)) else { return };
    let sample = Sample { words: 100, seed: 3 };
    let checks = block_on(session.step_sampled(&pictures.batch(), 0, 1e-3, Some(sample), |_| false));
    let checks = checks.expect("a step");
    for check in &checks {
        assert!(check.comparison.passed(), "{}", describe(check));
    }
    let products = checks.iter().filter(|c| c.kernel.ends_with("_product") || c.kernel.starts_with("conv2d"));
    let compared: Vec<u64> = products.map(|check| check.comparison.compared).collect();
    assert!(compared.len() > 24, "{} products", compared.len());
    assert!(compared.iter().all(|words| *words <= 100), "{compared:?}");
}
