use reference::random::{NORMAL_STREAM, PERMUTATION_STREAM, normal, permutation, philox4x32_10, uniform};

#[test]
fn philox_gives_the_known_answers_of_random123() {
    let cases = [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    for (counter, key, expected) in cases {
        assert_eq!(philox4x32_10(counter, key), expected);
    }
}

#[test]
fn uniform_is_the_documented_word() {
    let words = philox4x32_10([7, 2, 5, 3], [0x89AB_CDEF, 0x0123_4567]);
    for lane in 0..4 {
        let u = uniform(0x0123_4567_89AB_CDEF, 3, 5, 7, 8 + lane);
        assert_eq!(u * 16_777_216.0, f64::from(words[lane as usize] >> 8));
        assert_eq!(f64::from(u as f32), u);
    }
}

#[test]
fn uniform_has_the_moments_of_the_unit_interval() {
    let draws: Vec<f64> = (0..40_000).map(|row| uniform(9, 0, 0, row / 10, row % 10)).collect();
    assert!(draws.iter().all(|u| (0.0..1.0).contains(u)));
    assert_mean(draws.iter().copied(), 0.5, (1.0f64 / 12.0).sqrt());
    assert_mean(draws.iter().map(|u| (u - 0.5).powi(2)), 1.0 / 12.0, (1.0f64 / 180.0).sqrt());
}

#[test]
fn normal_has_the_moments_of_the_standard_normal() {
    let draws: Vec<f64> = (0..40_000).map(|element| normal(9, 1, element)).collect();
    assert_mean(draws.iter().copied(), 0.0, 1.0);
    assert_mean(draws.iter().map(|x| x.powi(2)), 1.0, 2f64.sqrt());
    assert_mean(draws.iter().map(|x| x.powi(4)), 3.0, 96f64.sqrt());
    assert_mean(draws.windows(2).map(|pair| pair[0] * pair[1]), 0.0, 1.0);
}

#[test]
fn every_argument_changes_the_draw() {
    let draws = [
        uniform(1, 0, 0, 0, 0),
        uniform(1 << 32, 0, 0, 0, 0),
        uniform(0, 1, 0, 0, 0),
        uniform(0, 0, 1, 0, 0),
        uniform(0, 0, 0, 1, 0),
        uniform(0, 0, 0, 0, 1),
        uniform(0, 0, 0, 0, 4),
        uniform(0, 0, 0, 0, 0),
    ];
    for (index, draw) in draws.iter().enumerate() {
        assert!(!draws[..index].contains(draw), "draw {index} repeats an earlier one");
    }
    assert!(normal(0, 0, 0) != normal(0, 1, 0) && normal(0, 0, 0) != normal(0, 0, 1));
}

#[test]
fn a_permutation_holds_each_index_once_and_repeats_by_seed_and_epoch() {
    for len in [0, 1, 2, 5, 1000] {
        let mut order = permutation(3, 4, len);
        assert_eq!(order, permutation(3, 4, len));
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..len as u32));
    }
    assert_ne!(permutation(3, 4, 100), permutation(3, 5, 100));
    assert_ne!(permutation(3, 4, 100), permutation(4, 4, 100));
}

#[test]
fn normals_and_orders_use_the_documented_words() {
    let unit = |word: u32| f64::from(word) / 4_294_967_296.0;
    let words = philox4x32_10([17, 0, 6, NORMAL_STREAM], [9, 0]);
    let (radius, angle) = (-2.0 * (unit(words[0]) + 2f64.powi(-32)).ln(), unit(words[1]));
    let expected = radius.sqrt() * (2.0 * std::f64::consts::PI * angle).cos();
    assert!((normal(9, 6, 17) - expected).abs() < 1e-14);

    let words = [0, 1].map(|block| philox4x32_10([block, 0, 5, PERMUTATION_STREAM], [9, 0])).concat();
    let mut order: Vec<u32> = (0..8).collect();
    for (last, word) in (1..8).rev().zip(words) {
        order.swap(last, (unit(word) * (last as f64 + 1.0)) as usize);
    }
    assert_eq!(permutation(9, 5, 8), order);
}

#[test]
fn every_order_is_equally_likely() {
    const DRAWS: u32 = 24_000;
    let mut counts = std::collections::BTreeMap::new();
    for epoch in 0..DRAWS {
        *counts.entry(permutation(11, epoch, 4)).or_insert(0u32) += 1;
    }
    assert_eq!(counts.len(), 24);
    let expected = f64::from(DRAWS) / 24.0;
    for (order, count) in counts {
        let deviation = (f64::from(count) - expected).abs();
        assert!(deviation < 5.0 * expected.sqrt(), "{order:?} came {count} times, not about {expected}");
    }
}

/// Fails when the mean is more than five standard errors away.
fn assert_mean(draws: impl ExactSizeIterator<Item = f64>, expected: f64, deviation: f64) {
    let len = draws.len() as f64;
    let mean = draws.sum::<f64>() / len;
    assert!((mean - expected).abs() < 5.0 * deviation / len.sqrt(), "mean {mean} is not {expected}");
}
