//! Panels side by side under a title and a legend.

use super::font;
use super::picture::{Anchor, Color, PALETTE, Picture, Shape, Stroke, Text};
use super::scale::Scale;

/// Size of a panel's inside.
const PANEL: [f32; 2] = [400.0, 270.0];
const MARGIN: f32 = 18.0;
/// Room left of a panel for the name of its axis, and below for marks and name.
const NAME: f32 = 24.0;
const BELOW: f32 = 46.0;
const INK: Color = [40, 40, 40];
const PALE_INK: Color = [95, 95, 95];
const GRID: Color = [228, 228, 228];
const FRAME: Color = [120, 120, 120];
const TITLE: f32 = 16.0;
const WORDS: f32 = 12.0;
const SMALL: f32 = 11.0;
/// Marks of a curve with more points would run together.
const MOST_DISKS: usize = 32;
/// Length of the line before a legend's word.
const SAMPLE: f32 = 22.0;

/// What tells one series from another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// Color.
    pub color: Color,
    /// Dash and gap.
    pub dash: Option<[f32; 2]>,
}

impl Style {
    /// The style of series `index`: a color of its own, and dashes where colors come again.
    pub fn of(index: usize) -> Self {
        let dashes = [None, Some([7.0, 3.0]), Some([2.0, 3.0]), Some([12.0, 4.0])];
        let color = PALETTE[index % PALETTE.len()];
        Self { color, dash: dashes[index / PALETTE.len() % dashes.len()] }
    }
}

/// One series in a panel.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// A line through points.
    Curve {
        /// Points, by rising x.
        points: Vec<[f64; 2]>,
        /// How it looks.
        style: Style,
        /// A thin dotted line of the color, for what matters less.
        faint: bool,
    },
    /// Counts between edges, as an outline.
    Steps {
        /// One more than counts.
        edges: Vec<f64>,
        /// Heights.
        counts: Vec<f64>,
        /// How it looks.
        style: Style,
    },
    /// Filled bars.
    Bars {
        /// Left and right end and height.
        bars: Vec<[f64; 3]>,
        /// How they look.
        style: Style,
    },
}

/// One pair of axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What it shows.
    pub title: String,
    /// Name of the axis to the right.
    pub x_name: String,
    /// Name of the upward axis.
    pub y_name: String,
    /// The axis to the right.
    pub x: Scale,
    /// The upward axis.
    pub y: Scale,
    /// Series, the first at the bottom.
    pub marks: Vec<Mark>,
}

/// A picture of panels.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Title.
    pub title: String,
    /// A line below the title, or nothing.
    pub note: String,
    /// Names of the series.
    pub legend: Vec<(String, Style)>,
    /// Panels, from the left.
    pub panels: Vec<Panel>,
}

impl Chart {
    /// Lays it out.
    pub fn picture(&self) -> Picture {
        let lefts: Vec<f32> = self.panels.iter().map(|panel| NAME + widest(&panel.y) + 8.0).collect();
        let inside: f32 = lefts.iter().map(|left| left + PANEL[0] + MARGIN).sum();
        let words = font::width(&self.title, TITLE).max(font::width(&self.note, SMALL)) + 2.0 * MARGIN;
        let widest = self.legend.iter().map(|(word, _)| entry_width(word)).fold(0.0, f32::max) + 2.0 * MARGIN;
        let width = (inside + MARGIN).max(words).max(widest).ceil();
        let note = if self.note.is_empty() { 0.0 } else { 18.0 };
        let rows = legend_rows(&self.legend, width - 2.0 * MARGIN);
        let legend = 20.0 * rows.len() as f32;
        let panels = MARGIN + 22.0 + note + legend + 26.0;
        let mut picture = Picture::new(width, (panels + PANEL[1] + BELOW + 8.0).ceil());
        picture.text([MARGIN, MARGIN + 13.0], TITLE, INK, Anchor::Start, &self.title);
        if note > 0.0 {
            picture.text([MARGIN, MARGIN + 31.0], SMALL, PALE_INK, Anchor::Start, &self.note);
        }
        for (row, entries) in rows.iter().enumerate() {
            let (mut x, y) = (MARGIN, MARGIN + 22.0 + note + 15.0 + 20.0 * row as f32);
            for (word, style) in *entries {
                let Style { color, dash } = *style;
                picture.line(vec![[x, y - 4.0], [x + SAMPLE, y - 4.0]], Stroke { color, width: 3.0, dash });
                picture.text([x + SAMPLE + 6.0, y], WORDS, INK, Anchor::Start, word);
                x += entry_width(word);
            }
        }
        let mut x = 0.0;
        for (panel, left) in self.panels.iter().zip(lefts) {
            panel.draw(&mut picture, [x + left, panels]);
            x += left + PANEL[0] + MARGIN;
        }
        picture
    }
}

/// The legend in rows of at most `width`.
fn legend_rows(legend: &[(String, Style)], width: f32) -> Vec<&[(String, Style)]> {
    let mut rows = Vec::new();
    let (mut first, mut used) = (0, 0.0);
    for (at, (word, _)) in legend.iter().enumerate() {
        let next = entry_width(word);
        if used + next > width && at > first {
            rows.push(&legend[first..at]);
            (first, used) = (at, 0.0);
        }
        used += next;
    }
    if first < legend.len() {
        rows.push(&legend[first..]);
    }
    rows
}

fn entry_width(word: &str) -> f32 {
    SAMPLE + 6.0 + font::width(word, WORDS) + 20.0
}

fn widest(scale: &Scale) -> f32 {
    scale.ticks.iter().map(|(_, text)| font::width(text, SMALL)).fold(0.0, f32::max)
}

impl Panel {
    fn draw(&self, picture: &mut Picture, [left, top]: [f32; 2]) {
        let [width, height] = PANEL;
        let (right, bottom) = (left + width, top + height);
        let at = |x: f64, y: f64| [left + self.x.at(x) as f32 * width, bottom - self.y.at(y) as f32 * height];
        let thin = |color: Color| Stroke { color, width: 1.0, dash: None };
        picture.text([left, top - 9.0], WORDS, INK, Anchor::Start, &self.title);
        for (value, text) in &self.y.ticks {
            let [_, y] = at(0.0, *value);
            picture.line(vec![[left, y], [right, y]], thin(GRID));
            picture.text([left - 7.0, y + 4.0], SMALL, PALE_INK, Anchor::End, text);
        }
        // A mark's text that would touch the one before is left out, its line stays.
        let mut free = f32::NEG_INFINITY;
        for (value, text) in &self.x.ticks {
            let ([x, _], half) = (at(*value, 0.0), font::width(text, SMALL) / 2.0);
            picture.line(vec![[x, top], [x, bottom]], thin(GRID));
            if x - half > free {
                picture.text([x, bottom + 16.0], SMALL, PALE_INK, Anchor::Middle, text);
                free = x + half + 6.0;
            }
        }
        self.marks.iter().for_each(|mark| self.draw_mark(picture, mark, &at));
        picture.line(vec![[left, top], [left, bottom], [right, bottom]], thin(FRAME));
        picture.text([left + width / 2.0, bottom + 36.0], WORDS, INK, Anchor::Middle, &self.x_name);
        picture.shapes.push(Shape::Text(Text {
            at: [left - widest(&self.y) - 16.0, top + height / 2.0],
            words: self.y_name.clone(),
            size: WORDS,
            color: INK,
            anchor: Anchor::Middle,
            upwards: true,
        }));
    }

    fn draw_mark(&self, picture: &mut Picture, mark: &Mark, at: &dyn Fn(f64, f64) -> [f32; 2]) {
        match mark {
            Mark::Curve { points, style: Style { color, dash }, faint } => {
                let known = points.iter().filter(|[_, y]| y.is_finite());
                let placed: Vec<[f32; 2]> = known.map(|[x, y]| at(*x, *y)).collect();
                let (width, dash) = if *faint { (1.2, Some([1.5, 2.5])) } else { (2.0, *dash) };
                if !faint && placed.len() <= MOST_DISKS {
                    let disk = |&at: &[f32; 2]| Shape::Disk { at, radius: 2.6, fill: *color };
                    picture.shapes.extend(placed.iter().map(disk));
                }
                picture.line(placed, Stroke { color: *color, width, dash });
            }
            Mark::Steps { edges, counts, style: Style { color, dash } } => {
                let floor = self.y.low();
                let mut points = vec![at(edges[0], floor)];
                for (edge, count) in edges.windows(2).zip(counts) {
                    points.extend([at(edge[0], *count), at(edge[1], *count)]);
                }
                points.push(at(edges[counts.len()], floor));
                picture.line(points, Stroke { color: *color, width: 1.5, dash: *dash });
            }
            Mark::Bars { bars, style } => {
                for [from, to, count] in bars {
                    let ([left, bottom], [right, top]) = (at(*from, self.y.low()), at(*to, *count));
                    picture.rect([left, top, right - left, bottom - top], style.color, 1.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::picture::Line;

    fn chart(runs: usize) -> Chart {
        let legend = (0..runs).map(|run| (format!("1,2,{run} bits, seed {run}"), Style::of(run)));
        let marks = (0..runs).map(|run| Mark::Curve {
            points: vec![[1.0, 0.1], [2.0, f64::NAN], [3.0, 0.9]],
            style: Style::of(run),
            faint: false,
        });
        let panel = Panel {
            title: "accuracy".to_owned(),
            x_name: "epoch".to_owned(),
            y_name: "accuracy".to_owned(),
            x: Scale::whole(1, 3, 8),
            y: Scale::linear(0.0, 1.0, 5, true),
            marks: marks.collect(),
        };
        let note = "a note that reaches over the legend's words".to_owned();
        Chart { title: "t".into(), note, legend: legend.collect(), panels: vec![panel; 2] }
    }

    /// Left, top, right and bottom of every text.
    fn frames(picture: &Picture) -> Vec<(String, [f32; 4])> {
        let frame = |text: &Text| {
            let length = font::width(&text.words, text.size);
            let back = match text.anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => length / 2.0,
                Anchor::End => length,
            };
            let [x, y] = text.at;
            let (up, down) = (text.size * 0.78, text.size * 0.22);
            match text.upwards {
                false => [x - back, y - up, x - back + length, y + down],
                true => [x - up, y + back - length, x + down, y + back],
            }
        };
        let texts = picture.shapes.iter().filter_map(|shape| match shape {
            Shape::Text(text) => Some((text.words.clone(), frame(text))),
            _ => None,
        });
        texts.collect()
    }

    #[test]
    fn no_text_covers_another_or_leaves_the_picture() {
        for runs in [1, 2, 9, 30] {
            let picture = chart(runs).picture();
            let frames = frames(&picture);
            assert!(frames.len() > 20);
            for (index, (words, a)) in frames.iter().enumerate() {
                let inside = a[0] >= 0.0 && a[1] >= 0.0 && a[2] <= picture.width && a[3] <= picture.height;
                assert!(inside, "{words} of {runs} runs at {a:?}");
                for (other, b) in &frames[index + 1..] {
                    let apart = a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
                    assert!(apart, "{words} at {a:?} and {other} at {b:?} of {runs} runs");
                }
            }
        }
    }

    #[test]
    fn no_straight_line_crosses_a_text() {
        let picture = chart(9).picture();
        let straight = picture.shapes.iter().filter_map(|shape| match shape {
            Shape::Line(Line { points, .. }) if points.len() == 2 => Some([points[0], points[1]]),
            _ => None,
        });
        let straight: Vec<[[f32; 2]; 2]> = straight.collect();
        assert!(straight.len() > 20);
        for (words, frame) in frames(&picture) {
            let crosses = |[a, b]: &&[[f32; 2]; 2]| {
                let over = |axis: usize| {
                    a[axis].min(b[axis]) < frame[2 + axis] && a[axis].max(b[axis]) > frame[axis]
                };
                over(0) && over(1)
            };
            assert_eq!(straight.iter().find(crosses), None, "{words} at {frame:?}");
        }
    }

    #[test]
    fn of_crowded_marks_some_have_no_text() {
        let mut crowded = chart(1);
        let marks = (0..60).map(|mark| (f64::from(mark) / 20.0, format!("{mark}.000"))).collect();
        crowded.panels[0].x = Scale::marked(0.0, 3.0, marks);
        let frames = frames(&crowded.picture());
        let mut shown: Vec<[f32; 4]> =
            frames.iter().filter(|(words, _)| words.ends_with(".000")).map(|(_, frame)| *frame).collect();
        shown.sort_by(|a, b| a[0].total_cmp(&b[0]));
        assert!((3..60).contains(&shown.len()), "{}", shown.len());
        assert!(shown.windows(2).all(|pair| pair[0][2] < pair[1][0]), "{shown:?}");
    }

    #[test]
    fn a_value_that_is_not_finite_leaves_no_point() {
        let picture = chart(1).picture();
        let disks = picture.shapes.iter().filter(|shape| matches!(shape, Shape::Disk { .. })).count();
        assert_eq!(disks, 2 * 2, "two of three points in each of two panels");
        assert!(!picture.svg().contains("NaN"));
    }

    #[test]
    fn series_differ() {
        for a in 0..28 {
            assert!((0..a).all(|b| Style::of(a) != Style::of(b)), "{a}");
        }
    }
}
