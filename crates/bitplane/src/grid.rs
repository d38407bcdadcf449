//! Lists and ranges of numbers that span a grid of measurements.

use std::str::FromStr;

/// A grid has at most this many numbers along one side.
const MAX_NUMBERS: usize = 4096;

/// A list such as `64,100-400+100,64-512*2`; without a step a range takes every number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers(pub Vec<u32>);

/// Numbers of planes of two operands, such as `1x2,1-4x1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanePairs(pub Vec<[u32; 2]>);

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = Vec::new();
        for item in text.split(',') {
            numbers.extend(range(item.trim())?);
            if numbers.len() > MAX_NUMBERS {
                return Err(too_many(text));
            }
        }
        Ok(Self(numbers))
    }
}

impl FromStr for PlanePairs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for item in text.split(',') {
            let (left, right) = item
                .trim()
                .split_once('x')
                .ok_or_else(|| format!("`{item}` is no pair of plane counts such as 1x2"))?;
            let right = range(right)?;
            pairs.extend(range(left)?.into_iter().flat_map(|l| right.iter().map(move |&r| [l, r])));
            if let Some([l, r]) = pairs.iter().find(|pair| pair.iter().any(|&planes| planes > 8)) {
                return Err(format!("{l}x{r} planes, each side has 1 to 8"));
            }
        }
        Ok(Self(pairs))
    }
}

/// `a`, `a-b`, `a-b+step` or `a-b*factor`.
fn range(text: &str) -> Result<Vec<u32>, String> {
    let number = |digits: &str| match digits.parse::<u32>() {
        Ok(0) => Err(format!("0 in `{text}`: numbers start at 1")),
        Ok(number) => Ok(number),
        Err(_) => Err(format!("`{text}` is no number or range such as 64, 64-512*2 or 1-8+1")),
    };
    let Some((first, rest)) = text.split_once('-') else { return Ok(vec![number(text)?]) };
    let (last, step, factor) = match (rest.split_once('+'), rest.split_once('*')) {
        (Some((last, step)), _) => (last, number(step)?, 1),
        (_, Some((last, factor))) => (last, 0, number(factor)?),
        _ => (rest, 1, 1),
    };
    let (first, last) = (number(first)?, number(last)?);
    if first > last || (step, factor) == (0, 1) {
        return Err(format!("`{text}` does not lead from its first to its last number"));
    }
    let next = |&at: &u32| at.checked_mul(factor)?.checked_add(step).filter(|&next| next <= last);
    let numbers: Vec<u32> = std::iter::successors(Some(first), next).take(MAX_NUMBERS + 1).collect();
    if numbers.len() > MAX_NUMBERS { Err(too_many(text)) } else { Ok(numbers) }
}

fn too_many(text: &str) -> String {
    format!("`{text}` has more than {MAX_NUMBERS} numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Result<Vec<u32>, String> {
        text.parse::<Numbers>().map(|numbers| numbers.0)
    }

    #[test]
    fn lists_and_ranges_are_spelled_out() {
        assert_eq!(numbers("7"), Ok(vec![7]));
        assert_eq!(numbers("1-3,64-300*2, 5-11+3"), Ok(vec![1, 2, 3, 64, 128, 256, 5, 8, 11]));
        assert_eq!(numbers("4294967295-4294967295*2"), Ok(vec![u32::MAX]));
        assert_eq!("1-2x4-8*2,3x3".parse(), Ok(PlanePairs(vec![[1, 4], [1, 8], [2, 4], [2, 8], [3, 3]])));
    }

    #[test]
    fn what_spans_no_grid_is_refused() {
        for text in
            ["", "0", "-3", "a", "3-1", "1-8*1", "1-8+0", "1-8*0", "1-", "1,,2", "1-9999999", "5000000000"]
        {
            assert!(numbers(text).is_err(), "{text}");
        }
        for text in ["", "1", "9x1", "1x9", "0x1", "1x2x3", "1-9x1"] {
            assert!(text.parse::<PlanePairs>().is_err(), "{text}");
        }
    }
}
