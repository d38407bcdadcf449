//! Ranges, files and who wins.

use super::*;

fn refused(text: &str) -> String {
    Settings::parse(text, "f.toml").expect_err(text).to_string()
}

#[test]
fn a_file_is_read_and_flags_win() {
    let file =
        Settings::parse("lr = 0.5\nepochs = 3\nbits = \"1,2,4\"\nlr-milestones = [2, 4]", "f").unwrap();
    let flags = Settings { lr: Some(0.25), ..Settings::default() };
    let both = flags.or(file);
    assert_eq!((both.lr, both.epochs, both.lr_milestones), (Some(0.25), Some(3), Some(vec![2, 4])));
}

#[test]
fn unknown_keys_and_wrong_types_name_key_and_line() {
    let message = refused("epochs = 2\nlearning-rate = 0.5\n");
    assert!(message.contains("line 2") && message.contains("learning-rate"), "{message}");
    let message = refused("\n\nlr = \"fast\"\n");
    assert!(message.contains("line 3") && message.contains("lr"), "{message}");
    assert!(refused("opt = \"sdg\"").contains("line 1"));
    assert!(refused("a = = 2").contains("line 1"));
}

#[test]
fn every_number_has_a_range() {
    for (line, allowed) in [
        ("lr = -1", "above 0"),
        ("lr = 0", "above 0"),
        ("lr = nan", "above 0"),
        ("lr = inf", "above 0"),
        ("batch-size = 0", "1 to 32768"),
        ("epochs = 0", "1 to 1000000"),
        ("momentum = 1.0", "not including 1"),
        ("weight-decay = -0.1", "0 to 1000"),
        ("adam-epsilon = 0", "1e-30"),
        ("lr-gamma = 1.5", "up to 1"),
        ("lr-milestones = [0]", "epochs from 1"),
        ("crop-padding = 1000", "0 to 256"),
        ("checkpoint-interval = 301", "0 to 300"),
        ("bits = \"0,2,4\"", "1 to 8 or 32"),
        ("bits = \"1,2,33\"", "1 to 8 or 32"),
        ("bits = \"1,2\"", "1 to 8 or 32"),
    ] {
        let message = refused(&format!("# a comment\n\n{line}\n"));
        let key = line.split(' ').next().unwrap();
        assert!(message.contains(&format!("f.toml, line 3: {key}")), "{message}");
        assert!(message.contains(allowed), "{message}");
    }
    for line in ["lr = 1e400", "epochs = -1", "seed = 99999999999999999999", "batch-size = 1.5"] {
        let message = refused(line);
        assert!(message.contains("line 1") || message.contains("out of range"), "{message}");
    }
    let flags = Settings { seed: Some(u64::MAX), ..Settings::default() };
    assert!(flags.check_flags().unwrap_err().to_string().starts_with("--seed = 18446744073709551615"));
}

#[test]
fn a_missing_or_huge_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.toml");
    assert!(matches!(Settings::read(&path), Err(SettingsError::Missing { .. })));
    assert!(matches!(Settings::read(folder.path()), Err(SettingsError::Folder { .. })));
    std::fs::write(&path, vec![b'#'; FILE_LIMIT as usize + 1]).unwrap();
    assert!(matches!(Settings::read(&path), Err(SettingsError::Storage(_))));
}

#[test]
fn every_option_of_the_method_reaches_it_and_makes_another_run() {
    use crate::config::Config;
    use graph::Method;

    let recipe = crate::models::recipe("digits").unwrap();
    let resolved = |text: &str| Config::resolve(Settings::parse(text, "f").unwrap(), &recipe);
    let (plain, bits) = (resolved(""), graph::Bits::new(1, 2, 4).unwrap());
    type Change = fn(&mut Method, graph::Bits);
    let options: [(&str, Change); 7] = [
        ("activation-form = \"cabs\"", |method, _| method.activation_form = graph::ActivationForm::Cabs),
        ("rounding = \"floor\"", |method, _| method.rounding = graph::Rounding::Floor),
        ("max-gradient = true", |method, _| method.max_gradient = true),
        ("wgrad-scale = \"pow2\"", |method, _| method.gradient_scale = graph::GradientScale::Pow2),
        ("wgrad-scale = \"batch\"", |method, _| method.gradient_scale = graph::GradientScale::Batch),
        ("quantize-first = true", |method, bits| method.first = Some(bits)),
        ("quantize-last = true", |method, bits| method.last = Some(bits)),
    ];
    for (text, change) in options {
        let config = resolved(text);
        let mut wanted = plain.method();
        change(&mut wanted, bits);
        assert!(config.method() == wanted && wanted != plain.method(), "{text}");
        assert_ne!(config.hash(), plain.hash(), "{text}");
        assert_eq!(config.differences(&plain).len(), 1, "{text}");
    }
}
