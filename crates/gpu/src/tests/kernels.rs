//! Small kernels.

use recording::{Binding, Constant, Expected, Kernel, Param, Shader, Work, read, write};

const SOURCE: &str = "//#import increment
struct Params { count: u32, rounds: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;
override WORKGROUP: u32;
override PER_GROUP: u32;
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = (group.x + group.y * groups.x) * PER_GROUP + local;
    if local >= PER_GROUP || index >= params.count { return; }
    var x = input[index % arrayLength(&input)];
    for (var i = 0u; i < params.rounds; i++) { x = increment(x); }
    output[index] += x;
}
";

/// `output[i] += increment^rounds(input[i % len])`, `per_group` elements a workgroup.
#[derive(Clone, Debug)]
pub struct Step {
    pub count: u32,
    pub rounds: u32,
    pub per_group: u32,
    pub shader: Shader,
}

const BINDINGS: &[Binding] = &[read("input"), write("output")];

impl Step {
    pub fn new(count: u32, rounds: u32) -> Self {
        let shader = Shader { name: "step", source: SOURCE.into(), bindings: BINDINGS };
        Self { count, rounds, per_group: 64, shader }
    }

    /// The same with an edited text.
    pub fn edited(from: &str, to: &str) -> Self {
        let mut step = Self::new(64, 1);
        assert!(SOURCE.contains(from), "{from}");
        step.shader.source = SOURCE.replace(from, to).into();
        step
    }
}

pub fn increment(x: u32, rounds: u32) -> u32 {
    (0..rounds).fold(x, |x, _| x.wrapping_mul(3).wrapping_add(1))
}

impl Kernel for Step {
    fn shader(&self) -> &Shader {
        &self.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![Param::u32("count", self.count), Param::u32("rounds", self.rounds)]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", 64), Constant::new("PER_GROUP", self.per_group)]
    }
    fn workgroups(&self) -> u64 {
        u64::from(self.count).div_ceil(u64::from(self.per_group))
    }
    fn lens(&self) -> Vec<u64> {
        vec![1, u64::from(self.count)]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.rounds)
    }
    fn work(&self) -> Work {
        let operations = 2 * u64::from(self.count) * u64::from(self.rounds);
        Work { operations, bytes: 12 * u64::from(self.count) }
    }
    fn expected(&self, _buffers: &[&[u32]]) -> Vec<Expected> {
        unreachable!("the tests compare by hand")
    }
}
