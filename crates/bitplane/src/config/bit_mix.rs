//! Settings by which weights and channels get bits of their own.

use graph::{Heterogeneous, quantizers::HbnnActivation};

use super::Config;
use crate::method::BitOrder;

impl Config {
    /// How weights get bits of their own, where they do.
    pub fn heterogeneous(&self) -> Option<Heterogeneous> {
        let mix = self.bit_mix.as_ref()?.parse().expect("the mix was checked");
        let order = match self.bit_order {
            BitOrder::TopDown => graph::BitOrder::TopDown,
            BitOrder::MiddleOut => graph::BitOrder::MiddleOut,
            BitOrder::BottomUp => graph::BitOrder::BottomUp,
            BitOrder::Random => graph::BitOrder::Random,
        };
        Some(Heterogeneous { mix, order, granularity: self.mask_granularity.into() })
    }

    /// How channels of activations get bits of their own, where they do.
    pub fn channel_bits(&self) -> Option<HbnnActivation> {
        let mix = self.activation_mix.as_ref()?.parse().expect("the mix was checked");
        Some(HbnnActivation { mix, seed: self.seed })
    }
}
