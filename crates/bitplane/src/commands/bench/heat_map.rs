//! The picture of `bench crossover`: one square of cells for each k.

use std::fmt::Write;

use super::crossover::{Cell, Panel};

const CELL: usize = 44;
const LEFT: usize = 54;
const TOP: usize = 76;
const GAP: usize = 34;

/// An SVG with a panel for each k, left widths downwards, right widths to the right: blue where bits are faster than
/// f32, orange where f32 is, the darker the further apart.
pub fn svg(title: &str, adapter: &str, panels: &[Panel]) -> String {
    let columns = |panel: &Panel| panel.widths(1).len() * CELL + GAP;
    let width = (LEFT + panels.iter().map(columns).sum::<usize>()).max(420);
    let rows = panels.iter().map(|panel| panel.widths(0).len()).max().unwrap_or_default();
    let height = TOP + rows * CELL + 40;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\" text-anchor=\"middle\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    label(&mut text, [width / 2, 20], 15, title);
    label(&mut text, [width / 2, 38], 11, adapter);
    let mut x = LEFT;
    for panel in panels {
        let (left, right) = (panel.widths(0), panel.widths(1));
        label(&mut text, [x + right.len() * CELL / 2, TOP - 20], 12, &format!("k = {}", panel.k));
        for (column, width) in right.iter().enumerate() {
            label(&mut text, [x + column * CELL + CELL / 2, TOP - 5], 11, &width.to_string());
        }
        for (row, width) in left.iter().enumerate() {
            let y = TOP + row * CELL;
            label(&mut text, [x - 10, y + CELL / 2 + 4], 11, &width.to_string());
            for (column, right) in right.iter().enumerate() {
                if let Some(cell) = panel.cell([*width, *right]) {
                    draw(&mut text, [x + column * CELL, y], cell);
                }
            }
        }
        x += right.len() * CELL + GAP;
    }
    let legend = "left planes down, right planes across; above 1 bits are faster than f32";
    label(&mut text, [width / 2, height - 12], 11, legend);
    text.push_str("</svg>\n");
    text
}

fn draw(text: &mut String, [x, y]: [usize; 2], cell: &Cell) {
    let (fill, ink) = colors(cell.ratio);
    let Cell { planes: [left, right], winner, ratio } = cell;
    let side = CELL - 2;
    let _ = writeln!(
        text,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" fill=\"{fill}\">\
         <title>{left}x{right}: {}</title></rect>",
        escaped(winner)
    );
    let (x, y) = (x + side / 2, y + CELL / 2 + 4);
    let _ = writeln!(text, "<text x=\"{x}\" y=\"{y}\" fill=\"{ink}\">{}</text>", short(*ratio));
}

/// Fill and ink of a ratio: the hue says who is faster, the depth how far, full at eight times.
fn colors(ratio: f64) -> (String, &'static str) {
    let depth = (ratio.max(1e-9).log2().abs() / 3.0).min(1.0);
    let full = if ratio >= 1.0 { [8.0, 81.0, 156.0] } else { [166.0, 54.0, 3.0] };
    let [r, g, b] = full.map(|full: f64| (247.0 + (full - 247.0) * depth).round() as u8);
    (format!("#{r:02x}{g:02x}{b:02x}"), if depth > 0.55 { "#ffffff" } else { "#000000" })
}

fn short(ratio: f64) -> String {
    if ratio >= 10.0 { format!("{ratio:.0}") } else { format!("{ratio:.1}") }
}

fn label(text: &mut String, [x, y]: [usize; 2], size: usize, words: &str) {
    let _ = writeln!(text, "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\">{}</text>", escaped(words));
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_drawn_and_names_are_escaped() {
        let cell = |left, ratio| Cell { planes: [left, 1], winner: "a<b".to_owned(), ratio };
        let picture = svg("t & u", "x", &[Panel { k: 7, cells: vec![cell(1, 9.0), cell(2, 0.2)] }]);
        assert_eq!(picture.matches("<rect").count(), 3);
        assert!(picture.contains("t &amp; u") && picture.contains("a&lt;b") && picture.contains("k = 7"));
        assert!(picture.contains("#08519c"), "full blue beyond eight times: {picture}");
    }
}
