//! Workgroup counts folded over x and y.

/// Most workgroups in one dimension, WebGPU's default limit.
pub const MAX_GROUPS: u64 = 65_535;

/// Folds `groups` workgroups to x and y, each at most [`MAX_GROUPS`], with less than one row of x in excess.
///
/// None where `groups` does not fit two dimensions.
pub fn fold(groups: u64) -> Option<[u32; 2]> {
    let rows = groups.div_ceil(MAX_GROUPS).max(1);
    if rows > MAX_GROUPS {
        return None;
    }
    let columns = groups.div_ceil(rows);
    let narrow = |n: u64| u32::try_from(n).expect("at most 65,535");
    Some([narrow(columns), narrow(rows)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(groups: u64) {
        let [x, y] = fold(groups).expect("fits").map(u64::from);
        assert!(x <= MAX_GROUPS && y <= MAX_GROUPS && x * y >= groups, "{groups}: {x} x {y}");
        assert!(groups == 0 || x * y - groups < x, "{groups}: {x} x {y}");
    }

    #[test]
    fn edges_fold() {
        for near in [0, 1, MAX_GROUPS, 2 * MAX_GROUPS, 1 << 32, MAX_GROUPS * MAX_GROUPS] {
            for groups in near.saturating_sub(2)..=(near + 2).min(MAX_GROUPS * MAX_GROUPS) {
                holds(groups);
            }
        }
        assert_eq!(fold(MAX_GROUPS), Some([65_535, 1]));
        assert_eq!(fold(MAX_GROUPS * MAX_GROUPS + 1), None);
        assert_eq!(fold(u64::MAX), None);
    }

    proptest! {
        #[test]
        fn every_count_is_covered_with_less_than_a_row_in_excess(groups in 0..=MAX_GROUPS * MAX_GROUPS) {
            holds(groups);
        }

        #[test]
        fn counts_up_to_ten_rows_are_covered(groups in 0..10 * MAX_GROUPS) {
            holds(groups);
        }
    }
}
