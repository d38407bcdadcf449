//! One training step, dispatch by dispatch: given the device's own inputs, every dispatch equals the reference.

use graph::{Bits, DispatchCheck};
use pollster::block_on;
use tests::{Pictures, gpu_session, model, options};

const SAMPLES: u32 = 3;

fn step_equals_reference(name: &str, size: u32, widths: [u32; 3]) {
    let [w, a, g] = widths;
    let model = model(name, size, Bits::new(w, a, g).expect("valid widths"));
    let pictures = Pictures::new(&model, SAMPLES, 11);
    let Some(mut session) = gpu_session(&model, &options(&model, SAMPLES)) else { return };
    let checks = block_on(session.step_checked(&pictures.batch(), 0, 1e-3, false)).expect("a step");
    assert!(checks.len() > 100, "a whole step was recorded");
    for check in &checks {
        assert!(check.comparison.passed(), "{}", describe(check));
    }
    let compared: u64 = checks.iter().map(|c| c.comparison.compared).sum();
    let in_band: u64 = checks.iter().map(|c| c.comparison.in_band).sum();
    let worst = checks.iter().map(|c| c.comparison.worst).fold(0.0, f64::max);
    println!(
        "{name} {widths:?}: {} dispatches, {compared} values, {in_band} codes in the band, worst {worst:.3}",
        checks.len()
    );
    assert!(
        in_band * 10_000 <= compared,
        "{in_band} of {compared} codes took the other side of a rounding boundary"
    );
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
