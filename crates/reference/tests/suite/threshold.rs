use proptest::prelude::*;
use reference::quantize::Rounding;
use reference::quantize::{levels, round_half_even};
use reference::threshold::{BatchNormChannel, ChannelThresholds, fold, fold_batch_norm, fold_batch_norm_by};

const PLAIN: BatchNormChannel =
    BatchNormChannel { scale: 1.0, mean: 0.0, var: 1.0, gamma: 1.0, beta: 0.0, eps: 0.0 };

#[test]
fn exact_ties_follow_the_even_code() {
    // n x = v / 2: codes 0, 0, 1, 2, 2, 2, 3 for v = 0..=6.
    let folded = fold(-5..=10, |v| round_half_even(v as f64 / 2.0).clamp(0.0, 3.0) as u32, 2);
    assert_eq!(folded, ChannelThresholds { ascending: true, thresholds: vec![2, 3, 6] });
    let falling = fold(-5..=10, |v| round_half_even(-v as f64 / 2.0).clamp(0.0, 3.0) as u32, 2);
    assert_eq!(falling, ChannelThresholds { ascending: false, thresholds: vec![-1, -2, -5] });

    // n x = 3 v / 4 ties at v = 2.
    let quarter = BatchNormChannel { scale: 0.25, ..PLAIN };
    let codes: Vec<u32> = (0..=4).map(|v| quarter.code(v, 2)).collect();
    assert_eq!(codes, [0, 1, 2, 2, 3]);
    let folded = fold_batch_norm(&quarter, 2, -9..=9);
    assert_eq!(folded.thresholds, [1, 2, 4]);
}

#[test]
fn a_channel_without_slope_is_constant() {
    for (beta, code) in [(-1.0, 0), (0.0, 0), (0.4, 3), (1.0, 7), (5.0, 7)] {
        let channel = BatchNormChannel { gamma: 0.0, beta, ..PLAIN };
        let folded = fold_batch_norm(&channel, 3, -50..=50);
        for v in -50..=50 {
            assert_eq!(folded.apply(v), code, "beta {beta}, accumulator {v}");
        }
    }
}

#[test]
fn codes_out_of_reach_are_never_given() {
    let channel = BatchNormChannel { scale: 0.1, ..PLAIN };
    let folded = fold_batch_norm(&channel, 2, -3..=5);
    assert_eq!(folded.apply(5), channel.code(5, 2));
    assert_eq!(folded.thresholds[2], 6);
    assert_eq!(fold_batch_norm(&PLAIN, 1, 7..=7).apply(7), 1);
}

#[test]
#[should_panic(expected = "no room for thresholds")]
fn a_range_without_room_is_refused() {
    fold(0..=i64::from(i32::MAX), |_| 0, 1);
}

proptest! {
    #[test]
    fn folded_codes_are_the_unfolded_ones(
        gamma in -3.0f64..3.0,
        mean in -20.0f64..20.0,
        var in 0.01f64..30.0,
        beta in -1.0f64..2.0,
        scale in 0.001f64..0.5,
        bits in 1u32..=8,
    ) {
        let channel = BatchNormChannel { scale, mean, var, gamma, beta, eps: 1e-4 };
        let folded = fold_batch_norm(&channel, bits, -300..=300);
        prop_assert_eq!(folded.thresholds.len(), levels(bits) as usize);
        for v in -300..=300 {
            prop_assert_eq!(folded.apply(v), channel.code(v, bits), "accumulator {}", v);
        }
    }

    /// Dyadic constants put many accumulators exactly on ties.
    #[test]
    fn folded_codes_agree_on_ties(
        gamma in -8i32..=8,
        beta in -4i32..=12,
        mean in -6i32..=6,
        bits in 1u32..=4,
    ) {
        let channel = BatchNormChannel {
            scale: 0.125,
            mean: f64::from(mean) / 8.0,
            var: 0.25,
            gamma: f64::from(gamma) / 8.0,
            beta: f64::from(beta) / 8.0,
            eps: 0.0,
        };
        let folded = fold_batch_norm(&channel, bits, -64..=64);
        for v in -64..=64 {
            prop_assert_eq!(folded.apply(v), channel.code(v, bits), "accumulator {}", v);
        }
    }
}

#[test]
fn ties_of_the_other_rounding_pass_a_threshold() {
    // n x = v / 2 at 2 bits: halves are ties.
    let sixth = BatchNormChannel { scale: 1.0 / 6.0, ..PLAIN };
    for (rounding, codes) in
        [(Rounding::Even, [0, 0, 1, 2, 2, 2, 3]), (Rounding::Floor, [0, 1, 1, 2, 2, 3, 3])]
    {
        let folded = fold_batch_norm_by(&sixth, (2, rounding), -9..=9);
        let found: Vec<u32> = (0..7).map(|v| folded.apply(v)).collect();
        assert_eq!(found, codes, "{rounding:?}");
    }
}
