use std::fs;

use super::*;
use crate::checkpoint::tests::sample;
use crate::report::{EpochRecord, WidthRecord};
use crate::sweep::plan::Plan;

/// The points of a plan and the folder in which they are trained.
pub fn begun(place: &Path, text: &str) -> (Plan, Folder) {
    let plan = Plan::parse(text, "plan.toml", place.to_owned(), &Settings::default()).unwrap();
    (plan, Folder::open(place).unwrap())
}

/// A run of the point with these accuracies epoch by epoch, whose last checkpoint is that of epoch `saved`.
pub fn trained(folder: &Folder, point: &Point, accuracies: &[f64], saved: u32) {
    let run = folder.run(point);
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join(run::CONFIG), point.config.to_toml()).unwrap();
    let record = |(epoch, &test_accuracy): (u32, &f64)| EpochRecord {
        epoch,
        test_accuracy,
        train_loss: 1.0 / f64::from(epoch),
        images_per_second: 100.0 * f64::from(epoch),
        seconds: 10.0 * f64::from(epoch),
        widths: vec![WidthRecord { bits: 1, test_accuracy: test_accuracy / 2.0, ..WidthRecord::default() }],
        ..EpochRecord::default()
    };
    let line = |record| serde_json::to_string(&record).unwrap() + "\n";
    let lines: String = (1..).zip(accuracies).map(record).map(line).collect();
    fs::write(run.join("metrics.jsonl"), lines).unwrap();
    let mut checkpoint = sample(saved);
    checkpoint.position.epoch = saved;
    checkpoint.position.step_in_epoch = 0;
    Store::open(&Disk, &run::checkpoints(&run)).unwrap().save(&checkpoint, true).unwrap();
}

fn measured(folder: &Folder, point: &Point) -> Measured {
    match folder.state(point) {
        State::Finished(measured) => measured,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_counts_is_what_the_epochs_of_the_plan_measured() {
    let place = tempfile::tempdir().unwrap();
    let (plan, folder) = begun(place.path(), "[settings]\nepochs = 3\n");
    let point = &plan.points[0];
    assert_eq!(folder.state(point), State::Open);
    // A fourth epoch is not the plan's, and of equals the first one is the best.
    trained(&folder, point, &[0.5, 0.75, 0.75, 0.9], 4);
    let found = measured(&folder, point);
    assert_eq!((found.best_accuracy, found.best_epoch), (0.75, 2));
    assert_eq!((found.final_loss, found.images_per_second, found.seconds), (1.0 / 3.0, 200.0, 60.0));
    assert_eq!(found.widths, BTreeMap::from([(1, 0.375)]));
    trained(&folder, point, &[0.5, 0.75, 0.25], 3);
    assert_eq!(measured(&folder, point).widths, BTreeMap::from([(1, 0.375)]), "the highest, not the last");
}

#[test]
fn a_point_without_its_last_checkpoint_or_record_is_open() {
    for (accuracies, saved) in [(&[0.5, 0.6, 0.7][..], 2), (&[0.5, 0.6], 3)] {
        let place = tempfile::tempdir().unwrap();
        let (plan, folder) = begun(place.path(), "[settings]\nepochs = 3\n");
        trained(&folder, &plan.points[0], accuracies, saved);
        assert_eq!(folder.state(&plan.points[0]), State::Open, "{accuracies:?}, {saved}");
        assert!(folder.has_run(&plan.points[0]));
    }
}

#[test]
fn lengths_are_measured_once_they_are_frozen() {
    for (frozen, best, epoch) in [(3, 0.7, 4), (5, 0.9, 2)] {
        let place = tempfile::tempdir().unwrap();
        let settings = format!("epochs = 4\nlearn-bits = 'layer'\nbits-freeze-epoch = {frozen}");
        let (plan, folder) = begun(place.path(), &format!("[settings]\n{settings}\n"));
        trained(&folder, &plan.points[0], &[0.8, 0.9, 0.6, 0.7], 4);
        let found = measured(&folder, &plan.points[0]);
        assert_eq!((found.best_accuracy, found.best_epoch), (best, epoch), "frozen after epoch {frozen}");
    }
}

#[test]
fn another_run_in_the_folder_is_not_the_point() {
    let place = tempfile::tempdir().unwrap();
    let text = |more: &str| format!("[settings]\nepochs = 1\n{more}\n");
    let (plan, folder) = begun(place.path(), &text("limit-test-batches = 4"));
    trained(&folder, &plan.points[0], &[0.5], 1);
    assert!(measured(&folder, &plan.points[0]).best_accuracy > 0.0);
    for (more, named) in [("limit-test-batches = 5", "limit-test-batches"), ("lr = 0.5", "lr")] {
        let (other, _) = begun(place.path(), &text(more));
        assert_eq!(folder.state(&other.points[0]), State::Open, "{more}");
        let conflict = folder.conflict(&other.points[0]).expect(more);
        assert!(conflict.contains("other settings") && conflict.contains(named), "{conflict}");
    }
}

#[test]
fn an_attempt_is_that_of_the_same_settings_until_the_next_begins() {
    let place = tempfile::tempdir().unwrap();
    let (plan, folder) = begun(place.path(), "[settings]\nepochs = 2\n");
    let point = &plan.points[0];
    let attempt = |code| Attempt::new(point, code, "no luck".to_owned());
    for (code, is_final) in [(Exit::Diverged.code(), true), (Exit::Rejected.code(), false)] {
        folder.fail(point, &attempt(Some(code))).unwrap();
        let state = folder.state(point);
        assert_eq!((&state, state.is_final()), (&State::Failed(attempt(Some(code))), is_final));
    }
    for more in ["epochs = 3", "epochs = 2\nlr = 0.5"] {
        let (other, _) = begun(place.path(), &format!("[settings]\n{more}\n"));
        assert_eq!(folder.state(&other.points[0]), State::Open, "{more}");
    }
    folder.begin(point).unwrap();
    assert_eq!(folder.state(point), State::Open, "a training that is killed says nothing");
    trained(&folder, point, &[0.5, 0.6], 2);
    assert!(folder.state(point).is_final());
}
