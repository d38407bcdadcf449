//! Settings by which weights and channels get bits of their own.

use graph::{Heterogeneous, quantizers::HbnnActivation};

use super::Config;
use crate::method::{BitOrder, MaskGranularity};

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
        let granularity = match self.mask_granularity {
            MaskGranularity::Element => graph::MaskGranularity::Element,
            MaskGranularity::Word => graph::MaskGranularity::Word,
            MaskGranularity::Channel => graph::MaskGranularity::Channel,
        };
        Some(Heterogeneous { mix, order, granularity })
    }

    /// How channels of activations get bits of their own, where they do.
    pub fn channel_bits(&self) -> Option<HbnnActivation> {
        let mix = self.activation_mix.as_ref()?.parse().expect("the mix was checked");
        Some(HbnnActivation { mix, seed: self.seed })
    }
}
