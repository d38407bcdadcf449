//! What a layer makes of its inputs, and the tensors that it needs for that.

use crate::{
    Error,
    check::{Kind, MAX_INPUTS, MAX_SIZE, MAX_VALUES, Map, Need},
    codes::{Code, MAX_BITS, levels, width_of},
    container::Dtype,
    manifest::{BitConvolution, Form, Layer, Operation, Quantize, Rounding, Window},
};

/// Groups of planes of one layer's weights at most.
const MAX_GROUPS: usize = 64;

/// The map that a layer gives, and the tensors that it needs.
pub fn infer(layer: &Layer, inputs: &[Map]) -> Result<(Map, Vec<Need>), Error> {
    let fail = |message: String| Err(Error::layer(&layer.name, message));
    let shown = || inputs.iter().map(Map::shown).collect::<Vec<_>>().join(" and ");
    let floats = |suffix: &str, shape: &[u32]| need(layer, suffix, Dtype::F32, shape, 32);
    let one = match (&layer.operation, inputs) {
        (Operation::Add, [a, b]) if a == b && a.kind == Kind::Values => return Ok((*a, Vec::new())),
        (Operation::Add, _) => return fail(format!("adds two equal maps of values, not {}", shown())),
        (Operation::WeightedSum, [a, ..])
            if a.kind == Kind::Values && inputs.len() <= MAX_INPUTS && inputs.iter().all(|b| a == b) =>
        {
            return Ok((*a, vec![floats("factors", &[inputs.len() as u32])]));
        }
        (Operation::WeightedSum, _) => return fail(format!("adds equal maps of values, not {}", shown())),
        (Operation::ScalePositions, [x, factors])
            if x.kind == Kind::Values && *factors == x.of_positions() =>
        {
            return Ok((*x, Vec::new()));
        }
        (Operation::ScalePositions, _) => {
            return fail(format!("takes values and a factor of each pixel, not {}", shown()));
        }
        (Operation::BitConvolution(_), [codes, factors]) if matches!(codes.kind, Kind::Codes(_)) => {
            let (sums, list) = infer(layer, &[*codes])?;
            let values = Map { kind: Kind::Values, ..sums };
            if *factors != values.of_positions() {
                return fail(format!("takes codes and a factor of each output position, not {}", shown()));
            }
            return Ok((values, list));
        }
        (_, [one]) => *one,
        _ => return fail(format!("takes one input, not {}", inputs.len())),
    };
    let over = |window: &Window| {
        window.output(one.height, one.width).ok_or_else(|| {
            Error::layer(&layer.name, format!("has a window {window:?} that does not fit {}", one.shown()))
        })
    };
    let wrong = || fail(format!("does not take {}", shown()));
    let values = one.kind == Kind::Values;
    Ok(match &layer.operation {
        Operation::Convolution(conv) if values => {
            if !conv.outside.is_finite() {
                return fail(format!("has {} around its map", conv.outside));
            }
            let [height, width] = over(&conv.window)?;
            let inner = inner_channels(layer, one.channels, conv.channels, conv.groups)?;
            let [kernel_h, kernel_w] = conv.window.kernel;
            weights(layer, &[conv.channels, kernel_h, kernel_w, inner])?;
            let mut list = vec![floats("weight", &[conv.channels, kernel_h, kernel_w, inner])];
            list.extend(conv.bias.then(|| floats("bias", &[conv.channels])));
            (Map { height, width, channels: conv.channels, ..one }, list)
        }
        Operation::BatchNormalization { epsilon } if values => {
            if !(epsilon.is_finite() && *epsilon >= 0.0) {
                return fail(format!("has epsilon {epsilon}"));
            }
            (one, vec![floats("normalization", &[4, one.channels])])
        }
        Operation::Bias if values => (one, vec![floats("bias", &[one.channels])]),
        Operation::MaxPool(window) | Operation::AveragePool(window) if values => {
            let [height, width] = over(window)?;
            (Map { height, width, ..one }, Vec::new())
        }
        Operation::GlobalAveragePool if values => (Map { height: 1, width: 1, ..one }, Vec::new()),
        Operation::Scale { factor } if values => {
            if !factor.is_finite() {
                return fail(format!("has factor {factor}"));
            }
            (one, Vec::new())
        }
        Operation::Clip | Operation::Magnitude | Operation::Relu if values => (one, Vec::new()),
        Operation::ClipTo { limit } | Operation::MagnitudeTo { limit } if values => {
            if !(limit.is_finite() && *limit > 0.0) {
                return fail(format!("has the limit {limit}"));
            }
            (one, Vec::new())
        }
        Operation::ChannelMagnitude if values => (one.of_positions(), Vec::new()),
        Operation::WindowMean(window) if one == one.of_positions() => {
            let [height, width] = over(window)?;
            (Map { height, width, ..one }, Vec::new())
        }
        Operation::Quantize(quantize) if values => {
            let code = Code::of(layer, quantize.bits, quantize.codes.as_ref())?;
            check_rule(layer, quantize)?;
            let by_channel = quantize.rule.is_some_and(|rule| rule.form == Form::ClipByChannel);
            let own =
                [("bits", by_channel), ("groups", code.apart)].into_iter().filter(|(_, needed)| *needed);
            let list = own.map(|(suffix, _)| need(layer, suffix, Dtype::U8, &[one.channels], 8));
            (Map { kind: Kind::Codes(code), ..one }, list.collect())
        }
        Operation::Dequantize if matches!(one.kind, Kind::Codes(_)) => {
            (Map { kind: Kind::Values, ..one }, Vec::new())
        }
        Operation::BitConvolution(conv) => {
            let kind = match one.kind {
                Kind::Codes(code) if code.groups().len() == 1 && (conv.apart || conv.weights.len() <= 1) => {
                    Kind::Sums
                }
                Kind::Codes(_) => Kind::Values,
                Kind::Values if !conv.weights.is_empty() => Kind::Values,
                _ => return wrong(),
            };
            let [height, width] = over(&conv.window)?;
            let list = planes(layer, conv, one)?;
            (Map { height, width, channels: conv.channels, kind }, list)
        }
        Operation::Threshold { bits, pool, codes } if one.kind == Kind::Sums => {
            let code = Code::of(layer, *bits, codes.as_ref())?;
            if code.apart {
                return fail("has groups of codes apart behind thresholds".to_owned());
            }
            let [height, width] = pool.as_ref().map_or(Ok([one.height, one.width]), over)?;
            let list = vec![
                need(layer, "thresholds", Dtype::I32, &[levels(*bits), one.channels], 32),
                need(layer, "ascending", Dtype::U8, &[one.channels], 1),
            ];
            (Map { height, width, kind: Kind::Codes(code), ..one }, list)
        }
        Operation::Rescale if one.kind == Kind::Sums => (Map { kind: Kind::Values, ..one }, Vec::new()),
        _ => return wrong(),
    })
}

/// A tensor with so many bits for each number.
fn need(layer: &Layer, suffix: &str, dtype: Dtype, shape: &[u32], bits: u64) -> Need {
    let shape: Vec<u64> = shape.iter().map(|&size| u64::from(size)).collect();
    let bits = bits * shape.iter().product::<u64>();
    Need { name: format!("{}.{suffix}", layer.name), dtype, shape, bits, prefix: false }
}

fn check_rule(layer: &Layer, quantize: &Quantize) -> Result<(), Error> {
    if let Some(rule) = quantize.rule
        && quantize.codes.as_ref().is_some_and(|codes| codes.apart)
    {
        let factor = match rule.rounding {
            Rounding::Even => levels(quantize.bits),
            Rounding::Down => levels(quantize.bits) + 1,
            Rounding::HalfUp => 0,
        };
        let sound = (rule.form, rule.inverse, rule.factor, rule.drop) == (Form::Clip, 1.0, factor as f32, 0);
        if !sound {
            return Err(Error::layer(
                &layer.name,
                format!("has the rule {rule:?} for groups of codes apart"),
            ));
        }
    }
    let Some(rule) = &quantize.rule else { return Ok(()) };
    let numbers = [rule.inverse, rule.factor];
    let sound = numbers.iter().all(|number| number.is_finite() && *number > 0.0)
        && rule.drop <= MAX_BITS - quantize.bits
        && (rule.form != Form::Sign || quantize.bits == 1);
    let usual = (rule.inverse, rule.factor) == (1.0, levels(quantize.bits) as f32)
        && (rule.rounding, rule.drop) == (Rounding::Even, 0);
    let sound = sound && (rule.form != Form::ClipByChannel || usual);
    if sound { Ok(()) } else { Err(Error::layer(&layer.name, format!("has the rule {rule:?}"))) }
}

/// What a convolution with planes of weights needs.
fn planes(layer: &Layer, conv: &BitConvolution, one: Map) -> Result<Vec<Need>, Error> {
    let fail = |message: String| Err(Error::layer(&layer.name, message));
    let inner = inner_channels(layer, one.channels, conv.channels, conv.groups)?;
    let [kernel_h, kernel_w] = conv.window.kernel;
    let count = weights(layer, &[conv.channels, kernel_h, kernel_w, inner])?;
    let fan_in = count / u64::from(conv.channels);
    if conv.weights.is_empty() {
        width_of(layer, conv.weight_bits)?;
    }
    let groups = conv.groups_of_planes();
    let total = groups.iter().try_fold(0u32, |sum, group| sum.checked_add(group.planes));
    if groups.len() > MAX_GROUPS || total != Some(conv.weight_bits) {
        return fail(format!("has {} groups that are not of {} planes", groups.len(), conv.weight_bits));
    }
    let most = match one.kind {
        Kind::Codes(code) => code.groups().iter().map(|group| levels(group.planes)).max().unwrap_or(1),
        _ => 1,
    };
    let of_channels =
        |group: &crate::manifest::WeightGroup| group.mask.is_some_and(|mask| u64::from(mask.run) == fan_in);
    if conv.apart && !(groups.len() > 1 && groups.iter().all(of_channels)) {
        return fail("has groups apart whose masks are not by channels".to_owned());
    }
    let mut list = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        let bits = width_of(layer, group.planes)?;
        let largest = u64::from(most) * u64::from(levels(bits)) * fan_in;
        if largest >= i32::MAX as u64 {
            return fail(format!("has sums of up to {largest}, which leave 32 bits"));
        }
        if !group.factor.is_finite() || group.scales > 0 && !conv.channels.is_multiple_of(group.scales) {
            return fail(format!("has a group {group:?} of planes for {} channels", conv.channels));
        }
        let mut reached = count;
        if let Some(mask) = group.mask {
            if mask.run == 0 || u64::from(mask.run) > fan_in || mask.weights > count {
                return fail(format!("has a mask {mask:?} for {count} weights"));
            }
            reached = mask.weights;
            let runs = u64::from(conv.channels) * fan_in.div_ceil(u64::from(mask.run));
            let shape = [u32::try_from(runs.div_ceil(8)).expect("fewer than 2^26 weights")];
            let mask = need(layer, &conv.tensor("mask", at), Dtype::U8, &shape, 0);
            list.push(Need { bits: runs, ..mask });
        }
        let bytes = u32::try_from(reached.div_ceil(8)).expect("fewer than 2^26 weights");
        let planes = need(layer, &conv.tensor("planes", at), Dtype::U8, &[bits, bytes], 0);
        list.push(Need { bits: u64::from(bits) * reached, prefix: true, ..planes });
        if group.scales > 0 {
            list.push(need(layer, &conv.tensor("scale", at), Dtype::F32, &[group.scales], 32));
        }
    }
    Ok(list)
}

/// Input channels of a group.
fn inner_channels(layer: &Layer, input: u32, output: u32, groups: u32) -> Result<u32, Error> {
    let fits = (1..=MAX_SIZE).contains(&output)
        && groups > 0
        && input.is_multiple_of(groups)
        && output.is_multiple_of(groups);
    if fits {
        Ok(input / groups)
    } else {
        Err(Error::layer(&layer.name, format!("has {input} to {output} channels in {groups} groups")))
    }
}

/// Number of weights.
fn weights(layer: &Layer, shape: &[u32]) -> Result<u64, Error> {
    let count = shape.iter().try_fold(1u64, |count, &size| count.checked_mul(u64::from(size)));
    count
        .filter(|count| (1..=MAX_VALUES).contains(count))
        .ok_or_else(|| Error::layer(&layer.name, format!("has weights of {shape:?}, more than {MAX_VALUES}")))
}
