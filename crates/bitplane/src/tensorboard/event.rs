//! The messages `Event`, `Summary` and `HistogramProto` in Protocol Buffers' wire format.

use crate::statistics::{CodeCounts, Histogram};

const VERSION: &str = "brain.Event:2";

// Wire types: the low three bits of a field's key.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

// Field numbers of `Event`.
const WALL_TIME: u64 = 1;
const STEP: u64 = 2;
const FILE_VERSION: u64 = 3;
const SUMMARY: u64 = 5;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Seconds since 1970.
    pub wall_time: f64,
    /// Steps done.
    pub step: i64,
    /// The format, in a file's first event only.
    pub version: Option<&'static str>,
    /// A value.
    pub summary: Option<Summary>,
}

impl Event {
    /// The first event of a file.
    pub fn version(wall_time: f64) -> Self {
        Self { wall_time, step: 0, version: Some(VERSION), summary: None }
    }

    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = Message::default();
        message.double(WALL_TIME, self.wall_time);
        message.integer(STEP, self.step as u64);
        if let Some(version) = self.version {
            message.bytes(FILE_VERSION, version.as_bytes());
        }
        if let Some(summary) = &self.summary {
            message.bytes(SUMMARY, &summary.encode());
        }
        message.0
    }
}

/// A named value.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    tag: String,
    value: Value,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Scalar(f32),
    Histogram(Buckets),
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Buckets {
    least: f64,
    most: f64,
    sum: f64,
    sum_of_squares: f64,
    /// Right ends; the first bucket begins where its right end's predecessor would be.
    limits: Vec<f64>,
    counts: Vec<f64>,
}

impl Summary {
    /// A number.
    pub fn scalar(tag: &str, value: f64) -> Self {
        Self { tag: tag.to_owned(), value: Value::Scalar(value as f32) }
    }

    /// Counts of values. An empty bucket before the first says where that begins.
    pub fn values(tag: &str, histogram: &Histogram) -> Self {
        let Histogram { least, most, sum, sum_of_squares, .. } = *histogram;
        let counts = histogram.counts.iter().map(|count| *count as f64);
        let counts = std::iter::once(0.0).chain(counts).collect();
        let value = Buckets { least, most, sum, sum_of_squares, limits: histogram.edges(), counts };
        Self { tag: tag.to_owned(), value: Value::Histogram(value) }
    }

    /// Counts of codes, each in a bucket around what it stands for.
    pub fn codes(tag: &str, codes: &CodeCounts) -> Self {
        let step = codes.value(1) - codes.value(0);
        let mut buckets =
            Buckets { limits: vec![codes.value(0) - step / 2.0], counts: vec![0.0], ..Buckets::default() };
        for (code, count) in codes.counts.iter().enumerate() {
            let (value, count) = (codes.value(code), *count as f64);
            buckets.limits.push(value + step / 2.0);
            buckets.counts.push(count);
            buckets.sum += count * value;
            buckets.sum_of_squares += count * value * value;
        }
        let present =
            || codes.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(code, _)| code);
        buckets.least = present().next().map_or(0.0, |code| codes.value(code));
        buckets.most = present().next_back().map_or(0.0, |code| codes.value(code));
        Self { tag: tag.to_owned(), value: Value::Histogram(buckets) }
    }

    fn encode(&self) -> Vec<u8> {
        let mut value = Message::default();
        value.bytes(1, self.tag.as_bytes());
        match &self.value {
            Value::Scalar(number) => value.float(2, *number),
            Value::Histogram(buckets) => value.bytes(5, &buckets.encode()),
        }
        let mut message = Message::default();
        message.bytes(1, &value.0);
        message.0
    }
}

impl Buckets {
    fn encode(&self) -> Vec<u8> {
        let mut message = Message::default();
        message.double(1, self.least);
        message.double(2, self.most);
        message.double(3, self.counts.iter().sum());
        message.double(4, self.sum);
        message.double(5, self.sum_of_squares);
        message.doubles(6, &self.limits);
        message.doubles(7, &self.counts);
        message.0
    }
}

/// True for the first event of a file that this program or another has begun.
pub fn is_version(record: &[u8]) -> bool {
    fields(record).is_some_and(|fields| {
        fields
            .iter()
            .any(|(number, field)| *number == FILE_VERSION && *field == Field::Bytes(VERSION.as_bytes()))
    })
}

/// The step of an event, 0 where it names none; nothing for what is no event.
pub fn step(record: &[u8]) -> Option<i64> {
    let step = fields(record)?.into_iter().find_map(|(number, field)| match field {
        Field::Integer(step) if number == STEP => Some(step as i64),
        _ => None,
    });
    Some(step.unwrap_or(0))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field<'a> {
    Integer(u64),
    Fixed,
    Bytes(&'a [u8]),
}

/// The fields of a message with their numbers.
fn fields(mut message: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let field = match key & 7 {
            VARINT => Field::Integer(varint(&mut message)?),
            FIXED_64 => {
                message = message.get(8..)?;
                Field::Fixed
            }
            FIXED_32 => {
                message = message.get(4..)?;
                Field::Fixed
            }
            BYTES => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (bytes, rest) = message.split_at_checked(length)?;
                message = rest;
                Field::Bytes(bytes)
            }
            _ => return None,
        };
        fields.push((key >> 3, field));
    }
    Some(fields)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, number: u64, kind: u64) {
        self.varint(number << 3 | kind);
    }

    fn integer(&mut self, number: u64, value: u64) {
        self.key(number, VARINT);
        self.varint(value);
    }

    fn double(&mut self, number: u64, value: f64) {
        self.key(number, FIXED_64);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, number: u64, value: f32) {
        self.key(number, FIXED_32);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.key(number, BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn doubles(&mut self, number: u64, values: &[f64]) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.bytes(number, &bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_bytes_that_the_format_says() {
        let event =
            Event { wall_time: 1.0, step: 300, version: None, summary: Some(Summary::scalar("a", 0.5)) };
        let wanted = [
            &[0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f][..],
            &[0x10, 0xac, 0x02],
            &[0x2a, 10, 0x0a, 8, 0x0a, 1, b'a', 0x15, 0, 0, 0, 0x3f],
        ];
        assert_eq!(event.encode(), wanted.concat());
        assert_eq!(step(&event.encode()), Some(300));
        assert!(!is_version(&event.encode()) && is_version(&Event::version(2.0).encode()));
        for wrong in [&[0x10][..], &[0x10, 0x80], &[0x2a, 9, 1], &[0x0b], &[0x09, 1, 2], &[0xff; 11]] {
            assert_eq!(step(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn codes_lie_in_buckets_around_their_values() {
        let codes = CodeCounts { bits: 2, signed: true, scale: 1.0, counts: vec![0, 3, 0, 1] };
        let Value::Histogram(buckets) = Summary::codes("a", &codes).value else { panic!("a histogram") };
        assert_eq!(buckets.counts, [0.0, 0.0, 3.0, 0.0, 1.0]);
        assert_eq!((buckets.least, buckets.most, buckets.sum), (-1.0 / 3.0, 1.0, 0.0));
        for (code, pair) in buckets.limits.windows(2).enumerate() {
            assert!(pair[0] < codes.value(code) && codes.value(code) < pair[1], "code {code}");
        }
    }
}
