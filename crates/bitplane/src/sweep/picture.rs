//! The picture of a sweep: accuracy by bits, a color for each model, the seeds as dots on a line from the lowest to the highest.

use std::fmt::Write;

use super::results::{Group, Results};
use crate::plot::escaped;

const LEFT: f64 = 60.0;
const TOP: f64 = 50.0;
const HEIGHT: f64 = 300.0;
/// Of a frame with few columns.
const WIDTH: f64 = 340.0;
/// Between two models of one column.
const STEP: f64 = 14.0;
/// Readable also without color vision, and in print.
const COLORS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// An SVG of all groups that have a finished point; without any it says so.
pub fn svg(results: &Results) -> String {
    let finished: Vec<&Group> = results.groups.iter().filter(|group| group.mean.is_some()).collect();
    let (mut models, mut columns) = (Vec::new(), Vec::new());
    for group in &finished {
        let [model, column] = place(group);
        models.extend((!models.contains(&model)).then_some(model));
        columns.extend((!columns.contains(&column)).then_some(column));
    }
    let column_width = (models.len() as f64 * STEP + 16.0).max(46.0).max(WIDTH / columns.len().max(1) as f64);
    let width = (LEFT + columns.len() as f64 * column_width + 20.0).max(420.0);
    let longest = columns.iter().map(|column| column.chars().count()).max().unwrap_or_default();
    let below = 40.0 + longest as f64 * 4.5;
    let height = TOP + HEIGHT + below;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width:.0}\" height=\"{height:.0}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}</text>\n",
        escaped(&results.title)
    );
    if finished.is_empty() {
        let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"60\">no point is finished yet</text>\n</svg>");
        return text;
    }
    let scale = Scale::over(&finished);
    axis(&mut text, &scale, width);
    for (index, column) in columns.iter().enumerate() {
        let (x, y) = (LEFT + (index as f64 + 0.5) * column_width, TOP + HEIGHT + 14.0);
        let _ = writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" transform=\"rotate(-40 {x:.1} {y:.1})\">{}</text>",
            escaped(column)
        );
    }
    for group in &finished {
        let [model, column] = place(group);
        let at = |list: &[String], item: &String| {
            list.iter().position(|known| known == item).unwrap_or_default() as f64
        };
        let number = at(&models, &model);
        let shift = (number - (models.len() as f64 - 1.0) / 2.0) * STEP;
        let x = LEFT + (at(&columns, &column) + 0.5) * column_width + shift;
        draw(&mut text, x, group, &scale, COLORS[number as usize % COLORS.len()]);
    }
    let mut x = LEFT;
    for (model, color) in models.iter().zip(COLORS.iter().cycle()) {
        let _ = writeln!(
            text,
            "<circle cx=\"{:.1}\" cy=\"36\" r=\"4\" fill=\"{color}\"/><text x=\"{:.1}\" y=\"40\">{}</text>",
            x + 4.0,
            x + 12.0,
            escaped(model)
        );
        x += 30.0 + 7.0 * model.chars().count() as f64;
    }
    text.push_str("</svg>\n");
    text
}

/// The model, which is a color, and everything else, which is a column.
fn place(group: &Group) -> [String; 2] {
    let (mut model, mut column) = (String::new(), String::new());
    for (key, value) in &group.settings {
        match key.as_str() {
            "model" => model = value.clone(),
            "bits" => column = value.clone(),
            key if value == "true" => column.push_str(&format!(" {key}")),
            key if !value.is_empty() => column.push_str(&format!(" {key} {value}")),
            _ => {}
        }
    }
    [model, column]
}

/// Accuracies from `least` to `most` on the picture's height.
struct Scale {
    least: f64,
    most: f64,
    step: f64,
}

impl Scale {
    fn over(groups: &[&Group]) -> Self {
        let values =
            || groups.iter().flat_map(|group| group.accuracies.values().chain(&group.published).copied());
        let (least, most) = (values().fold(1.0, f64::min), values().fold(0.0, f64::max));
        let step = [0.005, 0.01, 0.02, 0.05, 0.1]
            .into_iter()
            .find(|step| (most - least) / step <= 8.0)
            .unwrap_or(0.2);
        let least = ((least / step).floor() * step).max(0.0);
        let most = (most / step).ceil() * step;
        Self { least, most: if most > least { most } else { least + step }, step }
    }

    fn y(&self, accuracy: f64) -> f64 {
        TOP + HEIGHT * (self.most - accuracy) / (self.most - self.least)
    }
}

fn axis(text: &mut String, scale: &Scale, width: f64) {
    let ticks = ((scale.most - scale.least) / scale.step).round() as u32;
    for tick in 0..=ticks {
        let value = scale.least + f64::from(tick) * scale.step;
        let (y, right) = (scale.y(value), width - 20.0);
        let _ = writeln!(
            text,
            "<line x1=\"{LEFT}\" x2=\"{right:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.3}</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    let middle = TOP + HEIGHT / 2.0;
    let _ = writeln!(
        text,
        "<text x=\"14\" y=\"{middle}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {middle})\">best test accuracy</text>"
    );
}

fn draw(text: &mut String, x: f64, group: &Group, scale: &Scale, color: &str) {
    let heights: Vec<f64> = group.accuracies.values().map(|accuracy| scale.y(*accuracy)).collect();
    let (top, bottom) =
        (heights.iter().copied().fold(f64::MAX, f64::min), heights.iter().copied().fold(0.0, f64::max));
    let _ = writeln!(
        text,
        "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\" stroke=\"{color}\" stroke-width=\"2\"/>"
    );
    for y in heights {
        let _ = writeln!(
            text,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\" fill-opacity=\"0.6\"/>"
        );
    }
    let mean = scale.y(group.mean.unwrap_or_default());
    let words: Vec<String> = group.settings.iter().map(|(key, value)| format!("{key} {value}")).collect();
    let _ = writeln!(
        text,
        "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{mean:.1}\" y2=\"{mean:.1}\" stroke=\"{color}\" stroke-width=\"3\">\
         <title>{}: mean {:.4} of {}</title></line>",
        x - 6.0,
        x + 6.0,
        escaped(&words.join(", ")),
        group.mean.unwrap_or_default(),
        group.accuracies.len()
    );
    if let Some(published) = group.published {
        let y = scale.y(published);
        let _ = writeln!(
            text,
            "<path d=\"M{x:.1} {:.1}l4 4l-4 4l-4 -4z\" fill=\"none\" stroke=\"{color}\"><title>published {published:.3}</title></path>",
            y - 4.0
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn group(model: &str, bits: &str, accuracies: &[f64]) -> Group {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        Group {
            settings: vec![pair("model", model), pair("bits", bits)],
            accuracies: (0..).zip(accuracies.iter().copied()).collect::<BTreeMap<_, _>>(),
            mean: (!accuracies.is_empty()).then(|| accuracies.iter().sum::<f64>() / accuracies.len() as f64),
            deviation: None,
            published: None,
            average_bits: None,
        }
    }

    fn results(groups: Vec<Group>) -> Results {
        let (points, comparisons) = (Vec::new(), Vec::new());
        Results { schema: 1, title: "a < b".to_owned(), folder: String::new(), points, groups, comparisons }
    }

    #[test]
    fn every_seed_is_a_dot_within_the_frame_and_names_are_escaped() {
        let groups = vec![
            group("m&n", "1,1,2", &[0.31, 0.42]),
            group("o", "1,2,4", &[0.77]),
            group("o", "8,8,8", &[]),
        ];
        let picture = svg(&results(groups));
        let dots: Vec<&str> = picture.lines().filter(|line| line.contains("r=\"3\"")).collect();
        assert_eq!(dots.len(), 3, "{picture}");
        for dot in dots {
            let y: f64 =
                dot.split("cy=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().parse().unwrap();
            assert!((TOP..=TOP + HEIGHT).contains(&y), "{dot}");
        }
        assert!(picture.contains("a &lt; b") && picture.contains("m&amp;n") && !picture.contains("8,8,8"));
        assert!(svg(&results(Vec::new())).contains("no point is finished"));
    }
}
