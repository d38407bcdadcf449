//! Pictures as PNG, two dots a pixel of the picture.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use tiny_skia::{FillRule, Paint, PathBuilder, Pixmap, Rect, StrokeDash, Transform};

use super::font::{self, Pen};
use super::picture::{Anchor, Color, Line, Picture, Shape, Stroke, Text};

const DOTS: f32 = 2.0;

impl Picture {
    /// The picture as a PNG file.
    pub fn png(&self) -> Vec<u8> {
        let map = self.draw();
        let (width, height) = (map.width(), map.height());
        // The ground is opaque, so that colors are as they were given.
        let bytes: Vec<u8> = map.data().chunks_exact(4).flat_map(|dot| [dot[0], dot[1], dot[2]]).collect();
        let mut file = Vec::new();
        PngEncoder::new(&mut file)
            .write_image(&bytes, width, height, ExtendedColorType::Rgb8)
            .expect("the bytes of a picture fit its size");
        file
    }

    fn draw(&self) -> Pixmap {
        let dots = |side: f32| (side * DOTS).ceil().max(1.0) as u32;
        let mut map = Pixmap::new(dots(self.width), dots(self.height)).expect("pictures have a size");
        map.fill(tiny_skia::Color::WHITE);
        self.shapes.iter().for_each(|shape| draw(&mut map, shape));
        map
    }
}

fn draw(map: &mut Pixmap, shape: &Shape) {
    let scale = Transform::from_scale(DOTS, DOTS);
    match shape {
        Shape::Rect { frame: [x, y, width, height], fill, opacity, .. } => {
            if let Some(rect) = Rect::from_xywh(*x, *y, *width, *height) {
                map.fill_rect(rect, &paint(*fill, *opacity), scale, None);
            }
        }
        Shape::Line(line) => draw_line(map, line),
        Shape::Disk { at: [x, y], radius, fill } => {
            if let Some(path) = PathBuilder::from_circle(*x, *y, *radius) {
                map.fill_path(&path, &paint(*fill, 1.0), FillRule::Winding, scale, None);
            }
        }
        Shape::Text(text) => draw_text(map, text),
    }
}

fn draw_line(map: &mut Pixmap, Line { points, stroke: Stroke { color, width, dash } }: &Line) {
    let mut path = PathBuilder::new();
    for (index, [x, y]) in points.iter().enumerate() {
        if index == 0 { path.move_to(*x, *y) } else { path.line_to(*x, *y) }
    }
    let stroke = tiny_skia::Stroke {
        width: *width,
        line_join: tiny_skia::LineJoin::Round,
        dash: dash.and_then(|[on, off]| StrokeDash::new(vec![on, off], 0.0)),
        ..tiny_skia::Stroke::default()
    };
    // A line of one point has no path and shows nothing.
    if let Some(path) = path.finish() {
        map.stroke_path(&path, &paint(*color, 1.0), &stroke, Transform::from_scale(DOTS, DOTS), None);
    }
}

fn draw_text(map: &mut Pixmap, text: &Text) {
    let [x, y] = text.at;
    let back = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => font::width(&text.words, text.size) / 2.0,
        Anchor::End => font::width(&text.words, text.size),
    };
    let mut path = Outline(PathBuilder::new());
    font::outline(&text.words, text.size, &mut path, |[right, down]| match text.upwards {
        false => [x + right - back, y + down],
        true => [x + down, y - right + back],
    });
    if let Some(path) = path.0.finish() {
        let scale = Transform::from_scale(DOTS, DOTS);
        map.fill_path(&path, &paint(text.color, 1.0), FillRule::Winding, scale, None);
    }
}

fn paint([r, g, b]: Color, opacity: f32) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(r, g, b, (opacity * 255.0).round() as u8);
    paint
}

struct Outline(PathBuilder);

impl Pen for Outline {
    fn start(&mut self, [x, y]: [f32; 2]) {
        self.0.move_to(x, y);
    }
    fn line(&mut self, [x, y]: [f32; 2]) {
        self.0.line_to(x, y);
    }
    fn quad(&mut self, [cx, cy]: [f32; 2], [x, y]: [f32; 2]) {
        self.0.quad_to(cx, cy, x, y);
    }
    fn cubic(&mut self, [[ax, ay], [bx, by]]: [[f32; 2]; 2], [x, y]: [f32; 2]) {
        self.0.cubic_to(ax, ay, bx, by, x, y);
    }
    fn close(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dots darker than half in the columns and rows given.
    fn ink(map: &Pixmap, x: std::ops::Range<u32>, y: std::ops::Range<u32>) -> usize {
        let dark = |x: u32, y: u32| map.pixel(x, y).is_some_and(|dot| dot.green() < 128);
        y.flat_map(|y| x.clone().map(move |x| (x, y))).filter(|(x, y)| dark(*x, *y)).count()
    }

    #[test]
    fn text_is_drawn_where_its_anchor_says() {
        for (anchor, left, right) in
            [(Anchor::Start, false, true), (Anchor::Middle, true, true), (Anchor::End, true, false)]
        {
            for upwards in [false, true] {
                let mut picture = Picture::new(100.0, 100.0);
                let text = Text {
                    at: [50.0, 50.0],
                    words: "mmmm".to_owned(),
                    size: 10.0,
                    color: [0; 3],
                    anchor,
                    upwards,
                };
                picture.shapes.push(Shape::Text(text));
                let map = picture.draw();
                let (first, second) = match upwards {
                    false => (ink(&map, 0..98, 0..200), ink(&map, 102..200, 0..200)),
                    true => (ink(&map, 0..200, 102..200), ink(&map, 0..200, 0..98)),
                };
                assert_eq!((first > 20, second > 20), (left, right), "{anchor:?} {upwards}");
            }
        }
    }

    #[test]
    fn shapes_have_their_place_and_color() {
        let mut picture = Picture::new(20.0, 10.0);
        picture.rect([5.0, 2.0, 4.0, 3.0], [10, 20, 30], 1.0);
        let decoded = image::load_from_memory(&picture.png()).expect("a PNG").to_rgb8();
        assert_eq!(decoded.dimensions(), (40, 20));
        assert_eq!(decoded.get_pixel(11, 5).0, [10, 20, 30]);
        assert_eq!(decoded.get_pixel(9, 5).0, [255; 3]);
        assert_eq!(decoded.pixels().filter(|dot| dot.0 == [10, 20, 30]).count(), 8 * 6);
    }
}
