//! What a kernel says about results that cannot be finite unless an operand is.

use kernels::{Case, REGISTRY};
use pollster::block_on;
use recording::{BufferSlice, Dispatch, Executor, Recording, Scope};
use tests::open_gpu;

/// Contents of binding `written` after `case` ran on `inputs`.
fn result(gpu: &mut gpu::Gpu, case: &Case, inputs: &[Vec<u32>], written: usize) -> Vec<u32> {
    let mut buffers = Vec::new();
    for (input, words) in inputs.iter().zip(case.kernel.lens()) {
        let buffer = gpu.allocate("witness", words.max(input.len() as u64)).expect("allocates");
        gpu.write(buffer, 0, input).expect("writes");
        buffers.push(BufferSlice::whole(buffer, words));
    }
    let slice = buffers[written];
    let mut recording = Recording::new();
    recording.push(Dispatch { kernel: case.kernel.clone(), buffers, scope: Scope::default() }).expect("fits");
    let prepared = gpu.prepare(&recording).expect("prepares");
    block_on(gpu.run(&prepared)).expect("runs");
    block_on(gpu.read(slice.buffer, 0, slice.words)).expect("reads")
}

fn is_finite(words: &[u32]) -> bool {
    words.iter().all(|&word| f32::from_bits(word).is_finite())
}

#[test]
fn a_witness_is_not_finite_wherever_its_operand_is_not() {
    let Some(mut gpu) = open_gpu() else { return };
    let mut kernels = Vec::new();
    for entry in REGISTRY {
        for case in (entry.cases)() {
            for &(read, written) in case.kernel.witnesses() {
                let len = case.kernel.lens()[read] as usize;
                let faults = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
                for (fault, at) in faults.into_iter().zip([0, len / 3, len / 2, len - 1]) {
                    let mut inputs = case.inputs.clone();
                    inputs[read][at] = fault.to_bits();
                    let words = result(&mut gpu, &case, &inputs, written);
                    assert!(!is_finite(&words), "{} {}: {fault} at {at}", entry.shader.name, case.label);
                }
                kernels.push(entry.shader.name);
            }
        }
    }
    kernels.dedup();
    assert_eq!(kernels, ["batch_norm_stats", "column_sum", "reduce"]);
}
