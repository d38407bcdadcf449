//! A network cut to fewer bits: the upper bits of the codes that it was trained with, and nothing else changed.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use crate::{GraphError, Network, method::Change, network::NetworkLayer};

/// Codes that a layer makes, with their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes {
    /// Of its weights.
    Weights(u32),
    /// Of its output.
    Activations(u32),
}

impl Codes {
    /// Bits of a code.
    pub fn bits(self) -> u32 {
        let (Self::Weights(bits) | Self::Activations(bits)) = self;
        bits
    }
}

/// Widths that a network is cut to; what has fewer bits anyway stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bits of weights.
    pub weight: u32,
    /// Bits of activations.
    pub activation: u32,
    /// Bits of the weights or activations that a layer makes, by its name, where they are not those.
    pub layers: BTreeMap<String, u32>,
}

impl Cut {
    /// Weights and activations of `bits` bits.
    pub fn uniform(bits: u32) -> Self {
        Self { weight: bits, activation: bits, layers: BTreeMap::new() }
    }

    /// The width of weights and activations, where all have the same.
    pub fn width(&self) -> Option<u32> {
        (self.weight == self.activation && self.layers.values().all(|bits| *bits == self.weight))
            .then_some(self.weight)
    }

    /// Bits that the weights of `layer` keep at most.
    pub fn weight_bits(&self, layer: &str) -> u32 {
        self.layers.get(layer).copied().unwrap_or(self.weight)
    }

    fn wanted(&self, layer: &str, codes: Codes) -> u32 {
        let usual = match codes {
            Codes::Weights(bits) => bits.min(self.weight),
            Codes::Activations(bits) => bits.min(self.activation),
        };
        self.layers.get(layer).copied().unwrap_or(usual)
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.weight, self.activation)?;
        self.layers.iter().try_for_each(|(name, bits)| write!(f, ",{name}={bits}"))
    }
}

impl Network {
    /// Layers that make codes, in the network's order.
    pub fn codes(&self) -> Vec<(&str, Codes)> {
        let named = self.layers.iter().map(|layer| (layer.name.as_str(), layer.layer.codes()));
        named.filter_map(|(name, codes)| Some((name, codes?))).collect()
    }

    /// The same network on the upper bits of its codes. Parameters keep their names and shapes.
    ///
    /// # Errors
    /// [`GraphError::Layer`] names a layer that makes no codes, has fewer bits than it is to keep, or whose rule has no cut
    /// form.
    pub fn cut(&self, cut: &Cut) -> Result<Self, GraphError> {
        let known: BTreeMap<&str, Codes> = self.codes().into_iter().collect();
        for (name, bits) in &cut.layers {
            let Some(codes) = known.get(name.as_str()) else {
                let names: Vec<&str> = known.keys().copied().collect();
                let message = format!("makes no codes of few bits; those that do are {}", names.join(", "));
                return Err(GraphError::layer(name, message));
            };
            if *bits > codes.bits() {
                return Err(GraphError::layer(name, format!("has {} bits, not {bits}", codes.bits())));
            }
        }
        let mut changes = HashMap::new();
        for (at, layer) in self.layers.iter().enumerate() {
            let Some(codes) = layer.layer.codes() else { continue };
            let bits = cut.wanted(&layer.name, codes);
            if bits == codes.bits() {
                continue;
            }
            let Some(cut) = layer.layer.cut(bits) else {
                let message = format!("its {} bits have no {bits} upper ones", codes.bits());
                return Err(GraphError::layer(&layer.name, message));
            };
            changes.insert(at, Change { layer: cut, before: None });
        }
        self.rebuilt(&changes)
    }

    /// The same network, of which batch norm's factors and offsets are trained and nothing else: what adapts it to a cut.
    ///
    /// # Errors
    /// [`GraphError::Layer`] where there is no batch norm.
    pub fn with_batch_norm_alone(mut self) -> Result<Self, GraphError> {
        for layer in &mut self.layers {
            layer.fixed = layer.layer.kind() != "batch_norm";
        }
        if self.layers.iter().all(|layer| layer.fixed) {
            return Err(GraphError::layer("network", "has no batch norm that could be trained"));
        }
        Ok(self)
    }

    /// Values that the optimizer updates.
    pub fn trained_count(&self) -> u64 {
        let specs = |layer: &NetworkLayer| {
            layer
                .parameters
                .iter()
                .filter(|spec| layer.trains(spec))
                .map(|spec| spec.len() as u64)
                .sum::<u64>()
        };
        self.layers.iter().map(specs).sum()
    }
}
