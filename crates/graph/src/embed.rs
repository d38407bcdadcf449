//! Networks inside others: a trained one that goes along and stays as it is.

use crate::{GraphError, NamedTensor, Network, NetworkBuilder, Node, ParameterSpec, network::NetworkLayer};

impl Network {
    /// A builder that goes on behind this network's layers and keeps its heads.
    pub fn into_builder(self) -> NetworkBuilder {
        let Self { input, layers, heads, matches, parts, lengths, .. } = self;
        NetworkBuilder { matches, parts, lengths, ..NetworkBuilder::from_parts(input, layers, heads) }
    }

    /// The network as the state that `tensors` are of has it: learned bit lengths at the widths that they have come to.
    ///
    /// # Errors
    /// Lengths that no layer can have.
    pub fn as_saved(self, tensors: &[NamedTensor]) -> Result<Self, GraphError> {
        Ok(self.for_state(tensors)?.unwrap_or(self))
    }
}

impl NetworkBuilder {
    /// The output of layer `name`.
    pub fn node(&self, name: &str) -> Option<Node> {
        self.layers.iter().position(|layer| layer.name == name).map(Node)
    }

    /// Adds the layers that the main head of `network` needs, as `prefix.NAME`, over the same picture, and returns its class
    /// scores. They are frozen: in training they compute by running statistics and without dropout, no gradient goes through
    /// them, and their parameters `prefix.NAME.PARAMETER` are neither counted, updated nor saved, but given to each session by
    /// [`Session::load_frozen`](crate::Session::load_frozen).
    ///
    /// # Errors
    /// Another picture, or a name used twice.
    pub fn embed_frozen(&mut self, prefix: &str, network: &Network) -> Result<Node, GraphError> {
        if network.input != self.input {
            let message = format!("reads pictures of {}, not {}", network.input, self.input);
            return Err(GraphError::layer(prefix, message));
        }
        let before = self.layers.len();
        for layer in network.head(0).layers {
            let name = format!("{prefix}.{}", layer.name);
            if !self.names.insert(name.clone()) {
                return Err(GraphError::Duplicate { layer: name });
            }
            let constant = |specs: Vec<ParameterSpec>| {
                let frozen = specs.into_iter().map(|spec| ParameterSpec { trainable: false, ..spec });
                frozen.collect::<Vec<_>>()
            };
            let drawn = layer.layer.drawn_from(&layer.name, &layer.input_kinds);
            self.layers.push(NetworkLayer {
                name,
                layer: drawn.unwrap_or_else(|| layer.layer.clone()),
                inputs: layer.inputs.iter().map(|input| input.map(|at| before + at)).collect(),
                prefix: format!("{prefix}.{}", layer.prefix),
                parameters: constant(layer.parameters),
                shared: constant(layer.shared),
                frozen: true,
                ..layer
            });
        }
        Ok(Node(self.layers.len() - 1))
    }
}
