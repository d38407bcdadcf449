//! The random parts and colors that AlexNet is trained with.

use graph::{Color, InputSpec};
use reference::color::{ColorStep, ColorSteps};
use reference::random::philox4x32_10;

use super::AUGMENT_STREAM;

/// Tries to find a part of the drawn area and shape before the middle square is taken.
const TRIES: u32 = 10;
/// Standard deviation of the steps along the principal colors.
const LIGHTING: f64 = 0.1;
/// Roots of the eigenvalues of ImageNet's colors, for values 0 to 1.
const EIGENVALUES: [f64; 3] = [0.2175, 0.0188, 0.0045];
/// Their eigenvectors as columns; rows are red, green and blue.
const EIGENVECTORS: [[f64; 3]; 3] =
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]];

/// Uniform numbers that belong to a sample in an epoch.
pub(super) struct Draws {
    name: [u32; 2],
    key: [u32; 2],
    drawn: u32,
}

impl Draws {
    /// Those of (sample, epoch) for the key of a seed.
    pub(super) fn new(name: [u32; 2], key: [u32; 2]) -> Self {
        Self { name, key, drawn: 0 }
    }

    /// The next number in [0, 1).
    fn unit(&mut self) -> f64 {
        // The third counter words 0 and 1 belong to the other augmentations.
        let block = 2 + self.drawn / 4;
        let words = philox4x32_10([self.name[0], self.name[1], block, AUGMENT_STREAM], self.key);
        let word = words[(self.drawn % 4) as usize];
        self.drawn += 1;
        f64::from(word) * 2f64.powi(-32)
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number from 0 to `most`.
    fn up_to(&mut self, most: u32) -> u32 {
        (self.unit() * (f64::from(most) + 1.0)) as u32
    }

    /// A standard normal number, by Box-Muller.
    fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.unit(), self.unit());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

/// Mirror, part and colors of a picture.
pub(super) fn alexnet(mut draws: Draws, input: &InputSpec) -> (bool, Color) {
    let flip = draws.unit() < 0.5;
    let part = part(&mut draws, [input.source_height, input.source_width]);
    (flip, Color { part, steps: steps(&mut draws) })
}

/// Top, left, height and width of 8 to 100 % of the picture's area, between 3:4 and 4:3.
fn part(draws: &mut Draws, [height, width]: [u32; 2]) -> [u32; 4] {
    let whole = f64::from(height) * f64::from(width);
    for _ in 0..TRIES {
        let area = whole * draws.between(0.08, 1.0);
        let aspect = draws.between(3.0 / 4.0, 4.0 / 3.0);
        let side = |square: f64| (square.sqrt() + 0.5) as u32;
        let (mut part_height, mut part_width) = (side(area / aspect).max(1), side(area * aspect).max(1));
        if draws.unit() < 0.5 {
            (part_height, part_width) = (part_width, part_height);
        }
        if part_height <= height && part_width <= width {
            let top = draws.up_to(height - part_height);
            return [top, draws.up_to(width - part_width), part_height, part_width];
        }
    }
    let side = height.min(width);
    [(height - side) / 2, (width - side) / 2, side, side]
}

/// Brightness and contrast 0.6 to 1.4, saturation 0.6 to 1.4 and a step along the principal colors, in random order.
fn steps(draws: &mut Draws) -> ColorSteps {
    let mut order = [ColorStep::Brightness, ColorStep::Contrast, ColorStep::Saturation, ColorStep::Shift];
    for last in (1..4u32).rev() {
        order.swap(last as usize, draws.up_to(last) as usize);
    }
    let [brightness, contrast, saturation] =
        [0, 1, 2].map(|_| (4096.0 * draws.between(0.6, 1.4)).round() as u32);
    let steps = EIGENVALUES.map(|value| 255.0 * value * LIGHTING * draws.normal());
    // Of its sum with a byte, truncation keeps the floor.
    let along =
        |row: [f64; 3]| row.iter().zip(steps).map(|(entry, step)| entry * step).sum::<f64>().floor() as i32;
    ColorSteps { order, brightness, contrast, saturation, shift: EIGENVECTORS.map(along) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(sample: u32, size: [u32; 2]) -> (bool, Color) {
        let input = InputSpec {
            source_height: size[0],
            source_width: size[1],
            channels: 3,
            resize_height: 224,
            resize_width: 224,
            out_height: 224,
            out_width: 224,
        };
        alexnet(Draws::new([sample, 3], [7, 0]), &input)
    }

    #[test]
    fn parts_have_the_drawn_area_and_shape() {
        let (mut flips, mut areas, mut edges) = (0, 0.0, [false; 4]);
        for sample in 0..2000 {
            let (flip, Color { part: [top, left, height, width], .. }) = drawn(sample, [256, 300]);
            assert!(top + height <= 256 && left + width <= 300, "sample {sample}");
            let area = f64::from(height * width) / (256.0 * 300.0);
            let shape = f64::from(height) / f64::from(width);
            assert!((0.078..=1.0).contains(&area) && (0.74..1.36).contains(&shape), "{area} {shape}");
            (flips, areas) = (flips + u32::from(flip), areas + area);
            edges = [
                edges[0] | (top == 0),
                edges[1] | (left == 0),
                edges[2] | (top + height == 256),
                edges[3] | (left + width == 300),
            ];
        }
        assert!((900..1100).contains(&flips) && edges == [true; 4], "{flips} {edges:?}");
        // Below the mean of 0.54, since large parts of other shapes do not fit.
        assert!((0.4..0.54).contains(&(areas / 2000.0)), "{}", areas / 2000.0);
        // Nothing of that shape fits into a line.
        assert_eq!(drawn(0, [1, 4096]).1.part, [0, 2047, 1, 1]);
        assert_eq!(drawn(5, [256, 300]), drawn(5, [256, 300]));
        assert_ne!(drawn(5, [256, 300]), drawn(6, [256, 300]));
    }

    #[test]
    fn colors_vary_about_the_picture() {
        let all: Vec<ColorSteps> = (0..4000).map(|sample| drawn(sample, [64, 64]).1.steps).collect();
        let factors: [fn(&ColorSteps) -> u32; 3] = [|s| s.brightness, |s| s.contrast, |s| s.saturation];
        for factor in factors {
            assert!(all.iter().all(|steps| (2458..=5734).contains(&factor(steps))));
            let mean = all.iter().map(|steps| f64::from(factor(steps))).sum::<f64>() / 4000.0 / 4096.0;
            assert!((mean - 1.0).abs() < 0.02, "{mean}");
        }
        for channel in 0..3 {
            let shift = |steps: &ColorSteps| f64::from(steps.shift[channel]);
            let mean = all.iter().map(shift).sum::<f64>() / 4000.0;
            // Floors are half a value below.
            assert!((mean + 0.5).abs() < 0.3, "{mean}");
            // Most of the deviation of 255 x 0.2175 x 0.1 x 0.57 = 3.1 and more comes from the first color.
            let deviation = all.iter().map(|steps| (shift(steps) - mean).powi(2)).sum::<f64>() / 4000.0;
            assert!((2.5..4.0).contains(&deviation.sqrt()), "{deviation}");
        }
        let orders: std::collections::BTreeSet<String> =
            all.iter().map(|steps| format!("{:?}", steps.order)).collect();
        assert_eq!(orders.len(), 24, "every order occurs");
    }
}
