//! Which kernel computes which product, as `train` and `eval` say it.

use graph::Session;
use recording::Executor;

use crate::output::note;
use crate::report::LayerReport;

/// Every product of a training step.
pub fn all<E: Executor>(session: &Session<E>) -> Vec<LayerReport> {
    session.products().iter().map(LayerReport::from).collect()
}

/// The products of a forward pass.
pub fn forward<E: Executor>(session: &Session<E>) -> Vec<LayerReport> {
    let mut layers = all(session);
    layers.retain(|layer| layer.pass == "forward");
    layers
}

/// One line a product on standard error.
pub fn show(layers: &[LayerReport]) {
    for layer in layers {
        let pairs = match layer.plane_pairs {
            0 => layer.arithmetic.clone(),
            1 => "1 plane pair".to_owned(),
            pairs => format!("{pairs} plane pairs"),
        };
        let kernel = layer.tactic.as_ref().unwrap_or(&layer.kernel);
        let reason = layer.reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
        note(&format!("  {:<12} {:<12} {kernel} {pairs}{reason}", layer.name, layer.pass));
    }
}
