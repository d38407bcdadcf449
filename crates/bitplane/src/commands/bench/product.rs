//! `bench product`: the kernels of one product of packed operands beside their f32 twin.

use std::fmt;

use gpu::Prepared;
use graph::ProductKey;
use kernels::{Form, Product};

use super::choices::{Choice, choices, tactics};
use super::context::Bench;
use super::roof::{self, Roof};
use super::rows::Row;
use super::tried::checked;
use super::twin;
use crate::cli::bench::{FormArg, ProductArgs};
use crate::exit::Failure;
use crate::output::note;
use crate::spread::Spread;

/// Elements of a sum at most: they are unpacked on the host for the check.
const MAX_K: u32 = 1 << 24;
/// Products that one command measures at most.
const MAX_POINTS: usize = 100_000;

/// Sizes and widths of one measured product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// m, n and k.
    pub sizes: [u32; 3],
    /// Planes of the left and of the right operand.
    pub planes: [u32; 2],
    /// AND or XOR.
    pub form: Form,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([m, n, k], [lhs, rhs]) = (self.sizes, self.planes);
        write!(f, "{} {m}x{n}x{k} planes {lhs}x{rhs}", self.form)
    }
}

impl From<FormArg> for Form {
    fn from(form: FormArg) -> Self {
        match form {
            FormArg::And => Self::And,
            FormArg::Xor => Self::Xor,
        }
    }
}

/// The points of the grid, checked without a device.
///
/// # Errors
/// Sizes out of range, an unknown word of `--kernels`.
pub fn shapes(args: &ProductArgs) -> Result<Vec<Shape>, Failure> {
    choices(&args.kernels)?;
    let points = [args.form.len(), args.planes.0.len(), args.m.0.len(), args.n.0.len(), args.k.0.len()];
    if points.iter().try_fold(1usize, |all, &side| all.checked_mul(side)).is_none_or(|all| all > MAX_POINTS) {
        let message =
            format!("the grid of {points:?} forms, planes, m, n and k has more than {MAX_POINTS} points");
        return Err(Failure::Usage { message });
    }
    let mut shapes = Vec::new();
    for &form in &args.form {
        for &planes in &args.planes.0 {
            for (&m, &n) in args.m.0.iter().flat_map(|m| args.n.0.iter().map(move |n| (m, n))) {
                shapes.extend(args.k.0.iter().map(|&k| Shape {
                    sizes: [m, n, k],
                    planes,
                    form: form.into(),
                }));
            }
        }
    }
    shapes.iter().try_for_each(|shape| shape.product().map(drop))?;
    Ok(shapes)
}

/// Measures every point of the grid.
///
/// # Errors
/// A wrong result, a device failure, an interruption.
pub fn run(bench: &mut Bench, args: &ProductArgs) -> Result<(), Failure> {
    let kernels = choices(&args.kernels)?;
    let roof = roof::popcount(bench)?;
    for shape in shapes(args)? {
        for row in measure(bench, shape, &kernels, &roof)? {
            bench.rows.push(row)?;
        }
    }
    Ok(())
}

/// One row for each of `kernels`, measured in turns with the f32 twin and the roof.
///
/// # Errors
/// As [`run`].
pub fn measure(
    bench: &mut Bench,
    shape: Shape,
    kernels: &[Choice],
    roof: &Roof,
) -> Result<Vec<Row>, Failure> {
    let product = shape.product()?;
    let tactics = tactics(shape.form, &product, kernels, bench.gpu.info())?;
    note(&shape.to_string());
    let (bits, checked) = checked(&mut bench.gpu, &shape, &product, &tactics)?;
    let twin = twin::prepare(bench, shape.sizes)?;
    let others = [Some(&roof.prepared), twin.as_ref().map(|twin| &twin.prepared)];
    let subjects: Vec<&Prepared> = bits.iter().chain(others.into_iter().flatten()).collect();
    let (times, clock) = bench.in_turns(&subjects)?;
    let (times, others) = times.split_at(bits.len());
    let (roof, twin) = (roof.rate(&others[0]), twin.zip(others.get(1)));
    let twin_time = twin.as_ref().map(|(_, times)| **times);
    let [m, n, k] = shape.sizes;
    let operations = 2 * [m, n, k].map(u64::from).iter().product::<u64>();
    let rate = |operations: u64, times: &Spread| operations as f64 / times.median * 1e-9;
    let base = |times: &Spread| Row {
        m: Some(m),
        n: Some(n),
        k: Some(k),
        bits: Some(format!("{}x{}", shape.planes[0], shape.planes[1])),
        f32_gops_median: twin_time.map(|times| rate(operations, &times)),
        f32_ratio: twin_time.and_then(|twin| times.ratio_to(&twin)),
        ..bench.row("product").timed(times, clock)
    };
    let mut rows: Vec<Row> = Vec::new();
    for (tactic, times) in tactics.iter().zip(times) {
        let work = tactic.kernel(shape.form, product).work();
        let row = base(times).operations(work.operations, times);
        rows.push(Row {
            form: Some(shape.form.to_string()),
            kernel: Some(tactic.to_string()),
            gigabytes_per_second_median: Some(rate(work.bytes, times)),
            roof_share: row.gops_median.map(|rate| rate / roof),
            checked,
            ..row
        });
    }
    match twin.filter(|_| kernels.iter().any(|choice| matches!(choice, Choice::Twin | Choice::All))) {
        Some((twin, times)) => rows.push(Row {
            kernel: Some(format!("f32 twin:{}", twin.name)),
            gigabytes_per_second_median: Some(rate(twin.bytes, times)),
            checked: twin.checked,
            ..base(times).operations(operations, times)
        }),
        None if twin_time.is_none() => note("note: these sizes have no f32 twin on this adapter"),
        None => {}
    }
    let fastest = rows.iter().filter_map(|row| row.ms_median).reduce(f64::min);
    rows.iter_mut().for_each(|row| row.fastest = Some(row.ms_median == fastest));
    Ok(rows)
}

impl Shape {
    /// The product as the kernels see it, with f32 results of factor 1.
    ///
    /// # Errors
    /// Sums that may leave 32 bits, sizes out of range.
    pub fn product(&self) -> Result<Product, Failure> {
        let ([m, n, k], [lhs, rhs]) = (self.sizes, self.planes);
        let usage = |message: String| Failure::Usage { message };
        if k > MAX_K {
            return Err(usage(format!("k is {k}, at most {MAX_K} elements are summed")));
        }
        let results = u64::from(m) * u64::from(n);
        if results > u64::from(u32::MAX) {
            return Err(usage(format!("{m} x {n} results, more than 32 bits can count")));
        }
        let key = ProductKey {
            m,
            n,
            k,
            segments: 1,
            lhs_planes: lhs,
            rhs_planes: rhs,
            xor: self.form == Form::Xor,
            unit: false,
            lhs_mask: false,
            rhs_mask: false,
        };
        key.product().checked().map_err(|error| usage(error.to_string()))
    }
}
