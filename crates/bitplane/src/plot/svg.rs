//! Pictures as SVG text.

use std::fmt::Write;

use super::picture::{Anchor, Color, Line, Picture, Shape, Stroke, Text};

/// The font that text is measured with goes first; those behind it are no wider.
const FAMILY: &str = "'DejaVu Sans', Verdana, 'Helvetica Neue', Arial, sans-serif";

impl Picture {
    /// The picture as an SVG file.
    pub fn svg(&self) -> String {
        let (width, height) = (number(self.width), number(self.height));
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"{FAMILY}\">\n\
             <path d=\"M0 0H{width}V{height}H0z\" fill=\"#ffffff\"/>\n"
        );
        for shape in &self.shapes {
            write_shape(&mut text, shape);
        }
        text.push_str("</svg>\n");
        text
    }
}

fn write_shape(text: &mut String, shape: &Shape) {
    // Writing to a string cannot fail.
    let _ = match shape {
        Shape::Rect { frame: [x, y, width, height], fill, opacity, hint } => {
            let [x, y, width, height] = [x, y, width, height].map(|value| number(*value));
            let opacity = match *opacity {
                1.0 => String::new(),
                opacity => format!(" fill-opacity=\"{}\"", number(opacity)),
            };
            let end = match hint {
                None => "/>".to_owned(),
                Some(hint) => format!("><title>{}</title></rect>", escaped(hint)),
            };
            let fill = hex(*fill);
            writeln!(
                text,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"{opacity}{end}"
            )
        }
        Shape::Line(Line { points, stroke: Stroke { color, width, dash } }) => {
            let points: Vec<String> =
                points.iter().map(|[x, y]| format!("{},{}", number(*x), number(*y))).collect();
            let (points, color, width) = (points.join(" "), hex(*color), number(*width));
            let dash = dash.map_or(String::new(), |[on, off]| {
                format!(" stroke-dasharray=\"{} {}\"", number(on), number(off))
            });
            writeln!(
                text,
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\" \
                 stroke-linejoin=\"round\"{dash}/>"
            )
        }
        Shape::Disk { at: [x, y], radius, fill } => {
            let [x, y, radius] = [x, y, radius].map(|value| number(*value));
            writeln!(text, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" fill=\"{}\"/>", hex(*fill))
        }
        Shape::Text(words) => write_text(text, words),
    };
}

fn write_text(text: &mut String, words: &Text) -> std::fmt::Result {
    let Text { at: [x, y], words, size, color, anchor, upwards } = words;
    let [x, y, size] = [x, y, size].map(|value| number(*value));
    let anchor = match anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    let turn = if *upwards { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
    writeln!(
        text,
        "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{}\" text-anchor=\"{anchor}\"{turn}>{}</text>",
        hex(*color),
        escaped(words)
    )
}

/// A hundredth of a pixel is more than is seen.
fn number(value: f32) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn hex([r, g, b]: Color) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Text for an XML file, without the characters that XML has no place for.
pub fn escaped(words: &str) -> String {
    let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_numbers_are_short() {
        let mut picture = Picture::new(20.0, 10.0);
        picture.text([1.5, 2.0], 3.0, [255, 0, 16], Anchor::End, "a<b & \u{7}c");
        let text = picture.svg();
        let wanted = "<text x=\"1.5\" y=\"2\" font-size=\"3\" fill=\"#ff0010\" text-anchor=\"end\">a&lt;b &amp;  c</text>";
        assert!(text.contains(wanted), "{text}");
        assert_eq!([0.0, -0.001, 1.999, 12.5].map(number), ["0", "0", "2", "12.5"]);
    }
}
