//! Codes that stand for something else than their rule's, in a network that is deployed and no longer trained.

use kernels::{PlaneGroup, Rounding};

use super::{ActivationQuantizer, DorefaActivation};
use crate::{CodeRule, DeployedCodes, GraphError, Packed, Recorder, Tensor};

/// The codes of `rule`, which stand for `codes`.
#[derive(Clone, Debug)]
pub struct Coded {
    rule: DorefaActivation,
    codes: DeployedCodes,
}

impl Coded {
    /// Codes of a rule that stand for `codes`.
    pub fn new(rule: DorefaActivation, codes: DeployedCodes) -> Self {
        Self { rule, codes }
    }
}

impl ActivationQuantizer for Coded {
    fn bits(&self) -> u32 {
        self.rule.bits
    }

    fn kind(&self) -> kernels::Kind {
        self.codes.kind
    }

    fn factor(&self) -> f32 {
        self.codes.groups[0].1
    }

    fn rule(&self) -> Option<CodeRule> {
        self.rule.rule()
    }

    fn unit_clip(&self) -> Option<Rounding> {
        let whole = |(planes, _): &(PlaneGroup, f32)| *planes == PlaneGroup::first(self.rule.bits);
        matches!(self.codes.groups.as_slice(), [group] if whole(group)).then(|| self.rule.unit_clip())?
    }

    fn pack(&self, recorder: &mut Recorder, input: &Tensor) -> Result<Packed, GraphError> {
        let packed = self.rule.pack(recorder, input)?;
        Ok(self.codes.packed(packed.shape, packed.chunks))
    }

    fn backward(&self, recorder: &mut Recorder, input: &Tensor, grad: &Tensor) -> Result<Tensor, GraphError> {
        self.rule.backward(recorder, input, grad)
    }
}
