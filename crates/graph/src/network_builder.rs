//! Builds a network layer by layer, input first.

use std::{collections::HashSet, sync::Arc};

use kernels::PixelScale;

use crate::{
    Bits, Block, FULL_PRECISION, FeatureMatch, GraphError, Head, Network, Node, Shape,
    bit_length::Lengths,
    heads,
    layer::Layer,
    layers::{
        AvgPool, BatchNorm, Clip, Conv2d, Dropout, GlobalAvgPool, Linear, MaxPool, Quantize, QuantizedConv2d,
        Rectifier, Scale, add,
    },
    network::NetworkLayer,
    parameter::ParameterSpec,
    quantizers::DorefaActivation,
    shape::Geometry,
    tensor::Kind,
};

/// Values of one sample's tensor or of one parameter; sizes of a whole block of samples then still fit 32 bits.
const MAX_VALUES: u64 = 1 << 26;

/// Adds layers one by one; every call checks shapes and names its layer in errors.
#[derive(Debug)]
pub struct NetworkBuilder {
    pub(crate) input: Shape,
    pub(crate) layers: Vec<NetworkLayer>,
    pub(crate) names: HashSet<String>,
    pub(crate) heads: Vec<Head>,
    pub(crate) parts: Vec<Vec<usize>>,
    pub(crate) matches: Vec<FeatureMatch>,
    pub(crate) blocks: Vec<Block>,
    /// Learned bit lengths of the network that is gone on with.
    pub(crate) lengths: Option<Lengths>,
}

impl NetworkBuilder {
    /// A network over images of `input`.
    pub fn new(input: Shape) -> Self {
        Self::from_parts(input, Vec::new(), Vec::new())
    }

    pub(crate) fn from_parts(input: Shape, layers: Vec<NetworkLayer>, heads: Vec<Head>) -> Self {
        let names = layers.iter().map(|layer| layer.name.clone()).collect();
        let (matches, parts, blocks) = (Vec::new(), Vec::new(), Vec::new());
        Self { input, layers, names, heads, matches, parts, blocks, lengths: None }
    }

    /// The image.
    pub fn input(&self) -> Node {
        Node(usize::MAX)
    }

    /// Number of layers, the position of the next one.
    pub fn position(&self) -> usize {
        self.layers.len()
    }

    /// Declares the layers from position `first` on as a block, of which the layers of `shortcut` lead past the others.
    ///
    /// # Errors
    /// A block that leaves layers out behind the one before, or is empty.
    pub fn block(&mut self, name: &str, first: usize, shortcut: &[Node]) -> Result<(), GraphError> {
        let layers = first..self.layers.len();
        if layers.is_empty() || self.blocks.last().is_some_and(|before| before.layers.end != first) {
            return Err(GraphError::layer(name, "a block has layers and begins where the one before ends"));
        }
        let shortcut = shortcut.iter().map(|node| node.0).collect();
        self.blocks.push(Block { name: name.to_owned(), layers, shortcut });
        Ok(())
    }

    /// Shape of a layer's output.
    pub fn shape(&self, node: Node) -> Shape {
        self.kind(node).shape
    }

    fn kind(&self, Node(at): Node) -> Kind {
        self.layers.get(at).map_or(Kind::dense(self.input), |layer| layer.output)
    }

    /// Adds any layer.
    ///
    /// # Errors
    /// A name used twice, or inputs that the layer does not take.
    pub fn add_layer(
        &mut self,
        name: &str,
        layer: Arc<dyn Layer>,
        inputs: &[Node],
    ) -> Result<Node, GraphError> {
        self.add(name, layer, inputs, None)
    }

    /// Adds a layer that computes with the parameters of layer `owner`, running statistics included. Its gradients are added
    /// to the owner's, in the order of the layers; saved, counted and updated they are once, under the owner's name. What is
    /// not shared, such as the batch norm of one width, is added by [`NetworkBuilder::add_layer`].
    ///
    /// # Errors
    /// As [`NetworkBuilder::add_layer`]; an owner that does not exist or whose parameters have other names or shapes.
    pub fn add_shared_layer(
        &mut self,
        name: &str,
        layer: Arc<dyn Layer>,
        inputs: &[Node],
        owner: &str,
    ) -> Result<Node, GraphError> {
        self.add(name, layer, inputs, Some(owner))
    }

    fn add(
        &mut self,
        name: &str,
        layer: Arc<dyn Layer>,
        inputs: &[Node],
        owner: Option<&str>,
    ) -> Result<Node, GraphError> {
        if !self.names.insert(name.to_owned()) {
            return Err(GraphError::Duplicate { layer: name.to_owned() });
        }
        let input_kinds: Vec<Kind> = inputs.iter().map(|node| self.kind(*node)).collect();
        let output = layer.infer(name, &input_kinds)?;
        let parameters = layer.parameters(&input_kinds);
        let largest =
            parameters.iter().map(|p| p.len() as u64).chain([output.shape.words()]).max().unwrap_or(0);
        if largest > MAX_VALUES {
            return Err(GraphError::layer(
                name,
                format!("{largest} values in one tensor, at most {MAX_VALUES} are handled"),
            ));
        }
        let (prefix, parameters, shared) = match owner {
            None => (name.to_owned(), parameters, Vec::new()),
            Some(owner) => (self.prefix_of(owner, name, &parameters)?, Vec::new(), parameters),
        };
        let inputs = inputs.iter().map(|&Node(at)| (at < self.layers.len()).then_some(at)).collect();
        self.layers.push(NetworkLayer {
            name: name.to_owned(),
            layer,
            inputs,
            input_kinds,
            output,
            prefix,
            parameters,
            shared,
            frozen: false,
            fixed: false,
        });
        Ok(Node(self.layers.len() - 1))
    }

    /// Gives the last layer added, which takes the place of `layer` of another network, that one's claim to parameters.
    pub(crate) fn inherit(&mut self, layer: &NetworkLayer) {
        if let Some(last) = self.layers.last_mut() {
            last.prefix.clone_from(&layer.prefix);
            (last.frozen, last.fixed) = (layer.frozen, layer.fixed);
            if !layer.shared.is_empty() {
                last.shared = std::mem::take(&mut last.parameters);
            }
            // What goes along stays constant.
            for spec in last.parameters.iter_mut().chain(&mut last.shared).filter(|_| layer.frozen) {
                spec.trainable = false;
            }
        }
    }

    /// What names the parameters of `owner`, which layer `name` wants to share.
    fn prefix_of(&self, owner: &str, name: &str, wanted: &[ParameterSpec]) -> Result<String, GraphError> {
        let Some(found) = self.layers.iter().find(|layer| layer.name == owner) else {
            return Err(GraphError::layer(
                name,
                format!("shares parameters of `{owner}`, which is no layer"),
            ));
        };
        if !found.reads().eq(wanted) {
            let list = |specs: &mut dyn Iterator<Item = &ParameterSpec>| {
                specs.map(|spec| format!("{} {:?}", spec.name, spec.shape)).collect::<Vec<_>>().join(", ")
            };
            let (ours, theirs) = (list(&mut wanted.iter()), list(&mut found.reads()));
            let message = format!("needs {ours}; `{owner}`, whose parameters it shares, has {theirs}");
            return Err(GraphError::layer(name, message));
        }
        Ok(found.prefix.clone())
    }

    /// Convolution in f32.
    ///
    /// # Errors
    /// See [`NetworkBuilder::add_layer`].
    pub fn conv2d(&mut self, name: &str, input: Node, layer: Conv2d) -> Result<Node, GraphError> {
        self.add_layer(name, Arc::new(layer), &[input])
    }

    /// Convolution with DoReFa-Net's quantizers of `bits`, without bias and groups; its input decides the activation width.
    ///
    /// # Errors
    /// See [`NetworkBuilder::add_layer`].
    pub fn quantized_conv2d(
        &mut self,
        name: &str,
        input: Node,
        out_channels: u32,
        geometry: Geometry,
        bits: Bits,
    ) -> Result<Node, GraphError> {
        self.quantized_conv2d_with(name, input, QuantizedConv2d::dorefa(out_channels, geometry, bits))
    }

    /// Convolution on bit planes with whatever its description says.
    ///
    /// # Errors
    /// See [`NetworkBuilder::add_layer`].
    pub fn quantized_conv2d_with(
        &mut self,
        name: &str,
        input: Node,
        layer: QuantizedConv2d,
    ) -> Result<Node, GraphError> {
        self.add_layer(name, Arc::new(layer), &[input])
    }

    /// DoReFa-Net's activation: clip and quantization to `bits`, or ReLU in full precision.
    ///
    /// # Errors
    /// See [`NetworkBuilder::add_layer`].
    pub fn activation(&mut self, name: &str, input: Node, bits: u32) -> Result<Node, GraphError> {
        if bits == FULL_PRECISION {
            return self.add_layer(name, Arc::new(Clip::new(Rectifier::Relu)), &[input]);
        }
        self.add_layer(
            name,
            Arc::new(Quantize { quantizer: Arc::new(DorefaActivation::new(bits)) }),
            &[input],
        )
    }

    /// The same nonlinearity without quantization: clip where activations have few bits, ReLU in full precision.
    ///
    /// # Errors
    /// See [`NetworkBuilder::add_layer`].
    pub fn rectifier(&mut self, name: &str, input: Node, bits: u32) -> Result<Node, GraphError> {
        let rectifier = if bits == FULL_PRECISION { Rectifier::Relu } else { Rectifier::Clip };
        self.add_layer(name, Arc::new(Clip::new(rectifier)), &[input])
    }

    /// Batch normalization.
    ///
    /// # Errors
    /// See [`NetworkBuilder::add_layer`].
    pub fn batch_norm(&mut self, name: &str, input: Node) -> Result<Node, GraphError> {
        self.add_layer(name, Arc::new(BatchNorm::default()), &[input])
    }

    /// Max-pooling.
    ///
    /// # Errors
    /// See [`NetworkBuilder::add_layer`].
    pub fn max_pool(&mut self, name: &str, input: Node, geometry: Geometry) -> Result<Node, GraphError> {
        self.add_layer(name, Arc::new(MaxPool { geometry }), &[input])
    }

    /// Average pool.
    ///
    /// # Errors
    /// See [`NetworkBuilder::add_layer`].
    pub fn avg_pool(&mut self, name: &str, input: Node, geometry: Geometry) -> Result<Node, GraphError> {
        self.add_layer(name, Arc::new(AvgPool { geometry }), &[input])
    }

    /// A constant factor.
    ///
    /// # Errors
    /// See [`NetworkBuilder::add_layer`].
    pub fn scale(&mut self, name: &str, input: Node, factor: f32) -> Result<Node, GraphError> {
        self.add_layer(name, Arc::new(Scale { factor }), &[input])
    }

    /// Mean over all pixels.
    ///
    /// # Errors
    /// See [`NetworkBuilder::add_layer`].
    pub fn global_avg_pool(&mut self, name: &str, input: Node) -> Result<Node, GraphError> {
        self.add_layer(name, Arc::new(GlobalAvgPool), &[input])
    }

    /// Dropout.
    ///
    /// # Errors
    /// See [`NetworkBuilder::add_layer`].
    pub fn dropout(&mut self, name: &str, input: Node, rate: f32) -> Result<Node, GraphError> {
        self.add_layer(name, Arc::new(Dropout { rate }), &[input])
    }

    /// Sum of two tensors.
    ///
    /// # Errors
    /// See [`NetworkBuilder::add_layer`].
    pub fn sum(&mut self, name: &str, a: Node, b: Node) -> Result<Node, GraphError> {
        self.add_layer(name, Arc::new(add::Add), &[a, b])
    }

    /// Fully connected layer in f32.
    ///
    /// # Errors
    /// See [`NetworkBuilder::add_layer`].
    pub fn linear(&mut self, name: &str, input: Node, layer: Linear) -> Result<Node, GraphError> {
        self.add_layer(name, Arc::new(layer), &[input])
    }

    /// The network of the heads that were added, or else the one that ends in the class scores of the last layer.
    ///
    /// # Errors
    /// No layer; heads that are no f32 value per class, differ in their classes, or have nothing to learn; a layer whose
    /// output nobody uses, or with parameters that no loss trains.
    pub fn build(self) -> Result<Network, GraphError> {
        let Self { input, layers, mut heads, matches, parts, blocks, lengths, .. } = self;
        if layers.is_empty() {
            return Err(GraphError::layer("network", "a network needs at least one layer"));
        }
        if heads.is_empty() {
            heads.push(Head::labeled(Node(layers.len() - 1)));
        }
        check_blocks(&blocks, &layers)?;
        let classes = heads::check(&layers, &heads, &matches)?;
        let pixel_scale = PixelScale::UNIT;
        let deployed = false;
        Ok(Network { classes, heads, matches, parts, input, layers, blocks, pixel_scale, deployed, lengths })
    }

    /// As [`NetworkBuilder::build`], for a network that is evaluated and never trained.
    ///
    /// # Errors
    /// As [`NetworkBuilder::build`].
    pub fn build_deployed(self) -> Result<Network, GraphError> {
        Ok(Network { deployed: true, ..self.build()? })
    }
}

/// Nothing but a block's last layer is read behind it.
fn check_blocks(blocks: &[Block], layers: &[NetworkLayer]) -> Result<(), GraphError> {
    for Block { name, layers: within, .. } in blocks {
        let inner = within.start..within.end - 1;
        let reads = |layer: &&NetworkLayer| layer.inputs.iter().flatten().any(|at| inner.contains(at));
        if let Some(reader) = layers[within.end..].iter().find(reads) {
            return Err(GraphError::layer(&reader.name, format!("reads a layer inside block {name}")));
        }
    }
    Ok(())
}
