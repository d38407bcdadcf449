//! Group-Net's quantizers on any model: scales per output channel, ranges, and activations in {-1, +1}.

use std::sync::Arc;

use graph::{
    Bits, Geometry, GroupNetRules, InputSpec, Method, NamedTensor, Network, NetworkBuilder, Padding, Phase,
    Session, SessionOptions, Shape, SignRule, is_bit_product,
    layers::{Conv2d, Linear, QuantizedConv2d},
    quantizers::SignActivation,
};
use pollster::block_on;
use reference::binary::{activation_factors, sign_backward};
use reference::conv::Conv2d as Sizes;
use tests::{
    Pictures, SMALL_ALEXNET, bits, deviation, gpu_session, host_session, largest, model, open_gpu, options,
    options_for, reduced, train,
};

use crate::method::{by, checked_kernels};

const SAMPLES: u32 = 3;

pub(crate) fn rules(channel_scales: bool, clip: Option<f32>, signs: Option<(SignRule, bool)>) -> Method {
    let signs = signs.map(|(rule, factors)| SignActivation { rule, factors });
    Method { group_net: GroupNetRules { channel_scales, clip, signs }, ..Method::default() }
}

pub(crate) const IDENTITY: Option<(SignRule, bool)> = Some((SignRule::Identity, false));
const POLYNOMIAL: Option<(SignRule, bool)> = Some((SignRule::Polynomial, false));
pub(crate) const FACTORS: Option<(SignRule, bool)> = Some((SignRule::Identity, true));

#[test]
fn a_step_of_every_option_equals_the_reference() {
    for (method, widths, kernel) in [
        (rules(true, None, None), [1, 2, 4], "scale_matrix"),
        (rules(true, None, None), [1, 2, 32], "reduce"),
        (rules(false, Some(2.0), None), [2, 3, 4], "clip_backward"),
        (rules(false, Some(1.5), None), [1, 32, 32], "clip_forward"),
        (rules(false, None, IDENTITY), [1, 1, 4], "sign_backward"),
        (rules(false, None, POLYNOMIAL), [2, 1, 32], "pad_image"),
        (rules(true, None, FACTORS), [1, 1, 3], "box_filter"),
        (rules(false, None, FACTORS), [32, 1, 4], "box_filter"),
    ] {
        let model = by(model("digits", 8, bits(widths)), &method);
        let Some(kernels) = checked_kernels(&model, SAMPLES) else { return };
        assert!(kernels.iter().any(|name| name == kernel), "{method:?} runs {kernel}");
    }
}

#[test]
fn a_step_with_dropout_and_with_groups_of_channels_equals_the_reference() {
    let svhn = by(model("svhn-d", 32, bits([1, 1, 4])), &rules(true, None, POLYNOMIAL));
    let Some(kernels) = checked_kernels(&svhn, SAMPLES) else { return };
    assert!(kernels.iter().any(|name| name == "dropout_forward"));
    let alexnet = reduced("alexnet", SMALL_ALEXNET, bits([1, 1, 6]));
    let Some(_) = checked_kernels(&by(alexnet, &rules(true, None, IDENTITY)), 2) else { return };
}

#[test]
fn every_product_of_signs_and_gradients_in_bits_is_a_bit_product() {
    for gradient_bits in [1, 8] {
        let model = by(model("digits", 8, bits([1, 1, gradient_bits])), &rules(true, None, FACTORS));
        let session = host_session(&model, &options(&model, 32));
        for pass in ["forward", "grad_weight", "grad_input"] {
            let note = session.products().iter().find(|n| n.layer == "conv2" && n.pass == pass);
            let note = note.expect("a product");
            let pairs = if pass == "forward" { 1 } else { gradient_bits };
            assert!(is_bit_product(note.kernel) && note.plane_pairs == pairs, "{note:?}");
        }
    }
}

#[test]
fn the_deployed_form_gives_what_the_float_form_gives() {
    for (method, widths, thresholds) in [
        (rules(true, None, None), [1, 2, 4], 5),
        (rules(false, Some(3.0), None), [1, 2, 4], 5),
        (rules(true, None, IDENTITY), [1, 1, 4], 5),
        (rules(false, None, FACTORS), [1, 1, 4], 0),
    ] {
        let model = by(model("svhn-d", 32, bits(widths)), &method);
        let pictures = Pictures::new(&model, SAMPLES, 5);
        let logits = |fold: bool| {
            let mut session = gpu_session(&model, &SessionOptions { fold, ..options(&model, SAMPLES) })?;
            train(&mut session, &pictures.batch(), 0, 2);
            block_on(session.freeze()).expect("freeze");
            Some(block_on(session.logits(&pictures.batch())).expect("logits"))
        };
        let (Some(folded), Some(unfolded)) = (logits(true), logits(false)) else { return };
        let apart = deviation(&folded, &unfolded);
        assert!(apart <= 1e-4 * largest(&unfolded), "{method:?}: {apart} of {}", largest(&unfolded));
        let session = host_session(&model, &options(&model, SAMPLES));
        let recording = session.recording(Phase::Evaluate).expect("an evaluation");
        let found = recording.dispatches.iter().filter(|d| d.kernel.name() == "threshold_pack").count();
        assert_eq!(found, thresholds, "{method:?}");
    }
}

/// Its convolution has 25 output positions, enough for a weight gradient in bits.
const SIDE: usize = 10;
const CHANNELS: [usize; 3] = [3, 5, 4];

/// A network with one convolution of signs, small enough to be written down.
fn one_convolution(gradient_bits: u32, method: &Method) -> (Network, InputSpec) {
    let [inputs, middle, outputs] = CHANNELS.map(|channels| channels as u32);
    let side = SIDE as u32;
    let mut net = NetworkBuilder::new(Shape::new(side, side, inputs));
    let pointwise = Geometry::square(1, 1, Padding::Same);
    let first = Conv2d { out_channels: middle, geometry: pointwise, bias: true };
    let x = net.conv2d("conv0", net.input(), first).expect("conv0");
    let x = net.activation("act0", x, 1).expect("act0");
    let widths = Bits::new(1, 1, gradient_bits).expect("widths");
    let geometry = Geometry::square(3, 2, Padding::Same);
    let layer = QuantizedConv2d::dorefa(outputs, geometry, widths);
    let x = net.add_layer("conv1", Arc::new(layer), &[x]).expect("conv1");
    let x = net.global_avg_pool("pool", x).expect("pool");
    net.linear("fc1", x, Linear { outputs: 10, weight_decay: 0.0 }).expect("fc1");
    let input = InputSpec {
        source_height: side,
        source_width: side,
        channels: inputs,
        resize_height: side,
        resize_width: side,
        out_height: side,
        out_width: side,
    };
    (net.build().expect("a network").with_method(method).expect("a method"), input)
}

fn values(tensors: &[NamedTensor], name: &str) -> Vec<f64> {
    let tensor = tensors.iter().find(|tensor| tensor.name == name).expect(name);
    tensor.values.iter().map(|&value| f64::from(value)).collect()
}

/// The network by its formulas: what its sums depend on, in f64.
struct Formula {
    /// Before the sign.
    x: Vec<f64>,
    signs: Vec<f64>,
    factors: Vec<f64>,
    /// Quantized, `alpha sgn(w)`.
    weight: Vec<f64>,
    fc_weight: Vec<f64>,
    fc_bias: Vec<f64>,
    labels: Vec<usize>,
}

impl Formula {
    fn sizes(samples: usize) -> Sizes {
        Sizes::same([samples, SIDE, SIDE, CHANNELS[1]], [3, 3], CHANNELS[2], 2)
    }

    fn new(state: &[NamedTensor], pictures: &Pictures, method: &Method) -> Self {
        let [inputs, middle, outputs] = CHANNELS;
        let (first, bias) = (values(state, "conv0.weight"), values(state, "conv0.bias"));
        let pixels: Vec<f64> = pictures.pixels.iter().map(|&byte| f64::from(byte) / 255.0).collect();
        let of = |pixel: &[f64], co: usize| {
            bias[co] + (0..inputs).map(|ci| pixel[ci] * first[co * inputs + ci]).sum::<f64>()
        };
        let x: Vec<f64> = pixels
            .chunks(inputs)
            .flat_map(|pixel| (0..middle).map(move |co| (pixel, co)))
            .map(|(p, co)| of(p, co))
            .collect();
        let samples = pictures.labels.len();
        let scaled = method.group_net.signs.is_some_and(|signs| signs.factors);
        let factors = match scaled {
            true => activation_factors(&x, &Self::sizes(samples)),
            false => vec![1.0; samples * (SIDE / 2) * (SIDE / 2)],
        };
        let latent = values(state, "conv1.weight");
        let mean = |w: &[f64]| w.iter().map(|w| w.abs()).sum::<f64>() / w.len() as f64;
        let rows = if method.group_net.channel_scales { outputs } else { 1 };
        let weight =
            latent.chunks(latent.len() / rows).flat_map(|row| row.iter().map(move |w| (mean(row), w)));
        Self {
            signs: x.iter().map(|&x| if x >= 0.0 { 1.0 } else { -1.0 }).collect(),
            x,
            factors,
            weight: weight.map(|(alpha, w)| if *w >= 0.0 { alpha } else { -alpha }).collect(),
            fc_weight: values(state, "fc1.weight"),
            fc_bias: values(state, "fc1.bias"),
            labels: pictures.labels.iter().map(|&label| label as usize).collect(),
        }
    }

    /// Class scores, with a border of +1 around the signs.
    fn scores(&self) -> Vec<f64> {
        let outputs = CHANNELS[2];
        let sizes = Self::sizes(self.labels.len());
        let fan_in = 9 * CHANNELS[1];
        let patches = sizes.unfold_with(&self.signs, 1.0);
        let sums: Vec<f64> = patches
            .chunks(fan_in)
            .zip(&self.factors)
            .flat_map(|(patch, factor)| {
                self.weight
                    .chunks(fan_in)
                    .map(move |row| factor * row.iter().zip(patch).map(|(w, x)| w * x).sum::<f64>())
            })
            .collect();
        let positions = sums.len() / outputs / self.labels.len();
        let mean = |sample: &[f64], co: usize| {
            (0..positions).map(|position| sample[position * outputs + co]).sum::<f64>() / positions as f64
        };
        let features: Vec<Vec<f64>> = sums
            .chunks(positions * outputs)
            .map(|sample| (0..outputs).map(|co| mean(sample, co)).collect())
            .collect();
        let score = |row: &[f64], class: usize| {
            self.fc_bias[class]
                + (0..outputs).map(|co| row[co] * self.fc_weight[class * outputs + co]).sum::<f64>()
        };
        features.iter().flat_map(|row| (0..10).map(|class| score(row, class)).collect::<Vec<_>>()).collect()
    }

    /// Mean cross-entropy.
    fn loss(&self) -> f64 {
        let scores = self.scores();
        let of = |(row, &label): (&[f64], &usize)| {
            row.iter().map(|score| score.exp()).sum::<f64>().ln() - row[label]
        };
        scores.chunks(10).zip(&self.labels).map(of).sum::<f64>() / self.labels.len() as f64
    }

    /// The slope of the loss along each of the numbers that `part` names.
    fn slopes(&mut self, part: fn(&mut Self) -> &mut Vec<f64>) -> Vec<f64> {
        const STEP: f64 = 1e-4;
        let count = part(self).len();
        let mut slope = |at: usize| {
            let mut loss = |by: f64| {
                part(self)[at] += by;
                let loss = self.loss();
                part(self)[at] -= by;
                loss
            };
            (loss(STEP) - loss(-STEP)) / (2.0 * STEP)
        };
        (0..count).map(&mut slope).collect()
    }
}

/// The largest difference over the largest value.
fn apart(found: &[f64], want: &[f64]) -> f64 {
    let largest = want.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    assert_eq!(found.len(), want.len());
    assert!(largest > 0.0, "there is something to compare");
    found.iter().zip(want).fold(0.0, |max: f64, (a, b)| max.max((a - b).abs())) / largest
}

/// Scores, gradients of the quantized weight and of the bias before the sign, against the formulas: with gradients in f32 to
/// rounding, with those of 8 bits to their noise.
#[test]
fn scores_and_gradients_follow_from_the_formulas() {
    for method in [
        rules(false, None, IDENTITY),
        rules(true, None, POLYNOMIAL),
        rules(false, None, FACTORS),
        rules(true, None, Some((SignRule::Polynomial, true))),
    ] {
        let mut slopes = None;
        for (gradient_bits, tolerance) in [(32, 2e-3), (8, 0.05)] {
            let (network, input) = one_convolution(gradient_bits, &method);
            let Some(gpu) = open_gpu() else { return };
            let options = SessionOptions { fold: false, ..options_for(input, 2) };
            let mut session = Session::new(gpu, &network, &options).expect("a session");
            let pictures = Pictures::of(&input, 2, 3);
            let state = block_on(session.state()).expect("state");
            let logits = block_on(async {
                session.freeze().await.expect("freeze");
                session.logits(&pictures.batch()).await.expect("logits")
            });
            let mut formula = Formula::new(&state, &pictures, &method);
            let logits: Vec<f64> = logits.into_iter().map(f64::from).collect();
            assert!(apart(&logits, &formula.scores()) < 1e-4, "{method:?}: scores");

            let mut session =
                Session::new(open_gpu().expect("an adapter"), &network, &options).expect("a session");
            let gradients = block_on(async {
                session.forward(&pictures.batch(), 0).await.expect("forward");
                session.backward().await.expect("backward");
                session.gradients().await.expect("gradients")
            });
            let (of_weight, of_signs) = slopes
                .get_or_insert_with(|| (formula.slopes(|f| &mut f.weight), formula.slopes(|f| &mut f.signs)));
            let weight = apart(&values(&gradients, "conv1.weight"), of_weight);
            assert!(weight < tolerance, "{method:?} {gradient_bits}: grad_weight is off by {weight}");

            let rule = method.group_net.signs.expect("signs").rule;
            let passed = sign_backward(&formula.x, of_signs, rule);
            let middle = CHANNELS[1];
            let bias: Vec<f64> = (0..middle).map(|c| passed.iter().skip(c).step_by(middle).sum()).collect();
            let found = apart(&values(&gradients, "conv0.bias"), &bias);
            assert!(found < tolerance, "{method:?} {gradient_bits}: grad_input is off by {found}");
        }
    }
}

/// Scales of more channels than a binding takes are those of a layer that is bound as a whole.
#[test]
fn scales_of_channels_do_not_depend_on_what_a_binding_takes() {
    let model = by(model("digits", 8, bits([1, 2, 32])), &rules(true, None, None));
    let pictures = Pictures::new(&model, SAMPLES, 5);
    let whole = options(&model, SAMPLES);
    // The larger weight has 64 x 288 values.
    let small = SessionOptions { max_binding_words: Some(32 * 288), ..whole.clone() };
    let mut losses = Vec::new();
    for options in [whole, small] {
        let Some(mut session) = gpu_session(&model, &options) else { return };
        block_on(session.forward(&pictures.batch(), 0)).expect("forward");
        losses.push(block_on(session.report()).expect("a report").loss);
    }
    assert_eq!(losses[0], losses[1]);
}
