//! Which kernel computes which product.

use std::{collections::BTreeMap, fmt, str::FromStr};

use kernels::{Arithmetic, By, Form, Kind, Output, PlaneGroup, Product, ScaleIndex, Tactic};

/// What decides how fast a kernel computes a product: its sizes and widths.
///
/// Written as `and 41472x64x432 segments 1 planes 2x1`, with `unit`, `lhs-mask` and `rhs-mask` behind it where they apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProductKey {
    /// Rows of the left operand.
    pub m: u32,
    /// Rows of the right operand.
    pub n: u32,
    /// Elements of a segment.
    pub k: u32,
    /// Segments.
    pub segments: u32,
    /// Planes of the left operand.
    pub lhs_planes: u32,
    /// Planes of the right operand.
    pub rhs_planes: u32,
    /// The left operand has sign planes.
    pub xor: bool,
    /// The right operand has unit planes.
    pub unit: bool,
    /// The left operand has a mask.
    pub lhs_mask: bool,
    /// The right operand has a mask.
    pub rhs_mask: bool,
}

impl ProductKey {
    /// The key of `product`.
    pub fn new(form: Form, product: &Product) -> Self {
        Self {
            m: product.m,
            n: product.n,
            k: product.k,
            segments: product.segments,
            lhs_planes: product.lhs.planes,
            rhs_planes: product.rhs.planes,
            xor: form == Form::Xor,
            unit: form == Form::And && product.rhs_kind == Kind::Unit,
            lhs_mask: form == Form::Xor && product.lhs.mask.is_some(),
            rhs_mask: product.rhs.mask.is_some(),
        }
    }

    /// Every kernel that computes the product on an adapter with subgroups of `lanes`, the likely best first.
    pub fn candidates(&self, lanes: Option<u32>) -> Vec<Tactic> {
        Tactic::candidates(self.form(), &self.product(), lanes)
    }

    /// The same product with few rows, columns and segments: as hard to get right, and quick to compute twice.
    pub fn reduced(&self) -> Self {
        Self { m: self.m.min(29), n: self.n.min(35), segments: self.segments.min(3), ..*self }
    }

    /// The product over whole operands, with f32 results of factor 1 in rows.
    pub fn product(&self) -> Product {
        let words = kernels::words_for(self.k);
        let group =
            |planes: u32, mask: bool| PlaneGroup { first_plane: 0, planes, mask: mask.then_some(planes) };
        let one = ScaleIndex { by: By::One, div: 1 };
        Product {
            m: self.m,
            n: self.n,
            k: self.k,
            segments: self.segments,
            segment_words: words,
            first_segment: 0,
            first_word: 0,
            row_words: self.segments * words,
            lhs: group(self.lhs_planes, self.lhs_mask),
            rhs: group(self.rhs_planes, self.rhs_mask),
            rhs_kind: if self.unit { Kind::Unit } else { Kind::Sign },
            factor: 1.0,
            lhs_scale: one,
            rhs_scale: one,
            dst_row_stride: self.n,
            dst_col_stride: 1,
            accumulate: false,
            output: Output::F32,
        }
    }

    /// AND or XOR.
    pub fn form(&self) -> Form {
        if self.xor { Form::Xor } else { Form::And }
    }
}

impl fmt::Display for ProductKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { m, n, k, segments, lhs_planes, rhs_planes, .. } = self;
        write!(f, "{} {m}x{n}x{k} segments {segments} planes {lhs_planes}x{rhs_planes}", self.form())?;
        for (set, word) in [(self.unit, " unit"), (self.lhs_mask, " lhs-mask"), (self.rhs_mask, " rhs-mask")]
        {
            f.write_str(if set { word } else { "" })?;
        }
        Ok(())
    }
}

/// A text that is no [`ProductKey`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` describes no product")]
pub struct UnknownProduct(pub String);

impl FromStr for ProductKey {
    type Err = UnknownProduct;

    fn from_str(text: &str) -> Result<Self, UnknownProduct> {
        parse(text).ok_or_else(|| UnknownProduct(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<ProductKey> {
    let mut words = text.split(' ');
    let xor = match words.next()? {
        "and" => false,
        "xor" => true,
        _ => return None,
    };
    let mut sizes = |label: Option<&str>| -> Option<Vec<u32>> {
        if label.is_some() && words.next() != label {
            return None;
        }
        words.next()?.split('x').map(|size| size.parse().ok()).collect()
    };
    let (size, segments, planes) = (sizes(None)?, sizes(Some("segments"))?, sizes(Some("planes"))?);
    let (&[m, n, k], &[segments], &[lhs_planes, rhs_planes]) = (&size[..], &segments[..], &planes[..]) else {
        return None;
    };
    let flags: Vec<&str> = words.collect();
    let key = ProductKey {
        m,
        n,
        k,
        segments,
        lhs_planes,
        rhs_planes,
        xor,
        unit: flags.contains(&"unit"),
        lhs_mask: flags.contains(&"lhs-mask"),
        rhs_mask: flags.contains(&"rhs-mask"),
    };
    (key.to_string() == text).then_some(key)
}

/// The kernels that a session runs its products on: measured choices, and a rule for the rest.
///
/// Every choice gives the same integers, so a plan decides about time alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KernelPlan {
    /// Choices by product; one that the adapter cannot run is passed over.
    pub choices: BTreeMap<ProductKey, Tactic>,
    /// Only kernels of this arithmetic, where they can compute the product.
    pub arithmetic: Option<Arithmetic>,
    /// Only kernels that run on every adapter.
    pub portable: bool,
    /// Kernels that were found to be wrong on this adapter.
    pub struck: Vec<Tactic>,
}

impl KernelPlan {
    /// The kernel for `product` on an adapter with subgroups of `lanes`: of the wanted arithmetic where that computes the
    /// product exactly, otherwise of bits.
    pub fn tactic(&self, form: Form, product: &Product, lanes: Option<u32>) -> Tactic {
        let lanes = lanes.filter(|_| !self.portable);
        let fitting = |wanted: Arithmetic| wanted.fits(product).map_or(Arithmetic::Bits, |()| wanted);
        let arithmetic = self.arithmetic.map(fitting);
        let allowed = |tactic: &Tactic| {
            !self.struck.contains(tactic) && arithmetic.is_none_or(|wanted| tactic.arithmetic() == wanted)
        };
        let chosen = self.choices.get(&ProductKey::new(form, product)).copied();
        if let Some(tactic) = chosen.filter(|t| allowed(t) && t.supports(form, product, lanes)) {
            return tactic;
        }
        let candidates = Tactic::candidates(form, product, lanes);
        // An arithmetic whose kernels are all struck gives way to the others.
        let right = candidates.iter().copied().find(|tactic| !self.struck.contains(tactic));
        candidates.iter().copied().find(allowed).or(right).unwrap_or(Tactic::Register)
    }

    /// Why `product` runs on `tactic` and not on the wanted arithmetic, where it does not.
    pub fn reason(&self, product: &Product, tactic: Tactic) -> Option<String> {
        let wanted = self.arithmetic.filter(|wanted| *wanted != tactic.arithmetic())?;
        let why = wanted.fits(product).err().map(|inexact| inexact.to_string());
        Some(format!("not {wanted}: {}", why.unwrap_or_else(|| "its kernels are struck out".to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        for text in [
            "and 41472x64x432 segments 1 planes 2x1",
            "xor 6272x128x1152 segments 1 planes 4x1 lhs-mask",
            "and 1x1x1 segments 9 planes 8x8 unit rhs-mask",
        ] {
            let key: ProductKey = text.parse().expect("a key");
            assert_eq!(key.to_string(), text);
            assert_eq!(ProductKey::new(key.form(), &key.product()), key, "{text}");
        }
        for text in [
            "",
            "or 1x1x1 segments 1 planes 1x1",
            "and 1x1 segments 1 planes 1x1",
            "and 1x1x1 segments 1 planes 1x1 odd",
        ] {
            assert!(text.parse::<ProductKey>().is_err(), "{text}");
        }
    }
}
