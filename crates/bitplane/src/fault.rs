//! Faults on purpose, so that tests see the real program meet them.
//!
//! The environment variable `BITPLANE_FAULT` holds one of
//!
//! - `destroy@STEP` or `destroy@STEPxTIMES`: the device is destroyed before global step STEP (from 0), the first TIMES
//!   times that the step is reached;
//! - `nan@STEP`: before global step STEP one value of the first parameter becomes NaN.
//!
//! It is read once, by `train` only, and is no part of the documented interface.

use crate::exit::Failure;

/// What is to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The device is lost.
    Destroy,
    /// A parameter becomes NaN.
    Nan,
}

/// A fault that is still to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        now.then_some(self.kind)
    }
}

fn parse(text: &str) -> Result<Fault, Failure> {
    let parts = || {
        let (kind, rest) = text.split_once('@')?;
        let (step, times) = rest.split_once('x').unwrap_or((rest, "1"));
        let kind = match kind {
            "destroy" => FaultKind::Destroy,
            "nan" => FaultKind::Nan,
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
        assert_eq!(parse("nan@0").unwrap(), Fault { kind: FaultKind::Nan, step: 0, times: 1 });
        for wrong in ["", "nan", "nan@", "nan@x", "boom@3", "destroy@3x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
