//! The contract of one compute shader.

use std::{borrow::Cow, fmt};

use crate::Expected;

/// An invocation must stay below this many loop iterations, nested loops multiplied: some drivers silently stop there.
pub const MAX_LOOP_TRIPS: u64 = 65_535;

/// How a kernel uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only read.
    Read,
    /// Written, and read where the kernel accumulates or updates in place.
    Write,
}

/// One storage binding of a shader; binding numbers count from 1 in list order (0 is the uniform `params`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Variable name in the shader.
    pub name: &'static str,
    /// How it is used.
    pub access: Access,
}

/// A binding that is only read.
pub const fn read(name: &'static str) -> Binding {
    Binding { name, access: Access::Read }
}

/// A binding that is written.
pub const fn write(name: &'static str) -> Binding {
    Binding { name, access: Access::Write }
}

/// One scalar member of the uniform `Params` struct, in declaration order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Param {
    /// Member name in the shader.
    pub name: &'static str,
    /// The value's bits.
    pub word: u32,
    /// WGSL type: `u32`, `i32` or `f32`.
    pub kind: &'static str,
}

impl Param {
    /// An unsigned member.
    pub fn u32(name: &'static str, value: u32) -> Self {
        Self { name, word: value, kind: "u32" }
    }
    /// A signed member.
    pub fn i32(name: &'static str, value: i32) -> Self {
        Self { name, word: value.cast_unsigned(), kind: "i32" }
    }
    /// A float member.
    pub fn f32(name: &'static str, value: f32) -> Self {
        Self { name, word: value.to_bits(), kind: "f32" }
    }
}

/// One `override` of the shader and its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constant {
    /// Name in the shader.
    pub name: &'static str,
    /// Value; booleans are 0 and 1.
    pub value: u32,
}

impl Constant {
    /// An override constant.
    pub fn new(name: &'static str, value: u32) -> Self {
        Self { name, value }
    }
}

/// What a dispatch costs, for reports and benchmarks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Arithmetic operations; one plane pair of an m x n x k product counts 2mnk, a multiply-add counts 2.
    pub operations: u64,
    /// Bytes read and written once each.
    pub bytes: u64,
}

/// The text of a compute shader and the names of its bindings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shader {
    /// Shader file, host file, module and registry name.
    pub name: &'static str,
    /// WGSL text, import lines not yet resolved.
    pub source: Cow<'static, str>,
    /// Storage bindings in order, numbered from 1.
    pub bindings: &'static [Binding],
}

/// A compute shader with its sizes: everything needed to dispatch it and to check its result.
///
/// Implementors are small value types of sizes and bit widths. Buffers are arrays of 32-bit words in the order of
/// [`Shader::bindings`].
pub trait Kernel: fmt::Debug + Send + Sync {
    /// Text and bindings.
    fn shader(&self) -> &Shader;
    /// Members of the uniform struct at binding 0, in order.
    fn params(&self) -> Vec<Param>;
    /// Values of every `override` in the shader.
    fn constants(&self) -> Vec<Constant>;
    /// Workgroups to launch; the executor folds them over x and y.
    fn workgroups(&self) -> u64;
    /// Words that each binding must hold at least.
    fn lens(&self) -> Vec<u64>;
    /// Upper bound of the loop iterations of one invocation, nested loops multiplied.
    fn loop_trips(&self) -> u64;
    /// Operations and bytes.
    fn work(&self) -> Work;
    /// What the reference gives for every written binding, in binding order, from the contents before the dispatch.
    ///
    /// `buffers` holds at least [`Kernel::lens`] words per binding.
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected>;

    /// What the reference gives for the words `indices` of the one binding that is written, where each of them costs as much
    /// as reading a row; `None` for kernels that are cheap enough to be compared whole.
    fn expected_at(&self, _buffers: &[&[u32]], _indices: &[usize]) -> Option<Expected> {
        None
    }

    /// Values that the shader's template is expanded with, e.g. the sizes of a register tile; empty for plain WGSL.
    ///
    /// See [`shader::expand`](crate::shader::expand).
    fn template(&self) -> Vec<Constant> {
        Vec::new()
    }
    /// Pairs of a read and a written binding by position: where a value read through the first is NaN or infinite, a value
    /// written through the second is, so that a search of the small result replaces one of the large operand.
    fn witnesses(&self) -> &'static [(usize, usize)] {
        &[]
    }
    /// The subgroup size that the kernel is written for; it runs only where every subgroup has that many lanes.
    fn subgroup(&self) -> Option<u32> {
        None
    }

    /// Registry name.
    fn name(&self) -> &'static str {
        self.shader().name
    }
    /// Storage bindings in order, numbered from 1.
    fn bindings(&self) -> &'static [Binding] {
        self.shader().bindings
    }
}
