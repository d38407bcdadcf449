//! One picture through a network.

use std::mem;

use crate::{
    Error,
    bit_convolution::Scratch,
    check::{Kind, Map},
    image,
    layers::{self, max_pool},
    network::{Network, Step},
    positions,
};

/// The output of a layer.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Values(Vec<f32>),
    Codes(Vec<u8>),
    Sums(Vec<i32>),
}

impl Value {
    fn of(map: &Map, memory: &mut Memory) -> Self {
        let len = map.len() as usize;
        match map.kind {
            Kind::Values => Self::Values(sized(memory.values.pop(), len)),
            Kind::Codes(_) => Self::Codes(sized(memory.codes.pop(), len)),
            Kind::Sums => Self::Sums(sized(memory.sums.pop(), len)),
        }
    }
}

fn sized<T: Clone + Default>(memory: Option<Vec<T>>, len: usize) -> Vec<T> {
    let mut memory = memory.unwrap_or_default();
    memory.resize(len, T::default());
    memory
}

/// Memory that one picture after the other uses.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    image: Vec<f32>,
    values: Vec<Vec<f32>>,
    codes: Vec<Vec<u8>>,
    sums: Vec<Vec<i32>>,
    scratch: Scratch,
}

impl Memory {
    fn take_back(&mut self, value: Value) {
        match value {
            Value::Values(values) => self.values.push(values),
            Value::Codes(codes) => self.codes.push(codes),
            Value::Sums(sums) => self.sums.push(sums),
        }
    }
}

/// The outputs of all layers for one picture.
#[derive(Debug)]
pub struct Trace {
    outputs: Vec<(String, Option<Value>)>,
}

impl Trace {
    fn find(&self, layer: &str) -> Option<&Value> {
        self.outputs.iter().find(|(name, _)| name == layer).and_then(|(_, value)| value.as_ref())
    }

    /// Names of all layers that give codes, in their order.
    pub fn coded_layers(&self) -> impl Iterator<Item = &str> {
        let coded = |(name, value): &'_ (String, Option<Value>)| {
            matches!(value, Some(Value::Codes(_))).then_some(name.len())
        };
        self.outputs.iter().filter(move |entry| coded(entry).is_some()).map(|(name, _)| name.as_str())
    }

    /// Codes `[row][column][channel]` of a layer that gives codes.
    pub fn codes(&self, layer: &str) -> Option<&[u8]> {
        match self.find(layer) {
            Some(Value::Codes(codes)) => Some(codes),
            _ => None,
        }
    }

    /// Integer sums `[row][column][channel]` of a layer that gives sums.
    pub fn sums(&self, layer: &str) -> Option<&[i32]> {
        match self.find(layer) {
            Some(Value::Sums(sums)) => Some(sums),
            _ => None,
        }
    }

    /// Values `[row][column][channel]` of a layer that gives f32.
    pub fn values(&self, layer: &str) -> Option<&[f32]> {
        match self.find(layer) {
            Some(Value::Values(values)) => Some(values),
            _ => None,
        }
    }
}

/// What is kept of the outputs, and what some are replaced by.
pub(crate) struct Plan<'a> {
    pub keep: bool,
    pub replace: &'a [(&'a str, &'a [u8])],
}

/// The scores of one picture, and all outputs where they are kept.
pub(crate) fn run(
    network: &Network,
    picture: &[u8],
    memory: &mut Memory,
    plan: &Plan<'_>,
) -> Result<(Vec<f32>, Trace), Error> {
    let steps = network.steps();
    let mut image = mem::take(&mut memory.image);
    image::prepare(network.file().manifest(), picture, &mut image);
    let mut outputs: Vec<Option<Value>> = steps.iter().map(|_| None).collect();
    for (at, step) in steps.iter().enumerate() {
        // The last reader of sums and values may work on them in place.
        let mut output = compute(network, step, &image, &mut outputs, memory, plan.keep);
        if let Some((_, codes)) = plan.replace.iter().find(|(name, _)| *name == step.name)
            && let Value::Codes(own) = &mut output
            && own.len() == codes.len()
        {
            own.copy_from_slice(codes);
        }
        outputs[at] = Some(output);
        if !plan.keep {
            for &dead in &step.dead {
                if let Some(value) = outputs[dead].take() {
                    memory.take_back(value);
                }
            }
        }
    }
    memory.image = image;
    let Some(Some(Value::Values(scores))) = outputs.last() else {
        unreachable!("the last layer gives values")
    };
    let scores = scores.clone();
    let named = steps.iter().map(|step| step.name.clone());
    let trace = if plan.keep {
        named.zip(outputs).collect()
    } else {
        outputs.into_iter().flatten().for_each(|value| memory.take_back(value));
        Vec::new()
    };
    if scores.iter().any(|score| !score.is_finite()) {
        return Err(Error::NonFinite);
    }
    Ok((scores, Trace { outputs: trace }))
}

fn compute(
    network: &Network,
    step: &Step,
    image: &[f32],
    outputs: &mut [Option<Value>],
    memory: &mut Memory,
    keep: bool,
) -> Value {
    let level = network.level();
    // Sums are changed by comparisons, so a copy is compared where they are read again.
    let reads_once = step.inputs[0].is_some_and(|input| step.dead.contains(&input)) && !keep;
    let mut taken = None;
    if let crate::network::Work::Threshold { .. } = step.work {
        let input = step.inputs[0].expect("a picture has no sums");
        taken = if reads_once { outputs[input].take() } else { outputs[input].clone() };
    }
    let mut output = Value::of(&step.output, memory);
    let values_of = |input: Option<usize>| match input {
        None => image,
        Some(at) => match &outputs[at] {
            Some(Value::Values(values)) => values,
            _ => unreachable!("kinds were checked"),
        },
    };
    let codes_of = |input: Option<usize>| match input.map(|at| &outputs[at]) {
        Some(Some(Value::Codes(codes))) => codes,
        _ => unreachable!("kinds were checked"),
    };
    let input = step.inputs[0];
    use crate::network::Work;
    match (&step.work, &mut output) {
        (Work::Convolution(conv), Value::Values(result)) => conv.run(level, values_of(input), result),
        (Work::BatchNormalization(norm), Value::Values(result)) => {
            result.copy_from_slice(values_of(input));
            norm.run(result);
        }
        (Work::MaxPool(window), Value::Values(result)) => {
            let larger = |max: f32, value: f32| if value > max { value } else { max };
            max_pool(level, window, (step.input, step.output), values_of(input), result, larger);
        }
        (Work::AveragePool(window), Value::Values(result)) => {
            layers::average_pool(window, (step.input, step.output), values_of(input), result);
        }
        (Work::Scale(factor), Value::Values(result)) => {
            result.iter_mut().zip(values_of(input)).for_each(|(y, x)| *y = factor * x);
        }
        (Work::GlobalAveragePool, Value::Values(result)) => {
            layers::global_average_pool(step.input, values_of(input), result);
        }
        (Work::Clip(limit), Value::Values(result)) => {
            result.iter_mut().zip(values_of(input)).for_each(|(y, x)| *y = x.clamp(0.0, *limit));
        }
        (Work::Magnitude(limit), Value::Values(result)) => {
            result.iter_mut().zip(values_of(input)).for_each(|(y, x)| *y = x.abs().min(*limit));
        }
        (Work::Relu, Value::Values(result)) => {
            result.iter_mut().zip(values_of(input)).for_each(|(y, x)| *y = x.max(0.0));
        }
        (Work::Add, Value::Values(result)) => {
            let pairs = values_of(input).iter().zip(values_of(step.inputs[1]));
            result.iter_mut().zip(pairs).for_each(|(y, (a, b))| *y = a + b);
        }
        (Work::WeightedSum(factors), Value::Values(result)) => {
            for (at, (factor, input)) in factors.iter().zip(&step.inputs).enumerate() {
                for (y, x) in result.iter_mut().zip(values_of(*input)) {
                    *y = if at == 0 { factor * x } else { *y + factor * x };
                }
            }
        }
        (Work::Bias(bias), Value::Values(result)) => {
            result.copy_from_slice(values_of(input));
            layers::add_bias(bias, result);
        }
        (Work::ChannelMagnitude, Value::Values(result)) => {
            positions::channel_magnitude(step.input, values_of(input), result);
        }
        (Work::WindowMean(window), Value::Values(result)) => {
            positions::window_mean(window, (step.input, step.output), values_of(input), result);
        }
        (Work::ScalePositions, Value::Values(result)) => {
            positions::scale(values_of(input), values_of(step.inputs[1]), result);
        }
        (Work::Quantize(quantizer), Value::Codes(codes)) => quantizer.run(level, values_of(input), codes),
        (Work::Dequantize(tables, groups), Value::Values(result)) => {
            layers::dequantize(tables, groups, codes_of(input), result)
        }
        (Work::BitConvolution(conv), Value::Values(result)) => {
            let factors = step.inputs.get(1).map(|factors| values_of(*factors));
            conv.run_values(level, (codes_of(input), factors), result, &mut memory.scratch);
        }
        (Work::BitConvolution(conv), Value::Sums(sums)) => {
            conv.run(level, codes_of(input), sums, &mut memory.scratch);
        }
        (Work::Rescale(factors), Value::Values(result)) => match input.map(|at| &outputs[at]) {
            Some(Some(Value::Sums(sums))) => layers::rescale(factors, sums, result),
            _ => unreachable!("kinds were checked"),
        },
        (Work::Threshold { thresholds, pool }, Value::Codes(codes)) => {
            let Some(Value::Sums(mut sums)) = taken.take() else { unreachable!("kinds were checked") };
            match pool {
                None => thresholds.run(level, &mut sums, codes),
                Some(window) => {
                    let mut whole = sized(memory.codes.pop(), sums.len());
                    thresholds.run(level, &mut sums, &mut whole);
                    max_pool(level, window, (step.input, step.output), &whole, codes, u8::max);
                    memory.codes.push(whole);
                }
            }
            memory.sums.push(sums);
        }
        _ => unreachable!("kinds were checked"),
    }
    output
}
