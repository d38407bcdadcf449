//! The competing kernels of a product.

use std::{fmt, str::FromStr, sync::Arc};

use recording::Kernel;

use crate::{
    AndProduct, ByteExpand, Form, Product, SubgroupByteProduct, SubgroupProduct, SubgroupTile,
    TileByteProduct, TileProduct, WorkgroupTile, XorProduct, byte_product,
};

/// Sizes of subgroups for which kernels are checked.
const SUBGROUPS: [u32; 4] = [8, 16, 32, 64];

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
    /// 8-bit dot products of operands that were expanded to bytes, where their widths fit.
    Dot4(ByteTile),
    /// The same in f32, where the sums of a segment stay below 2^24 and are thus exact.
    F32(ByteTile),
}

/// Who computes a product of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteTile {
    /// [`SubgroupByteProduct`], where subgroups have one size.
    Subgroup(SubgroupTile),
    /// [`TileByteProduct`], everywhere.
    Workgroup(WorkgroupTile),
}

/// Kernels by the arithmetic that they run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// AND or XOR and population counts on bit planes.
    Bits,
    /// 8-bit dot products.
    Dot4,
    /// f32 multiply-adds on integers.
    F32,
}

/// Why an [`Arithmetic`] cannot compute a product exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sums up to {largest} leave the integers of f32")]
pub struct Inexact {
    /// The largest sum of a segment.
    pub largest: u64,
}

impl Arithmetic {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bits, Self::Dot4, Self::F32];

    /// Nothing where the arithmetic computes the integers of `product` exactly: integers always do, floats while every
    /// sum of a segment is below 2^24.
    ///
    /// # Errors
    /// What is too large.
    pub fn fits(self, product: &Product) -> Result<(), Inexact> {
        let levels = |planes: u32| (1u64 << planes) - 1;
        let largest = u64::from(product.k) * levels(product.lhs.planes) * levels(product.rhs.planes);
        if self == Self::F32 && largest >= 1 << f32::MANTISSA_DIGITS {
            Err(Inexact { largest })
        } else {
            Ok(())
        }
    }
}

impl Tactic {
    /// Most candidates for one product.
    pub const MAX_CANDIDATES: usize = 8;

    /// What the kernel computes with.
    pub fn arithmetic(self) -> Arithmetic {
        match self {
            Self::Register | Self::Subgroup(_) | Self::Tile(_) => Arithmetic::Bits,
            Self::Dot4(_) => Arithmetic::Dot4,
            Self::F32(_) => Arithmetic::F32,
        }
    }

    /// The kernel can compute this product on an adapter with subgroups of `lanes`.
    pub fn supports(self, form: Form, product: &Product, lanes: Option<u32>) -> bool {
        match self {
            Self::Register => true,
            Self::Subgroup(tile) => lanes == Some(tile.lanes) && SubgroupProduct::supports(form, product),
            Self::Tile(tile) => TileProduct::supports(form, product, tile),
            Self::Dot4(tile) | Self::F32(tile) => {
                self.arithmetic().fits(product).is_ok() && tile.supports(product, lanes)
            }
        }
    }

    /// The kernels that expand lhs and rhs for [`Tactic::kernel`], where it takes bytes. Both depend on whole segments of
    /// the operands, so `product` must be one that [`Product::split`] has not cut.
    pub fn expansions(self, form: Form, product: &Product) -> Option<[ByteExpand; 2]> {
        let bytes = matches!(self, Self::Dot4(_) | Self::F32(_));
        bytes.then(|| byte_product::expansions(form, product, product.k))
    }

    /// The kernel that multiplies in this way: bit planes, or what [`Tactic::expansions`] made of them.
    pub fn kernel(self, form: Form, product: Product) -> Arc<dyn Kernel> {
        match (self, form) {
            (Self::Register, Form::And) => Arc::new(AndProduct(product)),
            (Self::Register, Form::Xor) => Arc::new(XorProduct(product)),
            (Self::Subgroup(tile), _) => Arc::new(SubgroupProduct { form, product, tile }),
            (Self::Tile(tile), _) => Arc::new(TileProduct { form, product, tile }),
            (Self::Dot4(tile), _) => tile.kernel(product, false),
            (Self::F32(tile), _) => tile.kernel(product, true),
        }
    }

    /// The candidates for a product on an adapter with subgroups of `lanes`, the default first, at most
    /// [`Tactic::MAX_CANDIDATES`]. Every arithmetic that fits the product has one.
    pub fn candidates(form: Form, product: &Product, lanes: Option<u32>) -> Vec<Self> {
        // Of other sizes no kernel was checked.
        let lanes = lanes.filter(|lanes| SUBGROUPS.contains(lanes));
        let subgroups = |lanes| subgroup_tiles(product, lanes).into_iter().map(Self::Subgroup);
        let supported = |tactic: &Self| tactic.supports(form, product, lanes);
        let workgroups = || workgroup_tiles(product).into_iter().map(Self::Tile).filter(supported);
        let wide = ByteTile::Workgroup(workgroup_tiles(product)[0]);
        let mut candidates: Vec<Self> = Vec::new();
        match lanes {
            // Subgroups of CPUs, where workgroup memory saves nothing.
            Some(lanes @ ..32) => {
                let tile = ByteTile::Subgroup(byte_tile(product, lanes));
                candidates.extend(subgroups(lanes));
                candidates.extend([Self::Register, Self::Dot4(tile), Self::F32(tile)]);
            }
            Some(lanes) => {
                let tile = ByteTile::Subgroup(byte_tile(product, lanes));
                candidates.extend(subgroups(lanes).take(2));
                candidates.push(Self::Register);
                candidates.extend(workgroups().take(2));
                candidates.extend([Self::Dot4(wide), Self::Dot4(tile), Self::F32(wide)]);
            }
            None => {
                candidates.push(Self::Register);
                candidates.extend(workgroups());
                candidates.extend([Self::Dot4(wide), Self::F32(wide)]);
            }
        }
        candidates.retain(supported);
        candidates
    }
}

impl ByteTile {
    fn supports(self, product: &Product, lanes: Option<u32>) -> bool {
        match self {
            Self::Subgroup(tile) => lanes == Some(tile.lanes),
            Self::Workgroup(tile) => TileByteProduct::supports(product, tile),
        }
    }

    fn kernel(self, product: Product, float: bool) -> Arc<dyn Kernel> {
        match self {
            Self::Subgroup(tile) => Arc::new(SubgroupByteProduct { product, tile, float }),
            Self::Workgroup(tile) => Arc::new(TileByteProduct { product, tile, float }),
        }
    }
}

/// Subgroup tiles for a product of planes, the likely best first.
fn subgroup_tiles(product: &Product, lanes: u32) -> Vec<SubgroupTile> {
    let pairs = product.lhs.planes * product.rhs.planes;
    // A wide tile pays while few plane pairs share what is loaded; beyond that its registers spill.
    let sizes: &[[u32; 2]] = match (pairs, product.n) {
        (33.., _) => &[[1, 8], [2, 8]],
        (17.., _) => &[[4, 8], [1, 8]],
        (_, ..=8) => &[[4, 8], [4, 4]],
        (_, ..=16) => &[[4, 16], [4, 8]],
        (1 | 2, _) => &[[4, 32], [4, 16], [4, 8]],
        (..=8, _) => &[[4, 16], [4, 32], [4, 8]],
        _ => &[[4, 16], [4, 8]],
    };
    let mut tiles: Vec<_> =
        sizes.iter().map(|&[rows, columns]| subgroup_tile(lanes, rows, columns)).collect();
    if pairs <= 2 {
        tiles.push(SubgroupTile { carry_save: true, ..subgroup_tile(lanes, 4, 16) });
    }
    if product.m < 16 * lanes {
        tiles.push(subgroup_tile(lanes, 2, sizes[0][1]));
    }
    // Tiles of other rows are the same where many lanes leave one row each.
    let repeats = |(index, tile): &(usize, &SubgroupTile)| tiles[..*index].contains(tile);
    tiles.iter().enumerate().filter(|at| !repeats(at)).map(|(_, tile)| *tile).collect()
}

/// The subgroup tile for a product of bytes.
fn byte_tile(product: &Product, lanes: u32) -> SubgroupTile {
    // Integers of two parts take more registers.
    let columns = match (byte_product::parts(product), product.n) {
        (_, ..=8) => 8,
        ([1, 1], 17..) => 32,
        _ => 16,
    };
    subgroup_tile(lanes, 4, columns)
}

/// A tile of `rows` rows a lane where a subgroup has 8, fewer where it has more.
fn subgroup_tile(lanes: u32, rows: u32, columns: u32) -> SubgroupTile {
    SubgroupTile { lanes, rows: (rows * 8 / lanes).max(1), columns, carry_save: false }
}

/// Workgroup tiles for a product of planes, the likely best first.
fn workgroup_tiles(product: &Product) -> Vec<WorkgroupTile> {
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
        f.pad(&match self {
            Self::Register => "register".to_owned(),
            Self::Subgroup(tile) => subgroup_text(tile),
            Self::Tile(tile) => workgroup_text(tile),
            Self::Dot4(tile) => format!("dot4:{}", tile.text()),
            Self::F32(tile) => format!("f32:{}", tile.text()),
        })
    }
}

impl ByteTile {
    fn text(&self) -> String {
        match self {
            Self::Subgroup(tile) => subgroup_text(tile),
            Self::Workgroup(tile) => workgroup_text(tile),
        }
    }
}

fn subgroup_text(tile: &SubgroupTile) -> String {
    let SubgroupTile { lanes, rows, columns, carry_save } = tile;
    format!("subgroup:{lanes}x{rows}x{columns}{}", if *carry_save { ":carry-save" } else { "" })
}

fn workgroup_text(tile: &WorkgroupTile) -> String {
    let WorkgroupTile { thread_rows, thread_columns, rows, columns, carry_save } = tile;
    let save = if *carry_save { ":carry-save" } else { "" };
    format!("tile:{thread_rows}x{thread_columns}x{rows}x{columns}{save}")
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bits => "bits",
            Self::Dot4 => "dot4",
            Self::F32 => "f32",
        })
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
    let bytes = |text: &str| match parse(text)? {
        Tactic::Subgroup(tile) if !tile.carry_save => Some(ByteTile::Subgroup(tile)),
        Tactic::Tile(tile) if !tile.carry_save => Some(ByteTile::Workgroup(tile)),
        _ => None,
    };
    if let Some(rest) = text.strip_prefix("dot4:") {
        return bytes(rest).map(Tactic::Dot4);
    }
    if let Some(rest) = text.strip_prefix("f32:") {
        return bytes(rest).map(Tactic::F32);
    }
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
        ("subgroup", &[lanes, rows @ 1..=8, columns @ 4..=64], None | Some("carry-save"))
            if SUBGROUPS.contains(&lanes) && columns.is_multiple_of(4) =>
        {
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
            Tactic::Dot4(ByteTile::Subgroup(tile)),
            Tactic::F32(ByteTile::Workgroup(narrow)),
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
