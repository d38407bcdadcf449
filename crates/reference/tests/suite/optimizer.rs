use crate::data::assert_close;
use reference::optimizer::{Adam, EpsilonForm, adam, sgd_nesterov};

#[test]
fn sgd_follows_pytorch_for_two_steps() {
    // w = 1, g = 2 and then 1, lr 0.1, momentum 0.9, decay 0.5: d = 2.5, v = 2.5; the rest by hand.
    for (nesterov, first, d2, second) in [(false, 0.75, 1.375, 0.3875), (true, 0.525, 1.2625, 0.082_625)] {
        let (mut w, mut v) = ([1.0], [0.0]);
        sgd_nesterov(&mut w, &[2.0], &mut v, 0.1, 0.9, 0.5, nesterov);
        assert_close(&[w[0], v[0]], &[first, 2.5], 1e-14);
        sgd_nesterov(&mut w, &[1.0], &mut v, 0.1, 0.9, 0.5, nesterov);
        assert_close(&[w[0], v[0]], &[second, 0.9 * 2.5 + d2], 1e-14);
    }
}

const ADAM: Adam = Adam {
    learning_rate: 0.1,
    beta1: 0.5,
    beta2: 0.75,
    epsilon: 1.0,
    weight_decay: 0.0,
    form: EpsilonForm::Corrected,
};

#[test]
fn adam_places_epsilon_by_its_form() {
    // g = 4: m = 2, v = 4; corrected 4 / (4 + 1), raw with the factor 0.5 / 0.5: 2 / (2 + 1).
    for (form, step) in [(EpsilonForm::Corrected, 4.0 / 5.0), (EpsilonForm::Uncorrected, 2.0 / 3.0)] {
        let (mut w, mut m, mut v) = ([1.0], [0.0], [0.0]);
        adam(&Adam { form, ..ADAM }, &mut w, &[4.0], &mut m, &mut v, 1);
        assert_close(&[w[0], m[0], v[0]], &[1.0 - 0.1 * step, 2.0, 4.0], 1e-14);
    }
}

#[test]
fn adam_corrects_the_bias_of_later_steps() {
    // From m = 2, v = 4 with g = 0: m = 1, v = 3, corrections 0.75 and 0.4375.
    for (form, step) in [
        (EpsilonForm::Corrected, (1.0 / 0.75) / ((3.0f64 / 0.4375).sqrt() + 1.0)),
        (EpsilonForm::Uncorrected, 0.4375f64.sqrt() / 0.75 / (3f64.sqrt() + 1.0)),
    ] {
        let (mut w, mut m, mut v) = ([0.0], [2.0], [4.0]);
        adam(&Adam { form, ..ADAM }, &mut w, &[0.0], &mut m, &mut v, 2);
        assert_close(&[w[0], m[0], v[0]], &[-0.1 * step, 1.0, 3.0], 1e-14);
    }
}

#[test]
fn the_forms_agree_without_epsilon_and_decay_joins_the_gradient() {
    let run = |config: Adam, g: f64| {
        let (mut w, mut m, mut v) = ([2.0], [0.3], [0.2]);
        adam(&config, &mut w, &[g], &mut m, &mut v, 5);
        [w[0], m[0], v[0]]
    };
    let plain = Adam { epsilon: 0.0, ..ADAM };
    assert_close(&run(plain, 1.0), &run(Adam { form: EpsilonForm::Uncorrected, ..plain }, 1.0), 1e-14);
    assert_close(&run(Adam { weight_decay: 0.25, ..plain }, 1.0), &run(plain, 1.5), 1e-14);
}
