//! Arrays of a MATLAB file and their values.

use super::{Body, CLASS_UINT8, Fault, Tag, UINT8, bad};

/// A variable whose values have not been read yet.
pub(crate) struct Variable<'a> {
    pub(crate) name: String,
    /// Sizes, the fastest axis first.
    pub(crate) dims: Vec<u64>,
    pub(super) class: u8,
    pub(super) is_complex: bool,
    pub(super) body: &'a mut dyn Values,
}

/// What [`Variable`] needs of a [`Body`], whatever it borrows.
pub(super) trait Values {
    fn start(&mut self) -> Result<Tag, Fault>;
    fn take(&mut self, bytes: &mut [u8]) -> Result<(), Fault>;
    fn end(&mut self, len: u64) -> Result<(), Fault>;
    fn is_big_endian(&self) -> bool;
}

impl Values for Body<'_> {
    fn start(&mut self) -> Result<Tag, Fault> {
        self.tag()
    }
    fn take(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        self.exact(bytes)
    }
    fn end(&mut self, len: u64) -> Result<(), Fault> {
        self.padding(len)?;
        if self.left > 0 {
            return bad(format!("a variable has {} bytes behind its values", self.left));
        }
        Ok(())
    }
    fn is_big_endian(&self) -> bool {
        self.is_big_endian
    }
}

impl Variable<'_> {
    /// Product of the sizes.
    pub(crate) fn count(&self) -> Option<u64> {
        self.dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim))
    }

    /// Reads the values of an array of bytes in pieces of `size`, which divides their count; each goes to `take`.
    pub(crate) fn bytes(&mut self, size: usize, mut take: impl FnMut(&[u8])) -> Result<(), Fault> {
        let count = self.count().filter(|_| self.class == CLASS_UINT8 && !self.is_complex);
        let Some(count) = count else {
            return bad(format!("{} is no array of uint8", self.name));
        };
        let tag = self.body.start()?;
        if tag.kind != UINT8 || tag.len != count || tag.short.is_some() {
            return bad(format!(
                "{} should hold {count} bytes by its sizes {:?}, it holds {} of type {}",
                self.name, self.dims, tag.len, tag.kind
            ));
        }
        let mut piece = vec![0; size];
        for _ in 0..count / size as u64 {
            self.body.take(&mut piece)?;
            take(&piece);
        }
        self.body.end(count)
    }

    /// The values of a real array of numbers of any type.
    pub(crate) fn numbers(&mut self) -> Result<Vec<f64>, Fault> {
        let count = self.count().filter(|_| (6..=15).contains(&self.class) && !self.is_complex);
        let Some(count) = count else {
            return bad(format!("{} is no array of real numbers", self.name));
        };
        let tag = self.body.start()?;
        let width = match tag.kind {
            1 | 2 => 1,
            3 | 4 => 2,
            5..=7 => 4,
            9 | 12 | 13 => 8,
            kind => return bad(format!("{} holds values of type {kind}", self.name)),
        };
        if Some(tag.len) != count.checked_mul(width) {
            return bad(format!(
                "{} should hold {count} values of {width} bytes by its sizes {:?}, it holds {} bytes",
                self.name, self.dims, tag.len
            ));
        }
        let is_big_endian = self.body.is_big_endian();
        let mut values = Vec::new();
        let short = tag.short.unwrap_or_default();
        for at in 0..count {
            let mut bytes = [0; 8];
            let value = &mut bytes[..width as usize];
            match tag.short {
                Some(_) => value.copy_from_slice(&short[(at * width) as usize..][..width as usize]),
                None => self.body.take(value)?,
            }
            if is_big_endian {
                value.reverse();
            }
            values.push(number(tag.kind, bytes));
        }
        self.body.end(if tag.short.is_some() { 0 } else { tag.len })?;
        Ok(values)
    }
}

/// The value of type `kind` in the first little-endian bytes.
fn number(kind: u32, b: [u8; 8]) -> f64 {
    let low = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let all = u64::from_le_bytes(b);
    match kind {
        1 => f64::from(b[0].cast_signed()),
        2 => f64::from(b[0]),
        3 => f64::from(i16::from_le_bytes([b[0], b[1]])),
        4 => f64::from(u16::from_le_bytes([b[0], b[1]])),
        5 => f64::from(low.cast_signed()),
        6 => f64::from(low),
        7 => f64::from(f32::from_bits(low)),
        9 => f64::from_bits(all),
        12 => all.cast_signed() as f64,
        _ => all as f64,
    }
}
