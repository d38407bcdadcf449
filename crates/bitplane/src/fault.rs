//! Faults on purpose, so that tests see the real program meet them.
//!
//! The environment variable `BITPLANE_FAULT` holds one of
//!
//! - `destroy@STEP` or `destroy@STEPxTIMES`: the device is destroyed before global step STEP (from 0), the first TIMES
//!   times that the step is reached;
//! - `nan:LAYER@STEP`: before global step STEP the first weight of LAYER becomes NaN on the device.
//!
//! It is read once, by `train` only, and is no part of the documented interface.

use graph::Session;
use recording::Executor;

use crate::exit::Failure;

/// What is to go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The device is lost.
    Destroy,
    /// A weight of this layer becomes NaN.
    Nan(String),
}

/// A fault that is still to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    kind: FaultKind,
    step: u32,
    times: u32,
}

impl Fault {
    /// The fault that the environment asks for.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a text that is none, so that a test with a typing error cannot pass.
    pub fn from_environment() -> Result<Option<Self>, Failure> {
        std::env::var("BITPLANE_FAULT").ok().map(|text| parse(&text)).transpose()
    }

    /// Whether and how step `step` is to be disturbed; counts.
    pub fn strikes(&mut self, step: u32) -> Option<FaultKind> {
        let now = step == self.step && self.times > 0;
        self.times -= u32::from(now);
        now.then(|| self.kind.clone())
    }
}

/// Makes the first element of the largest parameter of `layer` NaN, on the device.
///
/// # Errors
/// [`Failure::Usage`] where no such layer is trained, or the device's.
pub fn plant_nan<E: Executor>(session: &mut Session<E>, layer: &str) -> Result<(), Failure> {
    let of_layer = |name: &str| name.rsplit_once('.').is_some_and(|(found, _)| found == layer);
    let slices = session.parameter_slices().into_iter().filter(|(name, _)| of_layer(name));
    let slice =
        slices.map(|(_, slice)| slice).max_by_key(|slice| slice.words).ok_or_else(|| Failure::Usage {
            message: format!("BITPLANE_FAULT names layer `{}`, which has no weights", data::printable(layer)),
        })?;
    let written = session.executor_mut().write(slice.buffer, slice.offset, &[f32::NAN.to_bits()]);
    Ok(written.map_err(graph::GraphError::from)?)
}

fn parse(text: &str) -> Result<Fault, Failure> {
    let parts = || {
        let (kind, rest) = text.split_once('@')?;
        let (step, times) = rest.split_once('x').unwrap_or((rest, "1"));
        let kind = match kind.split_once(':') {
            None if kind == "destroy" => FaultKind::Destroy,
            Some(("nan", layer)) => FaultKind::Nan(layer.to_owned()),
            _ => return None,
        };
        Some(Fault { kind, step: step.parse().ok()?, times: times.parse().ok()? })
    };
    let message = format!("BITPLANE_FAULT is `{}`, not KIND@STEP", data::printable(text));
    parts().ok_or(Failure::Usage { message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_as_often_as_it_says() {
        let mut fault = parse("destroy@5x2").unwrap();
        let hits: Vec<bool> = [4, 5, 5, 5].map(|step| fault.strikes(step) == Some(FaultKind::Destroy)).into();
        assert_eq!(hits, [false, true, true, false]);
        assert_eq!(parse("nan:a@0").unwrap(), Fault { kind: FaultKind::Nan("a".into()), step: 0, times: 1 });
        for wrong in ["", "nan", "nan@1", "nan:a@", "nan:a@x", "boom@3", "destroy@3x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
