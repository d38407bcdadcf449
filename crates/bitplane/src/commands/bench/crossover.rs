//! `bench crossover`: the kernel that wins for each pair of widths, as rows, a table and a picture.

use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::choices::{Choice, choices};
use super::context::Bench;
use super::product::{Shape, measure};
use super::rows::Row;
use super::{heat_map, roof};
use crate::cli::bench::{CrossoverArgs, Format};
use crate::exit::Failure;
use crate::output;
use crate::plot::{place, write};

/// The best kernel on bits at one pair of widths.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Planes of the left and of the right operand.
    pub planes: [u32; 2],
    /// The fastest kernel of all, `f32` among them.
    pub winner: String,
    /// How many times as fast as the f32 twin the best kernel on bits is.
    pub ratio: f64,
}

/// All pairs of widths at one k.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Elements that are multiplied and summed.
    pub k: u32,
    /// In the order of measurement.
    pub cells: Vec<Cell>,
}

impl Panel {
    /// The cell of a pair of widths.
    pub fn cell(&self, planes: [u32; 2]) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.planes == planes)
    }

    /// Widths of the left (0) or right (1) operand, each once, in order.
    pub fn widths(&self, side: usize) -> Vec<u32> {
        let mut widths: Vec<u32> = self.cells.iter().map(|cell| cell.planes[side]).collect();
        widths.sort_unstable();
        widths.dedup();
        widths
    }
}

/// What can be said without a device.
///
/// # Errors
/// Unknown kernels, sizes out of range, a picture that cannot be written.
pub fn check(args: &CrossoverArgs) -> Result<(), Failure> {
    choices(&args.kernels)?;
    for &k in &args.k.0 {
        args.widths.0.iter().try_for_each(|&planes| args.shape(k, planes).product().map(drop))?;
    }
    args.svg.as_deref().map_or(Ok(()), |path| place(path).map(drop))
}

/// Measures all pairs of widths at every k.
///
/// # Errors
/// Sizes out of range, a wrong result, a device failure, a picture that cannot be written.
pub fn run(bench: &mut Bench, args: &CrossoverArgs) -> Result<(), Failure> {
    let mut kernels = choices(&args.kernels)?;
    kernels.push(Choice::Twin);
    let roof = roof::popcount(bench)?;
    let mut panels = Vec::new();
    for &k in &args.k.0 {
        let mut cells = Vec::new();
        for &planes in &args.widths.0 {
            let rows = measure(bench, args.shape(k, planes), &kernels, &roof)?;
            cells.extend(cell(planes, &rows));
            for row in rows {
                let row = Row { what: "crossover", ..row };
                if args.measure.output != Format::Md {
                    bench.rows.push(row)?;
                }
            }
        }
        let panel = Panel { k, cells };
        if args.measure.output == Format::Md {
            let Row { device, driver, .. } = bench.row("crossover");
            let title = format!("{} {}x{}x{k} on {device} ({driver})", args.form(), args.m, args.n);
            output::result(&format!("{title}: kernel that wins, and bits by f32\n\n{}\n", table(&panel)))?;
        }
        panels.push(panel);
    }
    if let Some(path) = &args.svg {
        let Row { device, driver, .. } = bench.row("crossover");
        let title = format!("Bits by f32, {} products {} x {} x k", args.form(), args.m, args.n);
        let picture = heat_map::picture(&title, &format!("{device}, {driver}"), &panels);
        write(path, picture.svg().as_bytes())?;
    }
    Ok(())
}

/// `None` where there is no f32 twin to compare with.
fn cell(planes: [u32; 2], rows: &[Row]) -> Option<Cell> {
    let name = |row: &Row| row.kernel.clone().unwrap_or_default();
    let is_f32 = |row: &&Row| name(row).starts_with("f32");
    let ratio = rows.iter().filter(|row| !is_f32(row)).filter_map(|row| row.f32_ratio).reduce(f64::max)?;
    let winner = rows.iter().find(|row| row.fastest == Some(true)).map(name).unwrap_or_default();
    Some(Cell { planes, winner: winner.split(':').next().unwrap_or_default().to_owned(), ratio })
}

fn table(panel: &Panel) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    let right = panel.widths(1);
    let header = ["planes".to_owned()].into_iter().chain(right.iter().map(|width| format!("x{width}")));
    table.set_header(header);
    for left in panel.widths(0) {
        let cell = |&right: &u32| {
            panel
                .cell([left, right])
                .map_or(String::new(), |cell| format!("{} {:.2}", cell.winner, cell.ratio))
        };
        table.add_row([left.to_string()].into_iter().chain(right.iter().map(cell)));
    }
    table
}

impl CrossoverArgs {
    fn form(&self) -> kernels::Form {
        self.form.into()
    }

    fn shape(&self, k: u32, planes: [u32; 2]) -> Shape {
        Shape { sizes: [self.m, self.n, k], planes, form: self.form() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_row_wins_its_cell() {
        let row = |kernel: &str, ratio, fastest| Row {
            kernel: Some(kernel.to_owned()),
            f32_ratio: Some(ratio),
            fastest: Some(fastest),
            ..Row::default()
        };
        let rows =
            [row("register", 0.5, false), row("subgroup:8x4x16", 0.75, false), row("f32:x", 1.0, true)];
        let cell = cell([2, 3], &rows).unwrap();
        assert_eq!(cell, Cell { planes: [2, 3], winner: "f32".to_owned(), ratio: 0.75 });
        let text = table(&Panel { k: 1, cells: vec![cell] }).to_string();
        assert!(text.contains("x3") && text.contains("f32 0.75"), "{text}");
    }
}
