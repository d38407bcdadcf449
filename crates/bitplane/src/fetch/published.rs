//! The public data sets: where they are published, and the size and SHA-256 of every file.

use std::path::Path;

use serde::Deserialize;

use super::FetchError;
use crate::output::{printable_lines, shown};
use crate::storage::{Disk, Storage, StorageError};

/// Largest manifest in bytes.
const MANIFEST_LIMIT: u64 = 1 << 20;
/// Largest file that a manifest may name, in bytes.
const FILE_LIMIT: u64 = 1 << 40;

/// A data set to fetch.
#[derive(Clone, Debug)]
pub struct Published {
    /// The reader's name.
    pub name: &'static str,
    /// Addresses of the folder with its files, the first preferred.
    pub bases: Vec<String>,
    /// Its files.
    pub files: Vec<Pinned>,
    /// The file in its folder that the reader takes; the folder where absent.
    pub entry: Option<&'static str>,
}

/// A file whose content is known.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// File name, also in the address.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// Name, addresses, files and entry of a set, as [`Published`].
struct Entry {
    name: &'static str,
    bases: &'static [&'static str],
    files: &'static [(&'static str, u64, &'static str)],
    entry: Option<&'static str>,
}

const SETS: &[Entry] = &[
    Entry {
        name: "svhn",
        // The publisher's own address is plain HTTP; the sums decide what is kept.
        bases: &["https://ufldl.stanford.edu/housenumbers", "http://ufldl.stanford.edu/housenumbers"],
        files: &[
            (
                "test_32x32.mat",
                64_275_384,
                "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
            ),
            (
                "train_32x32.mat",
                182_040_794,
                "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
            ),
            (
                "extra_32x32.mat",
                1_329_278_602,
                "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
            ),
        ],
        entry: None,
    },
    Entry {
        name: "cifar10",
        bases: &["https://www.cs.toronto.edu/~kriz"],
        files: &[(
            "cifar-10-binary.tar.gz",
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        )],
        entry: Some("cifar-10-binary.tar.gz"),
    },
    Entry {
        name: "cifar100",
        bases: &["https://www.cs.toronto.edu/~kriz"],
        files: &[(
            "cifar-100-binary.tar.gz",
            168_513_733,
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        )],
        entry: Some("cifar-100-binary.tar.gz"),
    },
    Entry {
        name: "mnist",
        bases: &[
            "https://storage.googleapis.com/cvdf-datasets/mnist",
            "https://ossci-datasets.s3.amazonaws.com/mnist",
        ],
        files: &[
            (
                "train-images-idx3-ubyte.gz",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            (
                "train-labels-idx1-ubyte.gz",
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            (
                "t10k-images-idx3-ubyte.gz",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            (
                "t10k-labels-idx1-ubyte.gz",
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ],
        entry: None,
    },
    Entry {
        name: "fashion-mnist",
        bases: &[
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        ],
        files: &[
            (
                "train-images-idx3-ubyte.gz",
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            (
                "train-labels-idx1-ubyte.gz",
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            (
                "t10k-images-idx3-ubyte.gz",
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            (
                "t10k-labels-idx1-ubyte.gz",
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ],
        entry: None,
    },
];

/// Names of all sets.
pub fn names() -> Vec<&'static str> {
    SETS.iter().map(|set| set.name).collect()
}

/// The set `name`.
///
/// # Errors
/// [`FetchError::Unknown`].
pub fn find(name: &str) -> Result<Published, FetchError> {
    let set = SETS.iter().find(|set| set.name == name);
    let set = set.ok_or_else(|| FetchError::Unknown { name: name.to_owned() })?;
    let pinned = |&(name, bytes, sha256): &(&str, u64, &str)| Pinned {
        name: name.to_owned(),
        bytes,
        sha256: sha256.to_owned(),
    };
    Ok(Published {
        name: set.name,
        bases: set.bases.iter().map(|&base| base.to_owned()).collect(),
        files: set.files.iter().map(pinned).collect(),
        entry: set.entry,
    })
}

/// The file that the reader of the fetched set `kind` takes within its folder, and the set's name; none for a set that is
/// not fetched.
pub(super) fn entry(kind: &str) -> Option<(&'static str, Option<&'static str>)> {
    let name = if kind == "svhn-core" { "svhn" } else { kind };
    SETS.iter().find(|set| set.name == name).map(|set| (set.name, set.entry))
}

/// The files that the TOML file at `path` lists in place of the published ones: `[[file]]` with `name`, `bytes`, `sha256`.
///
/// # Errors
/// [`FetchError::Manifest`] where it is not that, [`FetchError::Storage`].
pub fn manifest(path: &Path) -> Result<Vec<Pinned>, FetchError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Manifest {
        file: Vec<Pinned>,
    }
    let refused = |reason: String| FetchError::Manifest { file: shown(path), reason };
    let bytes = Disk.read(path, MANIFEST_LIMIT).map_err(StorageError::at("read", path))?;
    let text = String::from_utf8(bytes).map_err(|_| refused("it is not UTF-8 text".to_owned()))?;
    let Manifest { file: files } =
        toml::from_str(&text).map_err(|error| refused(printable_lines(&error.to_string())))?;
    for file in &files {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if file.name.is_empty() || file.name.starts_with('.') || !file.name.chars().all(is_plain) {
            let name = data::printable(&file.name);
            return Err(refused(format!("`{name}` is no file name of letters, digits, `.`, `_` and `-`")));
        }
        if file.sha256.len() != 64 || !file.sha256.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
            return Err(refused(format!("the sha256 of {} is not 64 digits 0-9, a-f", file.name)));
        }
        if file.bytes == 0 || file.bytes > FILE_LIMIT {
            return Err(refused(format!(
                "{} has {} bytes, allowed are 1 to {FILE_LIMIT}",
                file.name, file.bytes
            )));
        }
    }
    if files.is_empty() {
        return Err(refused("it lists no file".to_owned()));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_file_is_pinned() {
        for name in names() {
            let set = find(name).unwrap();
            assert!(set.bases[0].starts_with("https://"), "{name}");
            for file in &set.files {
                assert_eq!(file.sha256.len(), 64, "{name}");
                assert!(file.sha256.chars().all(|c| c.is_ascii_hexdigit()) && file.bytes > 0, "{name}");
            }
            assert!(set.entry.is_none_or(|entry| set.files.iter().any(|file| file.name == entry)), "{name}");
            // What is fetched can be read.
            let spec = format!("{name}:PATH");
            assert!(data::known_specs().contains(&spec), "{spec}");
        }
        assert!(find("imagenet").is_err());
    }

    #[test]
    fn manifests_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.toml");
        let sum = "a".repeat(64);
        let read = |name: &str, bytes: u64, sum: &str| {
            let text = format!("[[file]]\nname = \"{name}\"\nbytes = {bytes}\nsha256 = \"{sum}\"\n");
            std::fs::write(&path, text).unwrap();
            manifest(&path)
        };
        let good = read("a_1.mat", 7, &sum).unwrap();
        assert_eq!(good, [Pinned { name: "a_1.mat".to_owned(), bytes: 7, sha256: sum.clone() }]);
        for name in ["", "../a", "a/b", ".hidden", "a b", "a\\\\b"] {
            assert!(matches!(read(name, 7, &sum), Err(FetchError::Manifest { .. })), "{name}");
        }
        assert!(read("a", 0, &sum).is_err() && read("a", 7, "abc").is_err());
        assert!(read("a", 7, &"A".repeat(64)).is_err());
        std::fs::write(&path, "file = []").unwrap();
        assert!(manifest(&path).is_err());
    }
}
