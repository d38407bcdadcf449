//! The competing kernels of a product.

use std::{fmt, str::FromStr, sync::Arc};

use recording::Kernel;

use crate::{
    AndProduct, Form, Product, SubgroupProduct, SubgroupTile, TileProduct, WorkgroupTile, XorProduct,
};

/// One of the kernels that compute a [`Product`], with its tuning values. All give the same integers, and the same bits
/// after scaling where a device rounds alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tactic {
    /// [`AndProduct`] or [`XorProduct`]: 4 x 4 elements an invocation, everywhere.
    Register,
    /// [`SubgroupProduct`], where subgroups have one size.
    Subgroup(SubgroupTile),
    /// [`TileProduct`], where its planes fit workgroup memory.
    Tile(WorkgroupTile),
}

/// Kernels by the arithmetic that they run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// AND or XOR and population counts on bit planes.
    Bits,
}

impl Tactic {
    /// What the kernel computes with.
    pub fn arithmetic(self) -> Arithmetic {
        match self {
            Self::Register | Self::Subgroup(_) | Self::Tile(_) => Arithmetic::Bits,
        }
    }

    /// The kernel can compute this product on an adapter with subgroups of `lanes`.
    pub fn supports(self, form: Form, product: &Product, lanes: Option<u32>) -> bool {
        match self {
            Self::Register => true,
            Self::Subgroup(tile) => lanes == Some(tile.lanes) && SubgroupProduct::supports(form, product),
            Self::Tile(tile) => TileProduct::supports(form, product, tile),
        }
    }

    /// The kernel that multiplies bit planes in this way.
    pub fn kernel(self, form: Form, product: Product) -> Arc<dyn Kernel> {
        match (self, form) {
            (Self::Register, Form::And) => Arc::new(AndProduct(product)),
            (Self::Register, Form::Xor) => Arc::new(XorProduct(product)),
            (Self::Subgroup(tile), _) => Arc::new(SubgroupProduct { form, product, tile }),
            (Self::Tile(tile), _) => Arc::new(TileProduct { form, product, tile }),
        }
    }

    /// Every candidate for a product on an adapter with subgroups of `lanes`, the likely best first.
    pub fn candidates(form: Form, product: &Product, lanes: Option<u32>) -> Vec<Self> {
        let mut candidates = Vec::new();
        if let Some(lanes) = lanes {
            let pairs = product.lhs.planes * product.rhs.planes;
            let tile = |rows: u32, columns, carry_save| {
                Self::Subgroup(SubgroupTile { lanes, rows: (rows * 8 / lanes).max(1), columns, carry_save })
            };
            // A wide tile pays while few plane pairs share what is loaded; beyond that its registers spill.
            let columns: &[u32] = match (pairs, product.n) {
                (_, ..=8) => &[8, 4],
                (_, ..=16) => &[16, 8],
                (1, _) => &[32, 16, 8],
                (..=8, _) => &[16, 32, 8],
                _ => &[16, 8],
            };
            candidates.extend(columns.iter().map(|&columns| tile(4, columns, false)));
            if pairs <= 2 {
                candidates.push(tile(4, 16, true));
            }
            if product.m < 16 * lanes {
                candidates.push(tile(2, columns[0], false));
            }
        }
        candidates.push(Self::Register);
        candidates.extend(tiles(product).into_iter().map(Self::Tile));
        candidates.retain(|tactic| tactic.supports(form, product, lanes));
        candidates
    }
}

/// Workgroup tiles for a product, the likely best first.
fn tiles(product: &Product) -> Vec<WorkgroupTile> {
    let pairs = product.lhs.planes * product.rhs.planes;
    let tile = |[thread_rows, thread_columns, rows, columns]: [u32; 4], carry_save| WorkgroupTile {
        thread_rows,
        thread_columns,
        rows,
        columns,
        carry_save,
    };
    let mut tiles = match product.n {
        0..=16 => vec![tile([32, 4, 4, 4], false)],
        17..=32 => vec![tile([16, 8, 4, 4], false)],
        _ => vec![tile([16, 16, 4, 4], false), tile([8, 16, 8, 4], false)],
    };
    if pairs <= 2 {
        tiles.push(WorkgroupTile { carry_save: true, ..tiles[0] });
    }
    // What holds many planes or few rows.
    tiles.push(tile([8, 8, 4, 4], false));
    tiles
}

impl fmt::Display for Tactic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register => f.pad("register"),
            Self::Subgroup(SubgroupTile { lanes, rows, columns, carry_save }) => {
                let save = if *carry_save { ":carry-save" } else { "" };
                f.pad(&format!("subgroup:{lanes}x{rows}x{columns}{save}"))
            }
            Self::Tile(tile) => {
                let WorkgroupTile { thread_rows, thread_columns, rows, columns, carry_save } = tile;
                let save = if *carry_save { ":carry-save" } else { "" };
                f.pad(&format!("tile:{thread_rows}x{thread_columns}x{rows}x{columns}{save}"))
            }
        }
    }
}

/// A text that names no tactic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no product kernel")]
pub struct UnknownTactic(pub String);

impl FromStr for Tactic {
    type Err = UnknownTactic;

    fn from_str(text: &str) -> Result<Self, UnknownTactic> {
        parse(text).ok_or_else(|| UnknownTactic(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Tactic> {
    let mut parts = text.split(':');
    let name = parts.next()?;
    let sizes: Vec<u32> = parts
        .next()
        .map_or(Some(Vec::new()), |sizes| sizes.split('x').map(|size| size.parse().ok()).collect())?;
    let option = parts.next();
    if parts.next().is_some() {
        return None;
    }
    match (name, sizes.as_slice(), option) {
        ("register", [], None) => Some(Tactic::Register),
        (
            "subgroup",
            &[lanes @ (8 | 16 | 32 | 64), rows @ 1..=8, columns @ 4..=64],
            None | Some("carry-save"),
        ) if columns.is_multiple_of(4) => {
            let carry_save = option.is_some();
            Some(Tactic::Subgroup(SubgroupTile { lanes, rows, columns, carry_save }))
        }
        ("tile", &[thread_rows, thread_columns, rows, columns], None | Some("carry-save")) => {
            let carry_save = option.is_some();
            let tile = WorkgroupTile { thread_rows, thread_columns, rows, columns, carry_save };
            tile.is_valid().then_some(Tactic::Tile(tile))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let tile = SubgroupTile { lanes: 8, rows: 4, columns: 16, carry_save: false };
        let saving = SubgroupTile { carry_save: true, ..tile };
        let wide =
            WorkgroupTile { thread_rows: 8, thread_columns: 16, rows: 8, columns: 4, carry_save: true };
        let narrow = WorkgroupTile { carry_save: false, ..wide };
        let tactics = [
            Tactic::Register,
            Tactic::Subgroup(tile),
            Tactic::Subgroup(saving),
            Tactic::Tile(wide),
            Tactic::Tile(narrow),
        ];
        for tactic in tactics {
            assert_eq!(tactic.to_string().parse(), Ok(tactic));
        }
        for text in [
            "",
            "register:1",
            "subgroup",
            "subgroup:8x4",
            "subgroup:8x4x6",
            "subgroup:7x4x16",
            "tile:8x8x3x4",
            "tile:32x32x1x1",
            "x",
        ] {
            assert!(text.parse::<Tactic>().is_err(), "{text}");
        }
    }
}
