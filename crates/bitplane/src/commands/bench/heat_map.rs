//! The picture of `bench crossover`: one square of cells for each k.

use super::crossover::{Cell, Panel};
use crate::plot::{Anchor, Color, Picture, Shape};

const CELL: f32 = 44.0;
const LEFT: f32 = 54.0;
const TOP: f32 = 76.0;
const GAP: f32 = 34.0;
const BLACK: Color = [0; 3];

/// A panel for each k, left widths downwards, right widths to the right: blue where bits are faster than f32,
/// orange where f32 is, the darker the further apart.
pub fn picture(title: &str, adapter: &str, panels: &[Panel]) -> Picture {
    let columns = |panel: &Panel| panel.widths(1).len() as f32 * CELL + GAP;
    let width = (LEFT + panels.iter().map(columns).sum::<f32>()).max(420.0);
    let rows = panels.iter().map(|panel| panel.widths(0).len()).max().unwrap_or_default() as f32;
    let height = TOP + rows * CELL + 40.0;
    let mut picture = Picture::new(width, height);
    label(&mut picture, [width / 2.0, 20.0], 15.0, title);
    label(&mut picture, [width / 2.0, 38.0], 11.0, adapter);
    let mut x = LEFT;
    for panel in panels {
        let (left, right) = (panel.widths(0), panel.widths(1));
        let middle = x + right.len() as f32 * CELL / 2.0;
        label(&mut picture, [middle, TOP - 20.0], 12.0, &format!("k = {}", panel.k));
        for (column, width) in right.iter().enumerate() {
            let at = [x + column as f32 * CELL + CELL / 2.0, TOP - 5.0];
            label(&mut picture, at, 11.0, &width.to_string());
        }
        for (row, width) in left.iter().enumerate() {
            let y = TOP + row as f32 * CELL;
            label(&mut picture, [x - 10.0, y + CELL / 2.0 + 4.0], 11.0, &width.to_string());
            for (column, right) in right.iter().enumerate() {
                if let Some(cell) = panel.cell([*width, *right]) {
                    draw(&mut picture, [x + column as f32 * CELL, y], cell);
                }
            }
        }
        x += columns(panel);
    }
    let legend = "left planes down, right planes across; above 1 bits are faster than f32";
    label(&mut picture, [width / 2.0, height - 12.0], 11.0, legend);
    picture
}

fn draw(picture: &mut Picture, [x, y]: [f32; 2], cell: &Cell) {
    let (fill, ink) = colors(cell.ratio);
    let Cell { planes: [left, right], winner, ratio } = cell;
    let side = CELL - 2.0;
    let hint = Some(format!("{left}x{right}: {winner}"));
    picture.shapes.push(Shape::Rect { frame: [x, y, side, side], fill, opacity: 1.0, hint });
    let at = [x + side / 2.0, y + CELL / 2.0 + 4.0];
    picture.text(at, 12.0, ink, Anchor::Middle, &short(*ratio));
}

/// Fill and ink of a ratio: the hue says who is faster, the depth how far, full at eight times.
fn colors(ratio: f64) -> (Color, Color) {
    let depth = (ratio.max(1e-9).log2().abs() / 3.0).min(1.0);
    let full = if ratio >= 1.0 { [8.0, 81.0, 156.0] } else { [166.0, 54.0, 3.0] };
    let fill = full.map(|full: f64| (247.0 + (full - 247.0) * depth).round() as u8);
    (fill, if depth > 0.55 { [255; 3] } else { BLACK })
}

fn short(ratio: f64) -> String {
    if ratio >= 10.0 { format!("{ratio:.0}") } else { format!("{ratio:.1}") }
}

fn label(picture: &mut Picture, at: [f32; 2], size: f32, words: &str) {
    picture.text(at, size, BLACK, Anchor::Middle, words);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_drawn_and_names_are_escaped() {
        let cell = |left, ratio| Cell { planes: [left, 1], winner: "a<b".to_owned(), ratio };
        let panels = [Panel { k: 7, cells: vec![cell(1, 9.0), cell(2, 0.2)] }];
        let text = picture("t & u", "x", &panels).svg();
        assert_eq!(text.matches("<rect").count(), 2);
        assert!(text.contains("t &amp; u") && text.contains("a&lt;b") && text.contains("k = 7"));
        assert!(text.contains("#08519c"), "full blue beyond eight times: {text}");
    }
}
