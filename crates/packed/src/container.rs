//! The safetensors container: a length, a JSON header, and the tensors' bytes. Nothing in it is taken on trust, and nothing
//! is allocated for what it claims before it was found to be true.

use std::{collections::BTreeMap, fmt, io::Read};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};

use crate::Error;

/// The longest header.
pub const HEADER_LIMIT: u64 = 1 << 20;
/// The most bytes of tensors.
pub const DATA_LIMIT: u64 = 1 << 30;
/// The most tensors.
pub const TENSOR_LIMIT: usize = 4096;
/// The longest name, in printable ASCII.
pub const NAME_LIMIT: usize = 256;

/// Type of a tensor's elements, in the order of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Dtype {
    /// 32-bit floats.
    F32,
    /// 32-bit integers.
    I32,
    /// Bytes.
    U8,
}

impl Dtype {
    /// Bytes of an element.
    pub fn size(self) -> u64 {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::U8 => 1,
        }
    }
}

/// Where a tensor lies.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub dtype: Dtype,
    pub shape: Vec<u64>,
    pub data_offsets: [u64; 2],
}

impl Entry {
    fn bytes(&self) -> Option<u64> {
        self.shape.iter().try_fold(self.dtype.size(), |bytes, &size| bytes.checked_mul(size))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    packed_network: String,
    sha256: String,
}

/// A header whose tensors follow each other without a gap.
#[derive(Debug)]
pub struct Header {
    /// The network's description.
    pub manifest: String,
    /// SHA-256 of the description and the data, in hexadecimal.
    pub sha256: String,
    pub entries: BTreeMap<String, Entry>,
}

struct Tensors {
    metadata: Option<Metadata>,
    entries: BTreeMap<String, Entry>,
}

impl<'de> Deserialize<'de> for Tensors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Tensors;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tensors, A::Error> {
                let mut found = Tensors { metadata: None, entries: BTreeMap::new() };
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        if found.metadata.replace(map.next_value()?).is_some() {
                            return Err(A::Error::custom("`__metadata__` occurs twice"));
                        }
                        continue;
                    }
                    if name.len() > NAME_LIMIT || !name.chars().all(|c| matches!(c, ' '..='~')) {
                        return Err(A::Error::custom("a tensor's name is too long or not printable ASCII"));
                    }
                    if found.entries.len() == TENSOR_LIMIT {
                        return Err(A::Error::custom(format!("more than {TENSOR_LIMIT} tensors")));
                    }
                    let entry = map.next_value()?;
                    if let Some(_twice) = found.entries.insert(name.clone(), entry) {
                        return Err(A::Error::custom(format!("tensor `{name}` occurs twice")));
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Reads the header of a file of `len` bytes; the data follows in `reader`.
pub fn read_header(reader: &mut impl Read, len: u64) -> Result<Header, Error> {
    let mut prefix = [0; 8];
    if len < 8 {
        return Err(Error::malformed(format!("{len} bytes, shorter than the 8 bytes before its header")));
    }
    reader.read_exact(&mut prefix).map_err(Error::Io)?;
    let claimed = u64::from_le_bytes(prefix);
    if claimed > HEADER_LIMIT || claimed > len - 8 {
        let message = format!(
            "its header claims {claimed} bytes, of {len} in the file; at most {HEADER_LIMIT} are read"
        );
        return Err(Error::malformed(message));
    }
    let data = len - 8 - claimed;
    if data > DATA_LIMIT {
        return Err(Error::malformed(format!("{data} bytes of tensors, at most {DATA_LIMIT} are read")));
    }
    let mut text = Vec::new();
    reader.take(claimed).read_to_end(&mut text).map_err(Error::Io)?;
    let text = std::str::from_utf8(&text).map_err(|_| Error::malformed("its header is not UTF-8"))?;
    let Tensors { metadata, entries } = serde_json::from_str(text)
        .map_err(|error| Error::malformed(format!("its header cannot be understood: {error}")))?;
    let Some(Metadata { packed_network, sha256 }) = metadata else {
        return Err(Error::malformed("it has no `__metadata__`; another program wrote this file"));
    };
    check_places(&entries, data)?;
    Ok(Header { manifest: packed_network, sha256, entries })
}

/// Every tensor begins where the one before ends, and the last ends with the file.
fn check_places(entries: &BTreeMap<String, Entry>, data: u64) -> Result<(), Error> {
    let mut places: Vec<_> = entries.iter().map(|(name, entry)| (entry.data_offsets, name, entry)).collect();
    places.sort_unstable_by_key(|(offsets, name, _)| (*offsets, *name));
    let mut end = 0;
    for ([first, last], name, entry) in places {
        let bytes = entry.bytes().ok_or_else(|| Error::tensor(name, "has sizes whose product overflows"))?;
        if first != end || last.checked_sub(first) != Some(bytes) {
            let message = format!("lies at {first}..{last}, not at {bytes} bytes from {end} on");
            return Err(Error::tensor(name, message));
        }
        end = last;
    }
    if end != data {
        return Err(Error::malformed(format!("its tensors take {end} bytes, the file has {data} for them")));
    }
    Ok(())
}

/// The digest of a description and the data behind the header.
pub fn digest(manifest: &str, data: &[u8]) -> String {
    let mut hash = hmac_sha256::Hash::new();
    hash.update(manifest.as_bytes());
    hash.update(data);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file of tensors given in the order of their places.
pub fn write(manifest: &str, tensors: &[(String, Dtype, Vec<u64>, Vec<u8>)]) -> Vec<u8> {
    let quoted = |text: &str| serde_json::to_string(text).expect("text is JSON");
    let data: Vec<u8> = tensors.iter().flat_map(|(.., bytes)| bytes).copied().collect();
    let (text, sha256) = (quoted(manifest), digest(manifest, &data));
    let mut header = format!("{{\"__metadata__\":{{\"packed_network\":{text},\"sha256\":\"{sha256}\"}}");
    let mut first = 0;
    for (name, dtype, shape, bytes) in tensors {
        let last = first + bytes.len();
        let (name, places) = (quoted(name), format!("[{first},{last}]"));
        header.push_str(&format!(
            ",{name}:{{\"dtype\":\"{dtype:?}\",\"shape\":{shape:?},\"data_offsets\":{places}}}"
        ));
        first = last;
    }
    header.push('}');
    // Spaces let the data begin at a multiple of eight bytes.
    let padded = header.len().next_multiple_of(8);
    header.extend(std::iter::repeat_n(' ', padded - header.len()));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(&data);
    file
}
