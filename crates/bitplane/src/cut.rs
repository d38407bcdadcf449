//! What a trained network is cut to, as flags say it.

use std::collections::BTreeMap;
use std::path::Path;

use graph::{Cut, FULL_PRECISION, MAX_BITS};

use crate::cli::CutArgs;
use crate::exit::Failure;
use crate::output::shown;
use crate::storage::{Disk, Storage, StorageError};

/// Largest list of layers in bytes.
const FILE_LIMIT: u64 = 1 << 20;

/// What `--cut-to` says: `K` or `WK,AK`, behind which `LAYER=BITS` may stand.
///
/// # Errors
/// What is allowed, in words.
pub fn parse(text: &str) -> Result<Cut, String> {
    let allowed = |_| format!("K or WK,AK, each 1 to {MAX_BITS}, and LAYER=BITS behind them");
    let end =
        text.split(',').take_while(|entry| !entry.contains('=')).map(|entry| entry.len() + 1).sum::<usize>();
    let (bits, layers) = text.split_at(end.saturating_sub(1).min(text.len()));
    let [weight, activation] = widths(bits).map_err(allowed)?;
    Ok(Cut { weight, activation, layers: listed(layers).map_err(allowed)? })
}

/// The cut that `args` ask for of a network of `widest` bits of weights and activations; none where they ask for none.
///
/// # Errors
/// [`Failure::Usage`] for widths that are no numbers from 1 to 8, a layer named twice, a file that cannot be read.
pub fn read(args: &CutArgs, widest: [u32; 2]) -> Result<Option<Cut>, Failure> {
    if args.bits.is_none() && args.bits_map.is_none() {
        return Ok(None);
    }
    let [weight, activation] = args.bits.as_deref().map_or(Ok(widest), widths)?;
    let layers = args.bits_map.as_deref().map_or(Ok(BTreeMap::new()), layers)?;
    Ok(Some(Cut { weight, activation, layers }))
}

/// Refuses a cut of a network of `widest` bits of weights and activations that has no such upper bits.
///
/// # Errors
/// [`Failure::Usage`] for codes that are none, and for more bits than there are.
pub fn check(cut: &Cut, [weight, activation]: [u32; 2]) -> Result<(), Failure> {
    if cut.weight > weight || cut.activation > activation {
        return usage(format!(
            "the network has {weight} bits of weights and {activation} of activations and cannot be cut to {cut}"
        ));
    }
    if weight.max(activation) == FULL_PRECISION && (cut.weight, cut.activation) != (weight, activation) {
        return usage(
            "weights or activations are in f32, which has no upper bits; --bits-map cuts others".to_owned(),
        );
    }
    Ok(())
}

/// `K`, or `WK,AK`.
fn widths(text: &str) -> Result<[u32; 2], Failure> {
    let numbers: Vec<Option<u32>> = text.split(',').map(width).collect();
    match *numbers.as_slice() {
        [Some(both)] => Ok([both, both]),
        [Some(weight), Some(activation)] => Ok([weight, activation]),
        _ => usage(format!(
            "--bits {} is no width to cut to; write K or WK,AK, each 1 to {MAX_BITS}",
            data::printable(text)
        )),
    }
}

fn width(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|bits| (1..=MAX_BITS).contains(bits))
}

/// `LAYER=BITS` separated by commas, or the name of a file with one on each line.
fn layers(given: &str) -> Result<BTreeMap<String, u32>, Failure> {
    let text = match given.contains('=') {
        true => given.to_owned(),
        false => {
            let path = Path::new(given);
            let bytes = Disk.read(path, FILE_LIMIT).map_err(StorageError::at("read", path))?;
            match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(_) => return usage(format!("{} is not UTF-8 text", shown(path))),
            }
        }
    };
    listed(&text)
}

/// `LAYER=BITS` in the lines of `text`, separated by commas too.
fn listed(text: &str) -> Result<BTreeMap<String, u32>, Failure> {
    let mut layers = BTreeMap::new();
    for entry in text.lines().flat_map(|line| line.split('#').next().unwrap_or("").split(',')) {
        let entry = entry.trim();
        if entry.is_empty() {
            continue;
        }
        let Some((name, bits)) =
            entry.split_once('=').and_then(|(name, bits)| Some((name.trim(), width(bits)?)))
        else {
            let entry = data::printable(entry);
            return usage(format!("--bits-map: `{entry}` is not LAYER=BITS with 1 to {MAX_BITS} bits"));
        };
        if layers.insert(name.to_owned(), bits).is_some() {
            return usage(format!("--bits-map names `{}` twice", data::printable(name)));
        }
    }
    Ok(layers)
}

fn usage<T>(message: String) -> Result<T, Failure> {
    Err(Failure::Usage { message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bits: Option<&str>, map: Option<&str>) -> Result<Option<Cut>, Failure> {
        let [bits, bits_map] = [bits, map].map(|text| text.map(str::to_owned));
        read(&CutArgs { bits, bits_map, reestimate: None }, [4, 3])
    }

    #[test]
    fn widths_and_layers_are_read() {
        assert_eq!(parsed(None, None).unwrap(), None);
        assert_eq!(parsed(Some("2"), None).unwrap(), Some(Cut::uniform(2)));
        let cut = parsed(Some("2,1"), Some("conv1=3, act2 =1")).unwrap().unwrap();
        assert_eq!(cut.to_string(), "2,1,act2=1,conv1=3");
        let cut = parsed(None, Some("conv1=3")).unwrap().unwrap();
        assert_eq!([cut.weight, cut.activation], [4, 3]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("map");
        std::fs::write(&file, "# narrow\nconv1=1\n\nact1=2 # codes\n").unwrap();
        let cut = parsed(None, file.to_str()).unwrap().unwrap();
        assert_eq!(cut.to_string(), "4,3,act1=2,conv1=1");
    }

    #[test]
    fn a_cut_is_read_as_it_is_written() {
        for text in ["3,1", "2,2,act2=1,conv1=3"] {
            assert_eq!(parse(text).map(|cut| cut.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(parse("2, conv1=1").map(|cut| cut.to_string()), Ok("2,2,conv1=1".to_owned()));
        for wrong in ["", "conv1=2", "0", "1,2,3", "2,conv1", "2,conv1=9", ",2"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_width_is_refused() {
        for bits in ["0", "9", "32", "1,2,3", "x", "", "1,"] {
            assert!(matches!(parsed(Some(bits), None), Err(Failure::Usage { .. })), "{bits}");
        }
        for map in ["conv1=0", "conv1=9", "conv1=", "conv1=1,conv1=2", "conv1=1,conv2"] {
            assert!(matches!(parsed(None, Some(map)), Err(Failure::Usage { .. })), "{map}");
        }
        assert!(parsed(None, Some("no such file")).is_err());
    }
}
