//! The store under crashes, damage and foreign content.

use super::*;
use crate::checkpoint::tests::sample;
use crate::storage::{Disk, faulty::FaultyDisk};
use std::fs;

fn at(epoch: u32) -> Checkpoint {
    let mut checkpoint = sample(epoch * 10);
    checkpoint.position.epoch = epoch;
    checkpoint.position.step_in_epoch = 0;
    checkpoint
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn last_previous_and_best_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&Disk, folder.path()).unwrap();
    for epoch in 1..=5 {
        store.save(&at(epoch), epoch == 2).unwrap();
    }
    let files = ["epoch-0002.safetensors", "epoch-0004.safetensors", "epoch-0005.safetensors", MANIFEST];
    assert_eq!(names(folder.path()), files);
    let store = Store::open(&Disk, folder.path()).unwrap();
    let epoch = |which| store.load(&which, &at(1).identity).unwrap().checkpoint.position.epoch;
    assert_eq!([Which::Last, Which::Best, Which::File(files[1].into())].map(epoch), [5, 2, 4]);
    assert!(matches!(
        store.load(&Which::File("epoch-0003.safetensors".into()), &at(1).identity),
        Err(StoreError::Unlisted { .. })
    ));
}

#[test]
fn rewinding_drops_what_came_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&Disk, folder.path()).unwrap();
    for epoch in 1..=4 {
        store.save(&at(epoch), epoch == 1 || epoch == 4).unwrap();
    }
    let mut position = Position { best: Some(Best { epoch: 1, correct: 1, total: 2 }), ..at(3).position };
    store.rewind("epoch-0003.safetensors", &mut position).unwrap();
    assert_eq!(names(folder.path()), ["epoch-0003.safetensors", MANIFEST]);
    assert_eq!((store.manifest().unwrap().best.as_ref(), position.best), (None, None));
}

/// The best checkpoint by then is the best again.
#[test]
fn rewinding_finds_the_best_of_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&Disk, folder.path()).unwrap();
    for epoch in 1..=3 {
        store.save(&at(epoch), true).unwrap();
    }
    let best = Some(Best { epoch: 2, correct: 1, total: 2 });
    let mut position = Position { best, ..at(2).position };
    store.rewind("epoch-0002.safetensors", &mut position).unwrap();
    assert_eq!(store.manifest().unwrap().best.as_deref(), Some("epoch-0002.safetensors"));
    assert_eq!(position.best, best);
}

#[test]
fn a_damaged_last_checkpoint_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&Disk, folder.path()).unwrap();
    let first = store.save(&at(1), true).unwrap();
    let second = store.save(&at(2), false).unwrap();
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    flip(&second);
    let loaded = store.load(&Which::Last, &at(1).identity).unwrap();
    assert_eq!((loaded.checkpoint.position.epoch, loaded.warnings.len()), (1, 1));
    assert!(loaded.warnings[0].contains("SHA-256"), "{}", loaded.warnings[0]);
    flip(&first);
    assert!(matches!(store.load(&Which::Last, &at(1).identity), Err(StoreError::NoneValid { .. })));
    fs::remove_file(&first).unwrap();
    let error = store.load(&Which::Best, &at(1).identity).err().unwrap();
    assert!(error.to_string().contains("is missing"), "{error}");
}

#[test]
fn a_checkpoint_cut_anywhere_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&Disk, folder.path()).unwrap();
    store.save(&at(1), true).unwrap();
    let last = store.save(&at(2), false).unwrap();
    let whole = fs::read(&last).unwrap();
    for percent in 0..100 {
        fs::write(&last, &whole[..whole.len() * percent / 100]).unwrap();
        let loaded = store.load(&Which::Last, &at(1).identity).unwrap();
        assert_eq!(loaded.checkpoint.position.epoch, 1, "cut at {percent} %");
        assert!(loaded.warnings[0].contains("epoch-0002"), "{:?}", loaded.warnings);
    }
    fs::write(&last, whole).unwrap();
    assert_eq!(store.load(&Which::Last, &at(1).identity).unwrap().checkpoint.position.epoch, 2);
}

#[test]
fn names_that_lead_elsewhere_and_other_formats_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(&Disk, folder.path()).unwrap().save(&at(1), true).unwrap();
    let path = folder.path().join(MANIFEST);
    let text = fs::read_to_string(&path).unwrap();
    for (from, to) in [("epoch-0001", "../epoch-0001"), ("\"format\": 1", "\"format\": 2"), ("{", "[")] {
        fs::write(&path, text.replace(from, to)).unwrap();
        assert!(matches!(Store::open(&Disk, folder.path()), Err(StoreError::Manifest { .. })), "{to}");
    }
}

/// Crashes a save at every call, with no or some bytes written, and looks at what a restart finds.
#[test]
fn the_previous_or_the_new_checkpoint_survives_every_crash() {
    for partial in [None, Some(0), Some(100)] {
        for earlier in [1, 2, 4] {
            let mut outcomes = [0, 0];
            for fail_at in 0.. {
                let folder = tempfile::tempdir().unwrap();
                let mut store = Store::open(&Disk, folder.path()).unwrap();
                for epoch in 1..=earlier {
                    store.save(&at(epoch), epoch == 1).unwrap();
                }
                let disk = FaultyDisk::new(fail_at, partial);
                let mut failing =
                    Store { storage: &disk, folder: folder.path().to_owned(), manifest: store.manifest };
                let saved = failing.save(&at(earlier + 1), true).is_ok();
                let after = Store::open(&Disk, folder.path()).unwrap();
                let last = after.load(&Which::Last, &at(1).identity).unwrap();
                assert!(last.warnings.is_empty(), "call {fail_at}: {:?}", last.warnings);
                let epoch = last.checkpoint.position.epoch;
                assert!(epoch == earlier + 1 || (!saved && epoch == earlier), "call {fail_at}: {epoch}");
                after.load(&Which::Best, &at(1).identity).unwrap();
                outcomes[usize::from(epoch > earlier)] += 1;
                if disk.calls() <= fail_at {
                    break;
                }
            }
            assert!(outcomes[0] >= 4 && outcomes[1] >= 2, "{outcomes:?}");
        }
    }
}
