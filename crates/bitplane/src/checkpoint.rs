//! One checkpoint: a safetensors file that holds everything a bit-identical continuation needs.
//!
//! The tensors are the session's state (parameters, running statistics, optimizer state) in f32. One metadata entry,
//! `bitplane`, is a JSON text with [`Identity`] and [`Position`]. Nothing of time, place or adapter goes in, so equal
//! trainings give equal bytes.

use std::collections::{HashMap, HashSet};
use std::fmt;

use graph::NamedTensor;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::identity::Identity;
use crate::position::Position;

/// Version of the layout described above.
pub const FORMAT: u32 = 1;

const METADATA_KEY: &str = "bitplane";
const HEADER_LIMIT: u64 = 8 << 20;
const TENSOR_LIMIT: usize = 20_000;
const NAME_LIMIT: usize = 256;
const SIZES_LIMIT: usize = 8;
/// What safetensors calls its entry that is no tensor.
const METADATA_NAME: &str = "__metadata__";

/// Everything needed to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What it belongs to.
    pub identity: Identity,
    /// How far training has come.
    pub position: Position,
    /// The session's state.
    pub tensors: Vec<NamedTensor>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    identity: Identity,
    position: Position,
}

/// Why bytes are no usable checkpoint, or a state cannot be saved.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Not a safetensors file, or beyond the limits that are put on one.
    #[error("is not a usable safetensors file: {message}")]
    Malformed {
        /// What is wrong.
        message: String,
    },
    /// Written by another version.
    #[error("has checkpoint format {found}, this program reads {FORMAT}")]
    Format {
        /// The version found.
        found: u32,
    },
    /// A tensor holds a NaN or an infinity.
    #[error("holds a non-finite value in tensor `{tensor}`, element {element}")]
    NonFinite {
        /// Tensor name.
        tensor: String,
        /// Index of the first such value.
        element: usize,
    },
}

fn malformed(message: impl ToString) -> CheckpointError {
    CheckpointError::Malformed { message: data::printable(&message.to_string()) }
}

impl Checkpoint {
    /// The file's bytes, the same for equal content.
    ///
    /// # Errors
    /// [`CheckpointError::NonFinite`] where the state is not worth saving.
    pub fn encode(&self) -> Result<Vec<u8>, CheckpointError> {
        self.check_finite()?;
        let header = Header { format: FORMAT, identity: self.identity.clone(), position: self.position };
        let header = serde_json::to_string(&header).map_err(malformed)?;
        let payloads: Vec<Vec<u8>> = self
            .tensors
            .iter()
            .map(|tensor| tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect())
            .collect();
        let views = self
            .tensors
            .iter()
            .zip(&payloads)
            .map(|(tensor, payload)| {
                let view = TensorView::new(Dtype::F32, tensor.shape.clone(), payload).map_err(malformed)?;
                Ok((tensor.name.as_str(), view))
            })
            .collect::<Result<Vec<_>, CheckpointError>>()?;
        // A single entry, because the map has no order of its own.
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), header)]);
        safetensors::serialize(views, Some(metadata)).map_err(malformed)
    }

    /// Reads the bytes of [`Checkpoint::encode`], taking nothing on trust.
    ///
    /// # Errors
    /// [`CheckpointError`] says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let checkpoint = Self::decode_any(bytes)?;
        checkpoint.check_finite()?;
        Ok(checkpoint)
    }

    /// As [`Checkpoint::decode`], but for values that are not finite, which pass.
    ///
    /// # Errors
    /// [`CheckpointError`] says what is wrong.
    pub fn decode_any(bytes: &[u8]) -> Result<Self, CheckpointError> {
        check_header_size(bytes)?;
        check_entries(bytes)?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
        let names = metadata.offset_keys();
        let header =
            metadata.metadata().as_ref().and_then(|entries| entries.get(METADATA_KEY)).ok_or_else(|| {
                malformed("the `bitplane` entry is missing; another program wrote this file")
            })?;
        // The version decides how the rest is to be read.
        let format = serde_json::from_str::<serde_json::Value>(header).map_err(malformed)?["format"].as_u64();
        if format != Some(u64::from(FORMAT)) {
            let found = format.and_then(|format| u32::try_from(format).ok()).unwrap_or(0);
            return Err(CheckpointError::Format { found });
        }
        let header: Header = serde_json::from_str(header).map_err(malformed)?;
        let file = SafeTensors::deserialize(bytes).map_err(malformed)?;
        let tensors = names
            .into_iter()
            .map(|name| {
                let view = file.tensor(&name).map_err(malformed)?;
                if view.dtype() != Dtype::F32 {
                    return Err(malformed(format!("tensor `{name}` is not f32")));
                }
                let values =
                    view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
                Ok(NamedTensor { name, shape: view.shape().to_vec(), values })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { identity: header.identity, position: header.position, tensors })
    }

    fn check_finite(&self) -> Result<(), CheckpointError> {
        self.tensors.iter().try_for_each(check_finite)
    }
}

/// Refuses a tensor with a value that is not finite.
///
/// # Errors
/// [`CheckpointError::NonFinite`] names the first.
pub fn check_finite(tensor: &NamedTensor) -> Result<(), CheckpointError> {
    match tensor.values.iter().position(|value| !value.is_finite()) {
        Some(element) => Err(CheckpointError::NonFinite { tensor: tensor.name.clone(), element }),
        None => Ok(()),
    }
}

/// Refuses a header that is too long before anything parses it.
fn check_header_size(bytes: &[u8]) -> Result<(), CheckpointError> {
    let length = bytes.first_chunk::<8>().map(|word| u64::from_le_bytes(*word));
    let length = length.ok_or_else(|| malformed("shorter than its 8-byte prefix"))?;
    if length > HEADER_LIMIT || length > bytes.len() as u64 - 8 {
        return Err(malformed(format!("its header claims {length} bytes")));
    }
    Ok(())
}

/// Refuses a header with too many entries or sizes, or one name twice, before anything is allocated for it.
fn check_entries(bytes: &[u8]) -> Result<(), CheckpointError> {
    let length = bytes.first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word)) as usize;
    let _: Entries = serde_json::from_slice(&bytes[8..8 + length]).map_err(malformed)?;
    Ok(())
}

/// A header's entries, of which nothing is kept.
struct Entries;

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut names = HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name.len() > NAME_LIMIT || !name.chars().all(|c| matches!(c, ' '..='~')) {
                        return Err(A::Error::custom("a tensor's name is too long or not printable ASCII"));
                    }
                    if names.len() > TENSOR_LIMIT {
                        return Err(A::Error::custom(format!("more than {TENSOR_LIMIT} tensors")));
                    }
                    if name == METADATA_NAME {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        map.next_value::<TensorEntry>()?;
                    }
                    if let Some(name) = names.replace(name) {
                        return Err(A::Error::custom(format!("`{name}` occurs twice")));
                    }
                }
                Ok(Entries)
            }
        }
        deserializer.deserialize_map(Walk)
    }
}

/// A tensor's entry; the crate that reads it later says what is wrong with the rest.
#[derive(Deserialize)]
struct TensorEntry {
    #[serde(rename = "shape")]
    _shape: Sizes,
    #[serde(rename = "data_offsets")]
    _data_offsets: (u64, u64),
}

/// Up to [`SIZES_LIMIT`] numbers.
struct Sizes;

impl<'de> Deserialize<'de> for Sizes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;
        impl<'de> Visitor<'de> for Count {
            type Value = Sizes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of sizes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Sizes, A::Error> {
                let mut count = 0;
                while list.next_element::<u64>()?.is_some() {
                    count += 1;
                    if count > SIZES_LIMIT {
                        return Err(A::Error::custom(format!("a tensor has more than {SIZES_LIMIT} sizes")));
                    }
                }
                Ok(Sizes)
            }
        }
        deserializer.deserialize_seq(Count)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::position::{Best, Sums};

    /// A small checkpoint at global step `step`.
    pub fn sample(step: u32) -> Checkpoint {
        let mut sums = Sums::default();
        sums.add(0.1, 3, 7);
        sums.add(2.3, 1, 7);
        Checkpoint {
            identity: Identity {
                model: "digits".into(),
                bits: [1, 2, 4],
                data: "digits".into(),
                classes: vec!["0".into(), "one \"1\"".into()],
                image: [8, 8, 1],
                seed: 7,
                config_hash: "ab".into(),
            },
            position: Position {
                epoch: 1,
                step_in_epoch: 2,
                step,
                sums,
                best: Some(Best { epoch: 1, correct: 5, total: 9 }),
                plateau: None,
            },
            tensors: vec![
                NamedTensor {
                    name: "conv.weight".into(),
                    shape: vec![2, 2],
                    values: vec![0.1, -0.0, 1e-40, 3e38],
                },
                NamedTensor { name: "conv.bias".into(), shape: vec![1], values: vec![step as f32] },
                NamedTensor { name: "empty".into(), shape: vec![0], values: vec![] },
            ],
        }
    }

    #[test]
    fn bytes_round_trip_and_do_not_depend_on_order() {
        let checkpoint = sample(12);
        let bytes = checkpoint.encode().unwrap();
        let mut found = Checkpoint::decode(&bytes).unwrap();
        assert_eq!(found.encode().unwrap(), bytes);
        let by_name = |a: &NamedTensor, b: &NamedTensor| a.name.cmp(&b.name);
        found.tensors.sort_by(by_name);
        let mut wanted = checkpoint;
        wanted.tensors.sort_by(by_name);
        assert_eq!(found, wanted);
        let bits = |c: &Checkpoint| c.tensors[1].values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&wanted), "also the sign of zero and subnormals");
        assert_eq!(wanted.encode().unwrap(), bytes);
    }

    #[test]
    fn a_non_finite_value_is_neither_written_nor_read() {
        let mut checkpoint = sample(1);
        let bytes = checkpoint.encode().unwrap();
        checkpoint.tensors[0].values[3] = f32::INFINITY;
        assert!(matches!(checkpoint.encode(), Err(CheckpointError::NonFinite { element: 3, .. })));
        let at = bytes.windows(4).rposition(|window| window == 3e38f32.to_le_bytes()).unwrap();
        let mut planted = bytes;
        planted[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        let error = Checkpoint::decode(&planted).unwrap_err();
        assert!(error.to_string().contains("conv.weight"), "{error}");
    }

    #[test]
    fn hostile_files_are_refused() {
        let bytes = sample(1).encode().unwrap();
        for cut in 0..bytes.len() {
            assert!(Checkpoint::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut huge = bytes.clone();
        huge[..8].copy_from_slice(&(1u64 << 63).to_le_bytes());
        assert!(Checkpoint::decode(&huge).is_err());
        let file = |header: &str| {
            let mut file = (header.len() as u64).to_le_bytes().to_vec();
            file.extend_from_slice(header.as_bytes());
            file
        };
        assert!(Checkpoint::decode(&file("{}")).unwrap_err().to_string().contains("another program"));
        let entry = r#"{"__metadata__":{"bitplane":"{\"format\":9}"}}"#;
        assert!(matches!(Checkpoint::decode(&file(entry)), Err(CheckpointError::Format { found: 9 })));
        let overflow =
            r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4]}}"#;
        assert!(Checkpoint::decode(&file(overflow)).is_err());
        let many: String = (0..30_000)
            .map(|i| format!(r#""{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}},"#))
            .collect();
        let many = format!("{{{}}}", many.trim_end_matches(','));
        assert!(
            Checkpoint::decode(&file(&many)).unwrap_err().to_string().contains("more than 20000 tensors")
        );
        let entry = r#"{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
        let (zeros, long) = ("0,".repeat(3 << 20), "n".repeat(300));
        for (header, reason) in [
            (format!(r#"{{"a":{entry},"a":{entry}}}"#), "`a` occurs twice"),
            (r#"{"__metadata__":{},"__metadata__":{}}"#.to_owned(), "occurs twice"),
            (format!(r#"{{"{long}":{entry}}}"#), "too long"),
            (format!(r#"{{"a":{}}}"#, entry.replace("[0]", &format!("[{zeros}0]"))), "more than 8 sizes"),
            (format!(r#"{{"a":{}}}"#, entry.replace("F32", "F99")), "F99"),
            (format!(r#"{{"a":{}}}"#, entry.replace("[0,0]", "[4,8]")), "a"),
            ("[[".repeat(1 << 20), "an object of tensors"),
            (
                r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#
                    .to_owned(),
                "b",
            ),
        ] {
            // Enough bytes behind the header, so that the header is what is wrong.
            let message = Checkpoint::decode(&[file(&header), vec![0; 8]].concat()).unwrap_err().to_string();
            assert!(message.contains(reason), "{reason}: {message}");
        }
        let invalid = [&2u64.to_le_bytes()[..], &[0xff, 0xfe]].concat();
        assert!(Checkpoint::decode(&invalid).is_err());
    }
}
