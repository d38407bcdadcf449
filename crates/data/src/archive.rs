//! Files taken out of a compressed tar archive, in memory.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path};

use tar::Archive;

use crate::error::DataError;
use crate::files::open_file;
use crate::gzip::Gunzip;

/// What an archive may hold at most.
pub(crate) struct Caps {
    /// Entries of any kind.
    pub(crate) entries: usize,
    /// Bytes after decompression, headers and padding included.
    pub(crate) bytes: u64,
}

/// A file to take, recognized by its name in any folder of the archive.
pub(crate) struct Wanted<'a> {
    /// File name without folders.
    pub(crate) name: &'a str,
    /// Largest size.
    pub(crate) limit: u64,
}

/// The content of each wanted file, or `None` where the archive does not hold it.
///
/// Only regular files under relative paths without `..` count; links, folders, devices and extension headers are
/// passed over. Nothing is written, so a name from the archive is only ever compared.
pub(crate) fn read_tar_gz(
    path: &Path,
    wanted: &[Wanted],
    caps: &Caps,
) -> Result<Vec<Option<Vec<u8>>>, DataError> {
    let (file, _) = open_file(path, "a .tar.gz archive or the folder unpacked from it")?;
    let mut reader = BufReader::new(file);
    let unreadable = |source| DataError::Unreadable { path: path.to_owned(), source };
    if !reader.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]) {
        return Err(bad(path, "it is not gzip-compressed; give a .tar.gz or the unpacked folder".to_owned()));
    }
    let mut stream = Gunzip::new(reader, caps.bytes);
    let mut found: Vec<Option<Vec<u8>>> = wanted.iter().map(|_| None).collect();
    let result = take_entries(path, &mut stream, wanted, caps, &mut found)
        // What follows the end mark is read as well: only at its end is the stream known to be whole.
        .and_then(|()| io::copy(&mut stream, &mut io::sink()).map_err(Failure::Stream));
    match result {
        Ok(_) => Ok(found),
        Err(Failure::Refused(error)) => Err(error),
        Err(Failure::Stream(error)) if stream.has_fault() || error.raw_os_error().is_some() => {
            Err(stream.fault(path, error))
        }
        Err(Failure::Stream(error)) => Err(bad(path, error.to_string())),
    }
}

enum Failure {
    Stream(io::Error),
    Refused(DataError),
}

fn take_entries(
    path: &Path,
    stream: &mut Gunzip<BufReader<std::fs::File>>,
    wanted: &[Wanted],
    caps: &Caps,
    found: &mut [Option<Vec<u8>>],
) -> Result<(), Failure> {
    let mut archive = Archive::new(stream);
    let too_large = |what: String, limit: String| {
        Failure::Refused(DataError::TooLarge { path: path.to_owned(), what, limit })
    };
    let mut total = 0u64;
    // Raw entries: extension headers come as entries of their own and cannot rename or resize the next one.
    for (count, entry) in archive.entries().map_err(Failure::Stream)?.raw(true).enumerate() {
        let mut entry = entry.map_err(Failure::Stream)?;
        if count >= caps.entries {
            return Err(too_large("the number of entries".to_owned(), format!("{} entries", caps.entries)));
        }
        // Sizes are added up before anything is skipped, so a bomb is not even inflated.
        total = total.saturating_add(entry.size());
        if total > caps.bytes {
            return Err(too_large("the sum of its entries".to_owned(), format!("{} bytes", caps.bytes)));
        }
        let Some(index) = index_of(&entry, wanted) else { continue };
        let Wanted { name, limit } = wanted[index];
        if entry.size() > limit {
            return Err(too_large(format!("{name} ({} bytes)", entry.size()), format!("{limit} bytes")));
        }
        if found[index].is_some() {
            return Err(Failure::Refused(bad(path, format!("it holds {name} twice"))));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(Failure::Stream)?;
        if bytes.len() as u64 != entry.size() {
            return Err(Failure::Refused(bad(path, format!("it ends inside {name}"))));
        }
        found[index] = Some(bytes);
    }
    Ok(())
}

/// The wanted file that this entry is, if any.
fn index_of<R: Read>(entry: &tar::Entry<R>, wanted: &[Wanted]) -> Option<usize> {
    if !entry.header().entry_type().is_file() {
        return None;
    }
    let path = entry.path().ok()?;
    let plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let name = path.file_name().filter(|_| plain)?;
    wanted.iter().position(|file| name == file.name)
}

fn bad(path: &Path, reason: String) -> DataError {
    DataError::BadArchive { path: path.to_owned(), reason }
}

/// An archive of entries (type, name, content), with names written as they are.
#[cfg(test)]
pub(crate) fn build(entries: &[(tar::EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, name, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tar::EntryType;

    use super::*;
    use crate::gzip::compress;

    const CAPS: Caps = Caps { entries: 20, bytes: 1 << 16 };

    fn take(tar_gz: &[u8], caps: &Caps) -> Result<Vec<Option<Vec<u8>>>, DataError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar.gz");
        fs::write(&path, tar_gz).unwrap();
        let result =
            read_tar_gz(&path, &[Wanted { name: "x", limit: 100 }, Wanted { name: "y", limit: 5 }], caps);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing may be written");
        result
    }

    fn take_tar(entries: &[(EntryType, &str, &[u8])]) -> Result<Vec<Option<Vec<u8>>>, DataError> {
        take(&compress(&build(entries)), &CAPS)
    }

    #[test]
    fn files_are_found_in_any_folder() {
        let entries: [(_, _, &[u8]); 4] = [
            (EntryType::Directory, "sub/", b""),
            (EntryType::Regular, "sub/y", b"why"),
            (EntryType::Regular, "./x", b""),
            (EntryType::Regular, "other", b"other"),
        ];
        assert_eq!(take_tar(&entries).unwrap(), [Some(vec![]), Some(b"why".to_vec())]);
    }

    #[test]
    fn links_traversal_and_extensions_are_passed_over() {
        let entries: [(_, _, &[u8]); 8] = [
            (EntryType::Regular, "../../x", b"evil"),
            (EntryType::Regular, "/x", b"evil"),
            (EntryType::Regular, "a/../x", b"evil"),
            (EntryType::Symlink, "x", b""),
            (EntryType::Directory, "x", b""),
            (EntryType::Link, "x", b""),
            (EntryType::XHeader, "pax", b"10 path=x\n"),
            (EntryType::Regular, "renamed-by-pax", b"evil"),
        ];
        assert_eq!(take_tar(&entries).unwrap(), [None, None]);
        // A PAX size that disagrees with the header does not count either.
        let entries: [(_, _, &[u8]); 2] =
            [(EntryType::XHeader, "pax", b"12 size=999\n"), (EntryType::Regular, "x", b"good")];
        assert_eq!(take_tar(&entries).unwrap()[0].as_deref(), Some(&b"good"[..]));
    }

    #[test]
    fn caps_hold() {
        let empty = [(EntryType::Regular, "e", &b""[..]); 21];
        assert!(take_tar(&empty[..20]).is_ok());
        assert!(matches!(take_tar(&empty), Err(DataError::TooLarge { .. })));
        assert!(matches!(take_tar(&[(EntryType::Regular, "y", b"longer")]), Err(DataError::TooLarge { .. })));
        let zeros = vec![0; 1 << 16];
        assert!(matches!(take_tar(&[(EntryType::Regular, "z", &zeros)]), Err(DataError::TooLarge { .. })));
        // A header that announces 2^62 bytes is refused by its size, not by reading.
        let mut tar = build(&[(EntryType::Regular, "z", b"")]);
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(1 << 62);
        header.set_cksum();
        tar[..512].copy_from_slice(header.as_bytes());
        assert!(matches!(take(&compress(&tar), &CAPS), Err(DataError::TooLarge { .. })));
    }

    #[test]
    fn damage_is_refused() {
        let tar = build(&[(EntryType::Regular, "x", b"good")]);
        let whole = compress(&tar);
        assert!(take(&whole, &CAPS).is_ok());
        for cut in 2..whole.len() {
            let error = take(&whole[..cut], &CAPS).unwrap_err();
            assert!(matches!(error, DataError::TruncatedGzip { .. }), "cut at {cut}: {error}");
        }
        let trailing = [&whole[..], b"tail"].concat();
        assert!(matches!(take(&trailing, &CAPS), Err(DataError::TrailingGarbage { .. })));
        assert!(matches!(take(&compress(&tar[..514]), &CAPS), Err(DataError::BadArchive { .. })));
        assert!(matches!(take(&compress(&tar[..300]), &CAPS), Err(DataError::BadArchive { .. })));
        assert!(matches!(take(&tar, &CAPS), Err(DataError::BadArchive { .. })));
        let mut flipped = tar.clone();
        flipped[0] ^= 1;
        assert!(matches!(take(&compress(&flipped), &CAPS), Err(DataError::BadArchive { .. })));
        let twice = [(EntryType::Regular, "x", &b"1"[..]), (EntryType::Regular, "b/x", b"2")];
        let text = take_tar(&twice).unwrap_err().to_string();
        assert!(text.contains("holds x twice"), "{text}");
    }
}
