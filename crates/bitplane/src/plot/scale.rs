//! Axes: which values they span and where their marks stand.

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
    /// Values with a mark and what stands there, in rising order.
    pub ticks: Vec<(f64, String)>,
}

impl Scale {
    /// From `low` to `high`, widened to whole steps where `widen` is set, with about `wanted` marks at
    /// multiples of 1, 2 or 5 times a power of ten.
    pub fn linear(low: f64, high: f64, wanted: usize, widen: bool) -> Self {
        let (mut low, mut high) = ordered(low, high);
        let step = step((high - low) / wanted.max(1) as f64);
        if widen {
            (low, high) = ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step);
        }
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let (first, last) = ((low / step - 1e-6).ceil() as i64, (high / step + 1e-6).floor() as i64);
        let tick = |count: i64| {
            let value = count as f64 * step;
            (value, decimal(value, decimals))
        };
        Self { low, high, logarithmic: false, ticks: (first..=last).map(tick).collect() }
    }

    /// From `low` to `high` with marks at whole numbers, at most about `wanted`.
    pub fn whole(low: u32, high: u32, wanted: usize) -> Self {
        let (low, high) = (f64::from(low), f64::from(high.max(low)));
        let step = step(((high - low) / wanted.max(1) as f64).max(1.0)).max(1.0);
        let multiples = (0..).map(|count| f64::from(count) * step).take_while(|value| *value <= high);
        let marks = multiples.filter(|value| *value >= low).map(|value| (value, format!("{value}")));
        let margin = if low == high { 0.5 } else { (high - low) * 0.02 };
        let ticks: Vec<(f64, String)> = marks.collect();
        Self { low: low - margin, high: high + margin, logarithmic: false, ticks }
    }

    /// From `low` to `high`, both above 0, with marks at powers of ten; widened to those where fewer than two
    /// lie between.
    pub fn log(low: f64, high: f64) -> Self {
        let (mut low, mut high) = (low.clamp(1e-37, 1e37), high.clamp(1e-37, 1e37));
        let (mut first, mut last) = (low.log10().ceil() as i32, high.log10().floor() as i32);
        if last <= first {
            first = low.log10().floor() as i32;
            last = (high.log10().ceil() as i32).max(first + 1);
            (low, high) = (low.min(10f64.powi(first)), high.max(10f64.powi(last)));
        }
        let every = ((last - first) as usize).div_ceil(7);
        let ticks =
            (first..=last).step_by(every.max(1)).map(|power| (10f64.powi(power), power_of_ten(power)));
        Self { low, high, logarithmic: true, ticks: ticks.collect() }
    }

    /// From `low` to `high` with these marks.
    pub fn marked(low: f64, high: f64, ticks: Vec<(f64, String)>) -> Self {
        let (low, high) = ordered(low, high);
        Self { low, high, logarithmic: false, ticks }
    }

    /// The end of the axis where `value` is lowest.
    pub fn low(&self) -> f64 {
        self.low
    }

    /// Where `value` stands between the axis's ends, 0 and 1; values beyond an end stand there.
    pub fn at(&self, value: f64) -> f64 {
        let place = match self.logarithmic {
            true => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        place.clamp(0.0, 1.0)
    }
}

/// Finite, the first below the second.
fn ordered(low: f64, high: f64) -> (f64, f64) {
    let finite = |value: f64| if value.is_finite() { value.clamp(-1e30, 1e30) } else { 0.0 };
    let (low, high) = (finite(low.min(high)), finite(low.max(high)));
    let least = low.abs().max(high.abs()).max(1e-30) * 1e-6;
    if high - low < least { (low - least, high + least) } else { (low, high) }
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below `least`.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|s| *s >= least * 0.999)
        .unwrap_or(least)
}

fn decimal(value: f64, decimals: usize) -> String {
    if decimals > 5 || value.abs() >= 1e6 {
        return minus(format!("{value:.1e}"));
    }
    let text = format!("{value:.decimals$}");
    minus(if value == 0.0 { text.trim_start_matches('-').to_owned() } else { text })
}

fn power_of_ten(power: i32) -> String {
    if (0..3).contains(&power) {
        return 10i32.pow(power as u32).to_string();
    }
    let raised = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => char::from_u32(0x2070 + digit.to_digit(10).unwrap_or_default()).expect("a small digit"),
    };
    format!("10{}", power.to_string().chars().map(raised).collect::<String>())
}

fn minus(text: String) -> String {
    text.replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn marks_stand_at_round_values() {
        assert_eq!(marks(&Scale::linear(0.13, 0.96, 5, true)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(marks(&Scale::linear(-0.04, 0.04, 4, false)), ["−0.04", "−0.02", "0.00", "0.02", "0.04"]);
        assert_eq!(marks(&Scale::linear(-1e-7, 1e-7, 2, true)), ["−1.0e−7", "0.0e0", "1.0e−7"]);
        assert_eq!(marks(&Scale::whole(1, 3, 8)), ["1", "2", "3"]);
        assert_eq!(marks(&Scale::whole(1, 200, 8)), ["50", "100", "150", "200"]);
        assert_eq!(marks(&Scale::log(0.07, 12_000.0)), ["10⁻¹", "1", "10", "100", "10³", "10⁴"]);
        assert_eq!(marks(&Scale::log(200.0, 500.0)), ["100", "10³"]);
        assert_eq!(marks(&Scale::log(1e-5, 1e-5)), ["10⁻⁵", "10⁻⁴"]);
    }

    #[test]
    fn values_stand_between_the_ends() {
        let scale = Scale::linear(2.0, 4.0, 4, false);
        assert_eq!([1.0, 2.0, 3.0, 4.0, 9.0].map(|value| scale.at(value)), [0.0, 0.0, 0.5, 1.0, 1.0]);
        let scale = Scale::log(1.0, 100.0);
        assert_eq!([0.0, 1.0, 100.0].map(|value| scale.at(value)), [0.0, 0.0, 1.0]);
        assert!((scale.at(10.0) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn odd_spans_have_an_axis() {
        for (low, high) in
            [(0.0, 0.0), (1.0, 1.0), (-3e-9, -3e-9), (f64::NAN, 1.0), (f64::NEG_INFINITY, f64::INFINITY)]
        {
            let scale = Scale::linear(low, high, 5, true);
            assert!((1..20).contains(&scale.ticks.len()), "{scale:?}");
            assert!(scale.at(low.max(-1e30)).is_finite(), "{scale:?}");
        }
        assert_eq!(marks(&Scale::whole(3, 3, 8)), ["3"]);
    }
}
