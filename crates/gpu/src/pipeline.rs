//! Compiled shaders, each text and each set of constants once.

use std::collections::HashMap;

use recording::{Access, Constant, ExecutorError, Kernel, shader};

use crate::{device::Device, fault::During};

/// Access per storage binding; true where written.
type Written = Vec<bool>;

/// Names and values of constants.
type Values = Vec<(&'static str, u32)>;

/// Source text, template values, constants and access of a pipeline.
type Key = (String, Values, Values, Written);

/// Cache of shader modules, layouts and pipelines.
#[derive(Debug)]
pub(crate) struct Pipelines {
    library: shader::Library,
    modules: HashMap<String, wgpu::ShaderModule>,
    layouts: HashMap<Written, Layout>,
    pipelines: HashMap<Key, Pipeline>,
}

/// A pipeline and the layout of its bind group.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

#[derive(Clone, Debug)]
struct Layout {
    group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

impl Pipelines {
    /// An empty cache; imports are resolved from `library`.
    pub fn new(library: shader::Library) -> Self {
        Self { library, modules: HashMap::new(), layouts: HashMap::new(), pipelines: HashMap::new() }
    }

    /// The pipeline of `kernel` with its constants.
    pub fn get(&mut self, device: &Device, kernel: &dyn Kernel) -> Result<Pipeline, ExecutorError> {
        let name = kernel.name();
        let values = |list: Vec<Constant>| -> Values { list.iter().map(|c| (c.name, c.value)).collect() };
        let written: Written = kernel.bindings().iter().map(|b| b.access == Access::Write).collect();
        let key: Key = (
            kernel.shader().source.to_string(),
            values(kernel.template()),
            values(kernel.constants()),
            written,
        );
        if let Some(found) = self.pipelines.get(&key) {
            return Ok(found.clone());
        }
        let text = shader::compose(&key.0, self.library)
            .and_then(|text| shader::expand(&text, &kernel.template()))
            .map_err(|error| ExecutorError::Shader { kernel: name.to_owned(), message: error.to_string() })?;
        let module = self.module(device, name, &text)?;
        let layout = self.layout(device, name, &key.3)?;
        let values: Vec<(&str, f64)> = key.2.iter().map(|&(n, v)| (n, f64::from(v))).collect();
        let descriptor = wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&layout.pipeline),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &values,
                ..wgpu::PipelineCompilationOptions::default()
            },
            cache: None,
        };
        let pipeline = device.create_pipeline(name, &descriptor)?;
        let made = Pipeline { pipeline, layout: layout.group };
        self.pipelines.insert(key, made.clone());
        Ok(made)
    }

    fn module(
        &mut self,
        device: &Device,
        name: &str,
        text: &str,
    ) -> Result<wgpu::ShaderModule, ExecutorError> {
        if let Some(module) = self.modules.get(text) {
            return Ok(module.clone());
        }
        let module = device.guard(During::Compile(name.to_owned()), || {
            device.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(name),
                source: wgpu::ShaderSource::Wgsl(text.into()),
            })
        })?;
        self.modules.insert(text.to_owned(), module.clone());
        Ok(module)
    }

    fn layout(&mut self, device: &Device, name: &str, written: &Written) -> Result<Layout, ExecutorError> {
        if let Some(layout) = self.layouts.get(written) {
            return Ok(layout.clone());
        }
        let entry = |binding: u32, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform)];
        entries.extend(
            (1..).zip(written).map(|(n, &w)| entry(n, wgpu::BufferBindingType::Storage { read_only: !w })),
        );
        let layout = device.guard(During::Other(name.to_owned()), || {
            let group = device.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: None,
                entries: &entries,
            });
            let pipeline = device.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&group)],
                immediate_size: 0,
            });
            Layout { group, pipeline }
        })?;
        self.layouts.insert(written.clone(), layout.clone());
        Ok(layout)
    }
}
