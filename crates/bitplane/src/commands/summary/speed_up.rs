//! What the Group-Net paper's equation 4 says about a network made of bases, beside the f32 network it stands for.

use graph::{FULL_PRECISION, LayerSummary, Partition, Structure};
use serde::Serialize;

use super::table::styled;
use crate::cli::TableFormat;
use crate::complexity::Bases;

/// Estimates for words of 64 bits, as the paper has them, and of 32, as shaders do.
const WORDS: [u32; 2] = [64, 32];

/// Of one product of the f32 network, or of all.
#[derive(Serialize)]
struct Estimate {
    /// The layer of the f32 network.
    layer: String,
    bases: u32,
    /// Times that the product in f32 takes longer, for words of 64 and of 32 bits.
    speed_up: [f64; 2],
}

#[derive(Serialize)]
pub struct SpeedUp {
    layers: Vec<Estimate>,
    /// All quantized layers together.
    quantized: [f64; 2],
    /// With the first and the last layer in f32.
    network: [f64; 2],
}

impl SpeedUp {
    /// The estimate for a network of these layers; none where a product runs in f32 for want of bits on a side.
    pub fn of(structure: &Structure, summary: &[LayerSummary]) -> Option<Self> {
        let mut layers = Vec::new();
        let (mut macs, mut in_f32, mut costs) = (0.0, 0.0, [0.0; 2]);
        for layer in summary.iter().filter(|layer| layer.macs > 0) {
            let Some(bits) = layer.bits else {
                in_f32 += layer.macs as f64;
                continue;
            };
            if [bits.weight, bits.activation].contains(&FULL_PRECISION) {
                return None;
            }
            let (name, bases) = match in_parent(&layer.name) {
                Some((name, 0)) => (name, structure.bases),
                Some(_) => continue,
                None => (layer.name.clone(), 1),
            };
            // Layer by layer every output of every base is added, in groups those of the last layer alone.
            let each = structure.partition == Partition::LayerWise;
            let outputs = u64::from(layer.output.shape.len());
            let plane_pairs = bits.weight * bits.activation;
            let product =
                Bases { macs: layer.macs, plane_pairs, additions: if each { outputs } else { 0 }, bases };
            macs += product.macs as f64;
            costs.iter_mut().zip(WORDS).for_each(|(cost, word)| *cost += product.cost(word));
            layers.push(Estimate { layer: name, bases, speed_up: WORDS.map(|word| product.speed_up(word)) });
        }
        if structure.partition != Partition::LayerWise {
            let sums = summary.iter().filter(|layer| layer.kind == "weighted_sum");
            let outputs: f64 = sums.map(|layer| f64::from(layer.output.shape.len())).sum();
            costs.iter_mut().for_each(|cost| *cost += f64::from(structure.bases) * outputs);
        }
        let (quantized, network) =
            (costs.map(|cost| macs / cost), costs.map(|c| (macs + in_f32) / (c + in_f32)));
        Some(Self { layers, quantized, network })
    }

    /// A table and the totals, below the summary.
    pub fn text(&self, format: TableFormat) -> String {
        let mut table = styled(format);
        table.set_header(["layer of the f32 network", "bases", "64-bit words", "32-bit words"]);
        for Estimate { layer, bases, speed_up } in &self.layers {
            let [wide, narrow] = speed_up.map(|factor| format!("{factor:.1}"));
            table.add_row([layer.clone(), bases.to_string(), wide, narrow]);
        }
        let totals = [("quantized layers", self.quantized), ("all layers", self.network)];
        for (name, [wide, narrow]) in totals {
            table.add_row([name.to_owned(), String::new(), format!("{wide:.1}"), format!("{narrow:.1}")]);
        }
        format!(
            "\n\nEstimated speed-up over the f32 network (Group-Net's equation 4; `bench train` and `bench infer` measure it)\
             \n\n{table}"
        )
    }
}

/// The name in the f32 network and the number of the base, for a layer of a base.
fn in_parent(name: &str) -> Option<(String, u32)> {
    let parts: Vec<&str> = name.split('.').collect();
    let at =
        parts.iter().position(|part| part.strip_prefix("base").is_some_and(|n| n.parse::<u32>().is_ok()))?;
    let number = parts[at].strip_prefix("base")?.parse().ok()?;
    let name: Vec<&str> =
        parts.iter().enumerate().filter(|(index, _)| *index != at).map(|(_, part)| *part).collect();
    Some((name.join("."), number))
}
