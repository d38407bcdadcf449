//! The font of pictures: DejaVu Sans, a part of which comes with the program (see `fonts/ATTRIBUTION.md`).

use std::sync::LazyLock;

use ttf_parser::{Face, GlyphId, OutlineBuilder};

static FACE: LazyLock<Face<'static>> = LazyLock::new(|| {
    Face::parse(include_bytes!("../../fonts/DejaVuSans.ttf"), 0).expect("the embedded font is whole")
});

/// Width of `words` in the font at `size`. A character that the font lacks is a box.
pub fn width(words: &str, size: f32) -> f32 {
    glyphs(words).map(|(_, advance)| advance * size).sum()
}

/// Draws the outlines of `words` at `size`, each point moved by `place`, which gets it in pixels to the right
/// of the text's beginning and below its base line.
pub fn outline(words: &str, size: f32, pen: &mut dyn Pen, place: impl Fn([f32; 2]) -> [f32; 2]) {
    let scale = size / f32::from(FACE.units_per_em());
    let mut x = 0.0;
    for (glyph, advance) in glyphs(words) {
        let at = |[gx, gy]: [f32; 2]| place([x + gx * scale, -gy * scale]);
        // A space has no outline.
        let _ = FACE.outline_glyph(glyph, &mut Placed { pen, at: &at });
        x += advance * size;
    }
}

/// What outlines are drawn with.
pub trait Pen {
    /// Begins a contour.
    fn start(&mut self, to: [f32; 2]);
    /// A straight line.
    fn line(&mut self, to: [f32; 2]);
    /// A quadratic curve.
    fn quad(&mut self, control: [f32; 2], to: [f32; 2]);
    /// A cubic curve.
    fn cubic(&mut self, controls: [[f32; 2]; 2], to: [f32; 2]);
    /// Ends a contour where it began.
    fn close(&mut self);
}

/// Glyphs with their advance in sizes of the font.
fn glyphs(words: &str) -> impl Iterator<Item = (GlyphId, f32)> {
    let em = f32::from(FACE.units_per_em());
    words.chars().map(move |c| {
        let glyph = FACE.glyph_index(c).unwrap_or_default();
        (glyph, f32::from(FACE.glyph_hor_advance(glyph).unwrap_or_default()) / em)
    })
}

struct Placed<'a> {
    pen: &'a mut dyn Pen,
    at: &'a dyn Fn([f32; 2]) -> [f32; 2],
}

impl OutlineBuilder for Placed<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        self.pen.start((self.at)([x, y]));
    }
    fn line_to(&mut self, x: f32, y: f32) {
        self.pen.line((self.at)([x, y]));
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.pen.quad((self.at)([x1, y1]), (self.at)([x, y]));
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.pen.cubic([(self.at)([x1, y1]), (self.at)([x2, y2])], (self.at)([x, y]));
    }
    fn close(&mut self) {
        self.pen.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_width_of_its_letters() {
        assert_eq!(width("", 10.0), 0.0);
        assert!(width("iii", 10.0) < width("mmm", 10.0));
        assert!((width("epoch", 20.0) - 2.0 * width("epoch", 10.0)).abs() < 1e-4);
        for c in "0123456789 −·×⁹≥σéЖ".chars() {
            assert!(FACE.glyph_index(c).is_some(), "{c}");
        }
    }
}
