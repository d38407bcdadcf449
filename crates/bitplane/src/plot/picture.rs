//! Shapes, in pixels from the upper left corner.

/// Red, green and blue.
pub type Color = [u8; 3];

/// Colors that stay apart for color-blind eyes and on white (M. Okabe and K. Ito's, without their yellow).
pub const PALETTE: [Color; 7] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [86, 180, 233],
    [230, 159, 0],
    [70, 70, 70],
];

/// Where a text stands at its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stroke {
    /// Color.
    pub color: Color,
    /// Width.
    pub width: f32,
    /// Lengths of a dash and of the gap behind it; none for a solid line.
    pub dash: Option<[f32; 2]>,
}

/// A line through points.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Points.
    pub points: Vec<[f32; 2]>,
    /// How it is drawn.
    pub stroke: Stroke,
}

/// One line of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// A point of the base line.
    pub at: [f32; 2],
    /// The words.
    pub words: String,
    /// Size of the font.
    pub size: f32,
    /// Color.
    pub color: Color,
    /// What of the text is at the point.
    pub anchor: Anchor,
    /// Turned to read upwards.
    pub upwards: bool,
}

/// A part of a picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A filled rectangle.
    Rect {
        /// Left, top, width and height.
        frame: [f32; 4],
        /// Color.
        fill: Color,
        /// 1 hides what is below.
        opacity: f32,
        /// What a viewer shows when pointed at it.
        hint: Option<String>,
    },
    /// A line.
    Line(Line),
    /// A filled disk.
    Disk {
        /// Center.
        at: [f32; 2],
        /// Radius.
        radius: f32,
        /// Color.
        fill: Color,
    },
    /// A text.
    Text(Text),
}

/// Shapes on a white ground, the first at the bottom.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
    /// Shapes.
    pub shapes: Vec<Shape>,
}

impl Picture {
    /// A white picture.
    pub fn new(width: f32, height: f32) -> Self {
        Self { width, height, shapes: Vec::new() }
    }

    /// Adds a rectangle.
    pub fn rect(&mut self, frame: [f32; 4], fill: Color, opacity: f32) {
        self.shapes.push(Shape::Rect { frame, fill, opacity, hint: None });
    }

    /// Adds a line.
    pub fn line(&mut self, points: Vec<[f32; 2]>, stroke: Stroke) {
        self.shapes.push(Shape::Line(Line { points, stroke }));
    }

    /// Adds a level text.
    pub fn text(&mut self, at: [f32; 2], size: f32, color: Color, anchor: Anchor, words: &str) {
        let words = words.to_owned();
        self.shapes.push(Shape::Text(Text { at, words, size, color, anchor, upwards: false }));
    }
}
