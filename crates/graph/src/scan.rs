//! Where to search for values that are not finite.
//!
//! A tensor that a sum or a maximum of magnitudes reads wholly anyway is not searched itself: the small result is, and so on
//! to the last such result. It tells the same, except that finite values whose sum overflows count as infinite, and the
//! statistics of such a layer are as useless.

use std::sync::Arc;

use kernels::CheckFinite;
use recording::{BufferSlice, Dispatch, Scope};

use crate::{
    GraphError,
    recorder::{MAX_FLAGS, Phase},
};

/// A search asked for before the dispatch `at` of a phase.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub phase: Phase,
    pub at: usize,
    pub slot: u32,
    pub values: BufferSlice,
    pub scope: Scope,
}

/// The dispatches of a phase with those of its `scans` among them.
///
/// # Errors
/// Buffers that do not fit.
pub(crate) fn place(
    dispatches: Vec<Dispatch>,
    scans: Vec<Scan>,
    flags: BufferSlice,
) -> Result<Vec<Dispatch>, GraphError> {
    let mut before: Vec<Vec<Dispatch>> = vec![Vec::new(); dispatches.len() + 1];
    for scan in scans {
        let (mut at, mut values) = (scan.at, scan.values);
        while let Some((next, witness)) = witness(&dispatches, at, values) {
            (at, values) = (next, witness);
        }
        let len = u32::try_from(values.words).expect("a binding has fewer than 2^32 words");
        let kernel = Arc::new(CheckFinite { len, slot: scan.slot, flags_len: MAX_FLAGS });
        let dispatch = Dispatch { kernel, buffers: vec![values, flags], scope: scan.scope };
        dispatch.check()?;
        before[at].push(dispatch);
    }
    let last = before.pop().unwrap_or_default();
    let each = before.into_iter().zip(dispatches).flat_map(|(mut scans, dispatch)| {
        scans.push(dispatch);
        scans
    });
    Ok(each.chain(last).collect())
}

/// The first result from dispatch `from` on that cannot be finite unless all of `values` are, and the number of the dispatch
/// after the one that writes it.
fn witness(dispatches: &[Dispatch], from: usize, values: BufferSlice) -> Option<(usize, BufferSlice)> {
    for (at, dispatch) in dispatches.iter().enumerate().skip(from) {
        let lens = dispatch.kernel.lens();
        let whole = |binding: usize| dispatch.buffers[binding] == values && lens[binding] == values.words;
        if let Some(&(_, written)) = dispatch.kernel.witnesses().iter().find(|(read, _)| whole(*read)) {
            return Some((at + 1, BufferSlice { words: lens[written], ..dispatch.buffers[written] }));
        }
        if dispatch.outputs().any(|output| output.overlaps(&values)) {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use kernels::{Add, Reduce, ReduceMap, ReduceOp};
    use recording::BufferId;

    use super::*;

    fn slice(id: u32, words: u64) -> BufferSlice {
        BufferSlice::whole(BufferId(id), words)
    }

    fn reduce(op: ReduceOp, map: ReduceMap, len: u32, buffers: [BufferSlice; 2]) -> Dispatch {
        let kernel = Arc::new(Reduce { rows: 1, len, map, op, factor: 1.0 });
        Dispatch { kernel, buffers: buffers.to_vec(), scope: Scope::default() }
    }

    fn add(buffers: [BufferSlice; 3]) -> Dispatch {
        Dispatch { kernel: Arc::new(Add { len: 1024 }), buffers: buffers.to_vec(), scope: Scope::default() }
    }

    /// Where the search of buffer 0, asked for first, stands among `dispatches`, and what it reads.
    fn placed(dispatches: Vec<Dispatch>) -> (usize, BufferSlice) {
        let scan =
            Scan { phase: Phase::Forward, at: 0, slot: 0, values: slice(0, 1024), scope: Scope::default() };
        let placed = place(dispatches, vec![scan], slice(9, u64::from(MAX_FLAGS))).expect("fits");
        let at = placed.iter().position(|d| d.kernel.name() == "check_finite").expect("placed");
        (at, placed[at].buffers[0])
    }

    #[test]
    fn a_sum_or_maximum_of_all_values_is_searched_in_their_place() {
        use {ReduceMap::*, ReduceOp::*};
        for (op, map) in [(Sum, Identity), (Sum, Abs), (Max, Abs)] {
            let first = reduce(op, map, 1024, [slice(0, 1024), slice(1, 1)]);
            let other = add([slice(3, 1024), slice(4, 1024), slice(5, 1024)]);
            assert_eq!(placed(vec![other, first]), (2, slice(1, 1)), "{op:?} {map:?}");
        }
        let first = reduce(Sum, Abs, 1024, [slice(0, 1024), slice(1, 1)]);
        let second = reduce(Sum, Abs, 1, [slice(1, 1), slice(2, 1)]);
        assert_eq!(placed(vec![first, second]), (2, slice(2, 1)), "a result of a result");
    }

    #[test]
    fn values_that_nothing_witnesses_are_searched_where_asked() {
        use {ReduceMap::*, ReduceOp::*};
        for (op, map) in [(Max, Identity), (Max, AbsTanh), (Sum, AbsTanh)] {
            let first = reduce(op, map, 1024, [slice(0, 1024), slice(1, 1)]);
            assert_eq!(placed(vec![first]), (0, slice(0, 1024)), "{op:?} {map:?}");
        }
        let part = reduce(Sum, Abs, 512, [slice(0, 1024), slice(1, 1)]);
        assert_eq!(placed(vec![part]), (0, slice(0, 1024)), "a sum of a part");
        let rewritten = add([slice(3, 1024), slice(4, 1024), slice(0, 1024)]);
        let late = reduce(Sum, Abs, 1024, [slice(0, 1024), slice(1, 1)]);
        assert_eq!(placed(vec![rewritten, late]), (0, slice(0, 1024)), "a sum of later values");
    }
}
