//! Registry entries, their cases and their mutations.

use std::sync::Arc;

use recording::{Constant, Expected, Kernel, Param, Shader, Work};

/// One kernel of the registry.
#[derive(Debug)]
pub struct Entry {
    /// Name, text and bindings.
    pub shader: Shader,
    /// The case table: 1, word and tile sizes plus and minus one, primes, very deep, very narrow, every width.
    pub cases: fn() -> Vec<Case>,
    /// Faults that the cases must notice.
    pub mutations: &'static [Mutation],
}

/// A kernel with sizes and seeded inputs.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the case is about, e.g. `3x33 bits 2`.
    pub label: String,
    /// The kernel.
    pub kernel: Arc<dyn Kernel>,
    /// Contents per binding; empty for a binding that is only written, which is poisoned before the run.
    pub inputs: Vec<Vec<u32>>,
}

impl Case {
    /// A case of `kernel`.
    pub fn new(label: impl Into<String>, kernel: impl Kernel + 'static, inputs: Vec<Vec<u32>>) -> Self {
        Self { label: label.into(), kernel: Arc::new(kernel), inputs }
    }
}

/// A deliberate fault: every occurrence of `from` in the composed shader becomes `to`.
#[derive(Clone, Copy, Debug)]
pub struct Mutation {
    /// What is broken, e.g. `tail mask dropped`.
    pub rule: &'static str,
    /// Text that must occur in the shader.
    pub from: &'static str,
    /// Its replacement.
    pub to: &'static str,
}

/// A kernel whose shader text is replaced, to prove that a comparison notices a fault.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// The kernel as it should be.
    pub kernel: Arc<dyn Kernel>,
    /// The broken text under the kernel's name.
    pub shader: Shader,
}

impl Kernel for Mutant {
    fn shader(&self) -> &Shader {
        &self.shader
    }
    fn params(&self) -> Vec<Param> {
        self.kernel.params()
    }
    fn constants(&self) -> Vec<Constant> {
        self.kernel.constants()
    }
    fn workgroups(&self) -> u64 {
        self.kernel.workgroups()
    }
    fn lens(&self) -> Vec<u64> {
        self.kernel.lens()
    }
    fn loop_trips(&self) -> u64 {
        self.kernel.loop_trips()
    }
    fn work(&self) -> Work {
        self.kernel.work()
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        self.kernel.expected(buffers)
    }
    fn expected_at(&self, buffers: &[&[u32]], indices: &[usize]) -> Option<Expected> {
        self.kernel.expected_at(buffers, indices)
    }
    fn template(&self) -> Vec<Constant> {
        self.kernel.template()
    }
    fn witnesses(&self) -> &'static [(usize, usize)] {
        self.kernel.witnesses()
    }
    fn subgroup(&self) -> Option<u32> {
        self.kernel.subgroup()
    }
}

impl Mutant {
    /// `kernel` with `text` in place of its shader.
    pub fn new(kernel: Arc<dyn Kernel>, text: String) -> Self {
        let shader = Shader { source: text.into(), ..kernel.shader().clone() };
        Self { kernel, shader }
    }
}

/// Seeded test data.
#[derive(Clone, Debug)]
pub struct Random {
    seed: u32,
    drawn: u32,
}

impl Random {
    /// A stream of its own for every seed.
    pub fn new(seed: u32) -> Self {
        Self { seed, drawn: 0 }
    }

    /// A word of 32 random bits.
    pub fn word(&mut self) -> u32 {
        self.drawn += 1;
        reference::random::philox4x32_10([self.drawn, 0, 0, 0], [self.seed, 0x7e57])[0]
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f32 {
        (self.word() >> 8) as f32 / 16_777_216.0
    }

    /// `len` random words.
    pub fn words(&mut self, len: usize) -> Vec<u32> {
        (0..len).map(|_| self.word()).collect()
    }

    /// `len` codes below 2^bits.
    pub fn codes(&mut self, len: usize, bits: u32) -> Vec<u32> {
        (0..len).map(|_| self.word() >> (32 - bits)).collect()
    }

    /// Bits of `len` values uniform in [low, high).
    pub fn floats(&mut self, len: usize, low: f32, high: f32) -> Vec<u32> {
        (0..len).map(|_| (low + (high - low) * self.unit()).to_bits()).collect()
    }
}
