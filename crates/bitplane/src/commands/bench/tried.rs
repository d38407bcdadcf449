//! The kernels of a product, compared before they are timed.

use gpu::Prepared;
use graph::{ProductKey, TrialBench};
use kernels::{Form, Product, Tactic};
use pollster::block_on;
use recording::Executor;

use super::check::{matches, mismatch};
use super::product::Shape;
use super::sample::{Sample, rows};
use crate::exit::Failure;
use crate::report::bytes;

/// All tactics ready to be timed, each with the result of the portable kernel, which has that of the reference.
///
/// # Errors
/// [`Failure::Mismatch`], more than the adapter binds at once, a device failure.
pub fn checked<E: Executor<Prepared = Prepared>>(
    executor: &mut E,
    shape: &Shape,
    product: &Product,
    tactics: &[Tactic],
) -> Result<(Vec<Prepared>, &'static str), Failure> {
    if tactics.is_empty() {
        return Ok((Vec::new(), ""));
    }
    check_sizes(product, executor.limits().binding_words)?;
    let sample = Sample::of(shape.sizes);
    let mut bench = TrialBench::new(ProductKey::new(shape.form, product));
    let portable = bench.trial(executor, Tactic::Register)?;
    let wanted = block_on(portable.result(executor))?;
    compare_with_reference(shape, product, &sample, bench.operands(), &wanted)?;
    let mut ready = Vec::new();
    for &tactic in tactics {
        let trial = bench.trial(executor, tactic)?;
        let got = block_on(trial.result(executor))?;
        compare_with_portable(&format!("{tactic}, {shape}"), &got, &wanted)?;
        ready.push(trial.prepared);
    }
    Ok((ready, if sample.whole { "reference" } else { "portable kernel, sample of reference" }))
}

/// Sizes are refused before the host fills gigabytes.
fn check_sizes(product: &Product, limit: u64) -> Result<(), Failure> {
    let Product { m, n, row_words, .. } = *product;
    let operand = |planes: u32, rows: u32| u64::from(planes * row_words) * u64::from(rows);
    let sizes = [
        ("the left operand", operand(product.lhs.planes, m)),
        ("the right operand", operand(product.rhs.planes, n)),
        ("the result", u64::from(m) * u64::from(n)),
    ];
    let Some((what, words)) = sizes.into_iter().find(|(_, words)| *words > limit) else { return Ok(()) };
    let (needed, most) = (bytes(4 * words), bytes(4 * limit));
    let message = format!("{what} needs {needed}, the adapter binds at most {most}; measure smaller sizes");
    Err(Failure::Limit { message })
}

/// Nothing, if `results` are those of the reference in the sample.
fn compare_with_reference(
    shape: &Shape,
    product: &Product,
    sample: &Sample,
    operands: &[Vec<u32>; 2],
    results: &[u32],
) -> Result<(), Failure> {
    let words = product.row_words as usize;
    let gather = |planes: &[u32], all: u32, some: &[u32]| -> Vec<u32> {
        planes.chunks_exact(all as usize * words).flat_map(|plane| rows(plane, words, some)).collect()
    };
    let lhs = gather(&operands[0], product.m, &sample.rows);
    let rhs = gather(&operands[1], product.n, &sample.columns);
    let (m, n) = (sample.rows.len() as u32, sample.columns.len() as u32);
    let small = Product { m, n, dst_row_stride: n, ..*product };
    let (one, dst) = ([1f32.to_bits()], vec![0; (m * n) as usize]);
    let mut buffers: Vec<&[u32]> = vec![&lhs, &rhs, &one, &one, &dst];
    if shape.form == Form::And {
        // The reference takes the sums of rows from the planes.
        buffers.insert(2, &one);
    }
    let expected = Tactic::Register.kernel(shape.form, small).expected(&buffers).remove(0);
    matches(&format!("{}, {shape}", Tactic::Register), &expected, &sample.pick(results))
}

/// Nothing, if a kernel gives the results of the portable one, bit for bit.
fn compare_with_portable(what: &str, got: &[u32], wanted: &[u32]) -> Result<(), Failure> {
    let Some(at) = got.iter().zip(wanted).position(|(got, want)| got != want) else { return Ok(()) };
    let (got, want) = (f32::from_bits(got[at]), f32::from_bits(wanted[at]));
    Err(mismatch(what, &format!("word {at} is {got}, the portable kernel gives {want}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::bench::context::open_device;
    use crate::commands::bench::testing::{Broken, bench};

    #[test]
    fn a_wrong_kernel_is_noticed_before_it_is_timed() {
        let Some(found) = bench() else { return };
        let shapes = [(Form::And, [37, 21, 100]), (Form::Xor, [37, 21, 100]), (Form::And, [700, 90, 9000])];
        for (form, sizes) in shapes {
            let shape = Shape { sizes, planes: [2, 1], form };
            let product = shape.product().expect("fits");
            let tactics = Tactic::candidates(form, &product, found.lanes());
            let mut gpu = open_device(None, false).expect("opens");
            let (ready, _) = checked(&mut gpu, &shape, &product, &tactics).expect("right");
            assert_eq!(ready.len(), tactics.len());
            for tactic in tactics {
                let kernel = tactic.kernel(form, product).name();
                let gpu = open_device(None, false).expect("opens");
                let (from, to) = match kernel {
                    "subgroup_byte_product" => ("w < begin + steps", "w + 1u < begin + steps"),
                    "tile_byte_product" => ("first < steps;", "first + 1u < steps;"),
                    _ => ("countOneBits(", "2u * countOneBits("),
                };
                let mut broken = Broken { gpu, kernel, from, to };
                let noticed = checked(&mut broken, &shape, &product, &[tactic]);
                assert!(matches!(noticed, Err(Failure::Mismatch { .. })), "{tactic}, {shape}");
            }
        }
    }

    #[test]
    fn large_operands_are_refused() {
        let fits = |sizes, limit| {
            let shape = Shape { sizes, planes: [2, 1], form: Form::And };
            check_sizes(&shape.product().expect("counts"), limit).is_ok()
        };
        assert!(fits([4, 8, 32], 32) && !fits([4, 8, 32], 31), "result");
        assert!(fits([8, 1, 64], 32) && !fits([8, 1, 64], 31), "left operand");
        assert!(fits([1, 16, 64], 32) && !fits([1, 16, 64], 31), "right operand");
    }
}
