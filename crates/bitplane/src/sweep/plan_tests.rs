use std::collections::BTreeSet;

use super::*;

fn parse(text: &str) -> Result<Plan, Failure> {
    Plan::parse(text, "plan.toml", "sweeps/plan".into(), &Settings::default())
}

fn names(text: &str) -> Vec<String> {
    parse(text).unwrap().points.into_iter().map(|point| point.name).collect()
}

/// The words of the refusal, whose exit code is that of wrong settings.
#[track_caller]
fn refusal(text: &str) -> String {
    let failure = parse(text).unwrap_err();
    assert_eq!(failure.exit(), crate::exit::Exit::Usage, "{failure}");
    failure.to_string()
}

#[test]
fn lists_make_the_product_with_seeds_innermost() {
    let text =
        "[settings]\nepochs = 2\n[grid]\nseed = [0, 1]\nbits = ['1, 2,4', '8,8,8']\nmodel = 'svhn-d'\n";
    assert_eq!(
        names(text),
        [
            "svhn-d-digits-1-2-4-s0",
            "svhn-d-digits-1-2-4-s1",
            "svhn-d-digits-8-8-8-s0",
            "svhn-d-digits-8-8-8-s1"
        ]
    );
    let plan = parse(text).unwrap();
    assert!(plan.points.iter().all(|point| point.config.epochs == 2) && plan.axes.is_empty());
    assert_eq!(names("[settings]\nmodel = 'svhn-a'"), ["svhn-a-digits-1-2-4-s0"], "no list, one point");
}

#[test]
fn points_stand_beside_the_grid_and_switches_are_named() {
    let text = "
        [grid]
        seed = [0, 1]
        [[point]]
        nesterov = [false, true]
        opt = 'sgd'
        lr-milestones = [[1, 2], [3]]
        [[point]]
        data = ['folder:some/pictures', 'folder:other/']
    ";
    let found = names(text);
    assert_eq!(found.len(), 2 + 4 + 2);
    assert_eq!(found[1], "digits-digits-1-2-4-s1");
    assert_eq!(found[2], "digits-digits-1-2-4-s0-lr-milestones-_1__2_-opt-sgd");
    assert_eq!(found[5], "digits-digits-1-2-4-s0-lr-milestones-_3_-nesterov-opt-sgd");
    assert_eq!(found[6..], ["digits-folder-1-2-4-s0-pictures", "digits-folder-1-2-4-s0-other"]);
    let plan = parse(text).unwrap();
    assert_eq!(plan.axes, ["data", "lr-milestones", "nesterov", "opt"]);
    assert_eq!(plan.points[5].config.lr_milestones, [3]);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let cases = [
        ("[grid]\nbits = ['1,2,4', '1,9,4']", &["line 2", "1,9,4", "1 to 8 or 32"][..]),
        ("[grid]\nseed = [0]\n\n[[point]]\nsed = [1]", &["line 5", "sed"]),
        ("[settings]\n\nepochs = 0", &["line 3", "epochs = 0", "1 to 1000000"]),
        ("[settings]\nlr = nan", &["line 2", "lr = NaN"]),
        ("[settings]\nepochs = 'many'", &["line 2", "epochs", "many"]),
        ("[settings]\nseed = [0, 1]", &["line 2", "seed"]),
        ("[grid]\nseed = []", &["the list of seed is empty"]),
        ("[grid]\nseed = [0, 0]", &["two points digits-digits-1-2-4-s0"]),
        ("[grids]\nseed = [0]", &["line 1", "grids"]),
        ("title = 3", &["title"]),
        ("[grid", &["line 1"]),
        ("[grid]\nmodel = ['none']", &["unknown model `none`"]),
        (
            "[grid]\nseed = [0, 1]\n[[baseline]]\nbits = '32,32,32'",
            &["no point is the baseline bits 32,32,32"],
        ),
        ("[grid]\nseed = [0, 1]\n[[baseline]]\nlern-bits = ''", &["leaves out lern-bits"]),
        (
            "[grid]\nbits = ['1,2,4', '32,32,32']\n[[point]]\nbits = '2,2,4'\ninit-from = '@32,32,32'\ncut-to = '1'",
            &["cut-to needs the folder of a run"],
        ),
        ("published = [{ bits = '1,2,4', accuracy = 97.5 }]", &["0.0 to 1.0"]),
        ("[grid]\nbits-gamma = [0.1, 1.0]", &["--bits-gamma goes with --learn-bits"]),
    ];
    for (text, words) in cases {
        let message = refusal(text);
        for word in words {
            assert!(message.contains(word), "`{word}` is not in: {message}");
        }
    }
    let many: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let many = format!("[grid]\nseed = [{0}]\nepochs = [{0}]", many.join(",").replace("0,1,", "1000,1,"));
    assert!(refusal(&many).contains("more than 10000 points"));
}

#[test]
fn flags_win_but_not_over_what_varies() {
    let flags = Settings { epochs: Some(7), data: Some("cifar10:x".to_owned()), ..Settings::default() };
    let text = "[settings]\nepochs = 2\ndata = 'digits'\n[grid]\nseed = [0, 1]";
    let plan = Plan::parse(text, "plan.toml", "sweeps/plan".into(), &flags).unwrap();
    assert!(
        plan.points.iter().all(|point| point.config.epochs == 7 && point.config.data_kind() == "cifar10")
    );
    let flags = Settings { seed: Some(3), ..Settings::default() };
    let message = Plan::parse(text, "plan.toml", "sweeps/plan".into(), &flags).unwrap_err().to_string();
    assert!(message.contains("--seed is what plan.toml varies"), "{message}");
}

/// What the tables show can be given to a shell.
#[test]
fn the_command_is_the_one_that_was_given() {
    let flags = Settings {
        lr_milestones: Some(vec![2, 3]),
        nesterov: Some(false),
        data: Some("cifar10:my pictures".to_owned()),
        ..Settings::default()
    };
    let plan = Plan::parse("[grid]\nseed = [0]", "plan.toml", "sweeps/plan".into(), &flags).unwrap();
    let found = plan.command();
    for flag in [" --lr-milestones 2,3", " --nesterov false", " --data 'cifar10:my pictures'"] {
        assert!(found.contains(flag), "{flag} is not in {found}");
    }
}

#[test]
fn names_are_no_longer_than_files_may_have_and_still_differ() {
    let names = |folder: &str| -> Vec<String> {
        let settings = format!(
            "init-from = '{0}/a', teacher = '{0}/b', device = '{0}', histograms = [['{0}']]",
            "x".repeat(99)
        );
        let text = format!("[[point]]\n{}\ntensorboard = '{folder}'", settings.replace(", ", "\n"));
        parse(&text).unwrap().points.into_iter().map(|point| point.name).collect()
    };
    let (one, other) = (names("one"), names("other"));
    assert_eq!((one[0].len(), other[0].len()), (200, 200), "{one:?}");
    assert!(one != other && one[0].starts_with("digits-digits-1-2-4-s0"), "{one:?}");
}

#[test]
fn lists_that_are_one_setting_stay_whole() {
    let plan =
        parse("[[point]]\nhistograms = ['conv1', 'conv2']\ndistill-features = ['bn1']\nteacher = 'run'")
            .unwrap();
    assert_eq!(plan.points.len(), 1);
    assert_eq!(plan.points[0].config.histograms, ["conv1", "conv2"]);
}

#[test]
fn a_published_row_is_of_the_usual_model_where_it_names_none() {
    let plan =
        parse("published = [{ bits = '1,2,4', accuracy = 0.9 }]\n[grid]\nbits = ['1,2,4', '2,2,4']").unwrap();
    let found: Vec<_> = plan.points.iter().map(|point| plan.published(&point.group())).collect();
    assert_eq!(found, [Some(0.9), None]);
}

#[test]
fn a_baseline_is_the_group_with_its_settings_in_place() {
    let plan = parse(
        "[grid]\nbits = ['1,2,4', '8,8,8']\nmodel = ['svhn-a', 'svhn-b']\n[[baseline]]\nbits = '8, 8,8'",
    )
    .unwrap();
    let [group, base] = [0, 1].map(|number: usize| plan.points[number].group());
    assert_eq!(with(&group, &plan.baselines[0]), base);
    assert_eq!(inline(&plan.baselines[0]), "bits 8,8,8");
}

/// A base that has none of what the others vary.
#[test]
fn a_baseline_may_leave_settings_out() {
    let plan = parse(
        "[[point]]\nbits = '8,8,32'\n[[point]]\nbits = '8,8,32'\nlearn-bits = 'layer'\nbits-gamma = [0.5, 2.0]\n\
         [[baseline]]\nlearn-bits = ''\nbits-gamma = ''",
    )
    .unwrap();
    assert!(
        plan.points[1..]
            .iter()
            .all(|point| with(&point.group(), &plan.baselines[0]) == plan.points[0].group())
    );
    assert_eq!(inline(&plan.baselines[0]), "bits-gamma off, learn-bits off");
    assert!(plan.has_averages() && !parse("[grid]\nbits = ['1,2,4']").unwrap().has_averages());
    let learned = Plan::read("bitpruning-svhn-d".as_ref(), &Settings::default(), None).unwrap();
    let base = learned.points[0].group();
    assert!(learned.points.iter().all(|point| with(&point.group(), &learned.baselines[0]) == base));
}

#[test]
fn the_programs_own_plans_are_those_of_the_paper_and_its_figures_belong_to_points() {
    let counts = [
        ("digits", 6, 0),
        ("table1", 78, 78),
        ("table2", 15, 15),
        ("table3", 12, 12),
        ("cifar10-svhn-d", 39, 0),
        ("cifar10-svhn-c", 8, 0),
        ("cifar10-gradient-scales", 9, 0),
        ("flexnet-digits", 21, 0),
        ("flexnet-cifar10", 21, 0),
        ("cifar10-first-last", 12, 0),
        ("hbnn-average-bits", 54, 0),
        ("groupnet-cifar10", 57, 0),
        ("bitpruning-svhn-d", 33, 0),
    ];
    assert_eq!(plans::names(), counts.map(|(name, ..)| name));
    for (name, points, published) in counts {
        let plan = Plan::read(name.as_ref(), &Settings::default(), None).unwrap();
        assert_eq!((plan.points.len(), plan.published.len()), (points, published), "{name}");
        let groups: BTreeSet<_> = plan.points.iter().map(Point::group).collect();
        assert_eq!(
            groups.iter().filter(|group| plan.published(group).is_some()).count(),
            published,
            "{name}"
        );
    }
    let table1 = Plan::read("table1".as_ref(), &Settings::default(), None).unwrap();
    let accuracy = |model: &str, bits: &str| {
        let point =
            table1.points.iter().find(|point| point.config.model == model && point.config.bits == bits);
        table1.published(&point.unwrap().group())
    };
    assert_eq!(accuracy("svhn-a", "1,2,4"), Some(0.975));
    assert_eq!(accuracy("svhn-b", "1,4,2"), Some(0.898));
    assert_eq!(accuracy("svhn-d", "8,8,8"), Some(0.955));
    assert!(table1.points.iter().all(|point| point.config.epochs == 200), "the paper's recipe");
}

#[test]
fn points_start_from_points_at_other_bits() {
    let text = "[grid]\nbits = ['1,2,32', '32,32,32']\nseed = [0, 1]\n[[point]]\nbits = '1,2,32'\nseed = [0, 1]\ninit-from = '@32,32,32'";
    let plan = parse(text).unwrap();
    assert_eq!(
        plan.points.iter().map(|point| point.after).collect::<Vec<_>>(),
        [None, None, None, None, Some(2), Some(3)]
    );
    let from = std::path::absolute("sweeps/plan/runs/digits-digits-32-32-32-s1").unwrap();
    assert_eq!(plan.points[5].config.init_from.as_deref(), from.to_str());
    assert_eq!(plan.points[5].name, "digits-digits-1-2-32-s1-init-from-_32_32_32");
    let message = refusal("[[point]]\ninit-from = '@8,8,8'");
    assert!(message.contains("starts from bits 8,8,8"), "{message}");
}
