//! Where to search for values that are not finite.
//!
//! A tensor that a sum or a maximum of magnitudes reads wholly anyway is not searched itself: the small result is, and so on
//! to the last such result. It tells the same, except that finite values whose sum overflows count as infinite, and the
//! statistics of such a layer are as useless.
//!
//! Searches share dispatches: one for all parameters of an arena, at the end of a phase, and one for several small tensors.
//! Each has its own flag, so that an error names the layer.

use std::{collections::BTreeMap, sync::Arc};

use kernels::{CheckFinite, CheckFiniteList, CheckFiniteSpans, LISTS, Span};
use recording::{BufferSlice, Dispatch, Kernel, Scope};

use crate::{
    GraphError, Recorder,
    recorder::{MAX_FLAGS, Phase},
};

/// Words of the largest tensor that is searched along with others, by one workgroup.
const SMALL: u64 = 4096;

/// A search asked for before the dispatch `at` of a phase.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub phase: Phase,
    pub at: usize,
    pub slot: u32,
    pub values: BufferSlice,
    pub scope: Scope,
}

/// The dispatches of a phase with those of its `scans` among them, which set `flags`. What lies in one of `arenas` is
/// searched at the end.
///
/// # Errors
/// Buffers that do not fit.
pub(crate) fn place(
    recorder: &mut Recorder,
    dispatches: Vec<Dispatch>,
    scans: Vec<Scan>,
    (flags, arenas): (BufferSlice, &[BufferSlice]),
) -> Result<Vec<Dispatch>, GraphError> {
    let mut before: Vec<Vec<Scan>> = vec![Vec::new(); dispatches.len() + 1];
    let mut spans: BTreeMap<usize, Vec<Span>> = BTreeMap::new();
    for mut scan in scans {
        while let Some((next, witness)) = witness(&dispatches, scan.at, scan.values) {
            (scan.at, scan.values) = (next, witness);
        }
        match arenas.iter().position(|arena| holds(arena, &scan.values)) {
            Some(arena) => {
                let offset = scan.values.offset - arenas[arena].offset;
                let [first, end] = [offset, offset + scan.values.words].map(narrow);
                spans.entry(arena).or_default().push(Span { first, end, slot: scan.slot });
            }
            None => before[scan.at].push(scan),
        }
    }
    let mut placed = Vec::new();
    let mut waiting: Vec<Scan> = Vec::new();
    let mut rest = dispatches.into_iter();
    for scans in before {
        for scan in scans {
            if scan.values.words > SMALL {
                placed.push(search(&[scan], flags)?);
            } else {
                waiting.push(scan);
            }
            if waiting.len() == LISTS {
                placed.push(search(&std::mem::take(&mut waiting), flags)?);
            }
        }
        let Some(next) = rest.next() else { break };
        let spoils = |scan: &Scan| next.outputs().any(|output| output.overlaps(&scan.values));
        if waiting.iter().any(spoils) {
            placed.push(search(&std::mem::take(&mut waiting), flags)?);
        }
        placed.push(next);
    }
    if !waiting.is_empty() {
        placed.push(search(&waiting, flags)?);
    }
    for (arena, mut spans) in spans {
        spans.sort_unstable();
        spans.dedup_by_key(|span| span.first);
        let table = recorder.constant("places of parameters", Span::words(&spans));
        let (values, len) = (arenas[arena], narrow(arenas[arena].words));
        let kernel = CheckFiniteSpans { len, spans: narrow(spans.len() as u64), flags_len: MAX_FLAGS };
        placed.push(checked(Arc::new(kernel), vec![values, table, flags], together())?);
    }
    Ok(placed)
}

/// One dispatch for all of `scans`, at most as many as there are lists.
fn search(scans: &[Scan], flags: BufferSlice) -> Result<Dispatch, GraphError> {
    if let [Scan { slot, values, scope, .. }] = scans {
        let kernel = CheckFinite { len: narrow(values.words), slot: *slot, flags_len: MAX_FLAGS };
        return checked(Arc::new(kernel), vec![*values, flags], scope.clone());
    }
    let mut lists = [(0, 0); LISTS];
    // Lists without values are bound to those of the first.
    let mut buffers = vec![scans[0].values; LISTS];
    for (at, scan) in scans.iter().enumerate() {
        lists[at] = (narrow(scan.values.words), scan.slot);
        buffers[at] = scan.values;
    }
    buffers.push(flags);
    checked(Arc::new(CheckFiniteList { lists, flags_len: MAX_FLAGS }), buffers, together())
}

fn checked(kernel: Arc<dyn Kernel>, buffers: Vec<BufferSlice>, scope: Scope) -> Result<Dispatch, GraphError> {
    let dispatch = Dispatch { kernel, buffers, scope };
    dispatch.check()?;
    Ok(dispatch)
}

/// Whom a search serves that several layers share.
fn together() -> Scope {
    Scope { layer: "step".to_owned(), pass: "check" }
}

/// True where all of `values` lie in `arena`.
fn holds(arena: &BufferSlice, values: &BufferSlice) -> bool {
    let [arena_end, end] = [arena, values].map(|slice| slice.offset + slice.words);
    arena.overlaps(values) && arena.offset <= values.offset && end <= arena_end
}

fn narrow(words: u64) -> u32 {
    u32::try_from(words).expect("a binding has fewer than 2^32 words")
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

    /// More values than are searched along with others.
    const LEN: u32 = 8192;
    const WORDS: u64 = LEN as u64;

    fn slice(id: u32, words: u64) -> BufferSlice {
        BufferSlice::whole(BufferId(id), words)
    }

    fn reduce(op: ReduceOp, map: ReduceMap, len: u32, buffers: [BufferSlice; 2]) -> Dispatch {
        let kernel = Arc::new(Reduce { rows: 1, len, map, op, factor: 1.0 });
        Dispatch { kernel, buffers: buffers.to_vec(), scope: Scope::default() }
    }

    fn add(buffers: [BufferSlice; 3]) -> Dispatch {
        let len = narrow(buffers[0].words);
        Dispatch { kernel: Arc::new(Add { len }), buffers: buffers.to_vec(), scope: Scope::default() }
    }

    fn scan(slot: u32, at: usize, values: BufferSlice) -> Scan {
        Scan { phase: Phase::Forward, at, slot, values, scope: Scope::default() }
    }

    /// The searches of a phase: where they stand, what they read, and their kernels.
    fn searches(dispatches: Vec<Dispatch>, scans: Vec<Scan>) -> Vec<(usize, Dispatch)> {
        let mut recorder = Recorder::new(1, 1, None);
        let arenas = [slice(50, 256)];
        let flags = slice(60, u64::from(MAX_FLAGS));
        let placed = place(&mut recorder, dispatches, scans, (flags, &arenas)).expect("fits");
        let found = placed.into_iter().enumerate();
        found.filter(|(_, dispatch)| dispatch.kernel.name().starts_with("check_finite")).collect()
    }

    /// Where the search of buffer 0, asked for first, stands among `dispatches`, and what it reads.
    fn placed(dispatches: Vec<Dispatch>) -> (usize, BufferSlice) {
        let found = searches(dispatches, vec![scan(0, 0, slice(0, WORDS))]);
        assert_eq!((found.len(), found[0].1.kernel.name()), (1, "check_finite"));
        (found[0].0, found[0].1.buffers[0])
    }

    #[test]
    fn a_sum_or_maximum_of_all_values_is_searched_in_their_place() {
        use {ReduceMap::*, ReduceOp::*};
        for (op, map) in [(Sum, Identity), (Sum, Abs), (Max, Abs)] {
            let words = u64::from(Reduce { rows: 1, len: LEN, map, op, factor: 1.0 }.chunks());
            let first = reduce(op, map, LEN, [slice(0, WORDS), slice(1, words)]);
            let other = add([slice(3, 1024), slice(4, 1024), slice(5, 1024)]);
            assert_eq!(placed(vec![other, first]), (2, slice(1, words)), "{op:?} {map:?}");
        }
        let first = reduce(Sum, Abs, LEN, [slice(0, WORDS), slice(1, 8)]);
        let second = reduce(Sum, Abs, 8, [slice(1, 8), slice(2, 1)]);
        assert_eq!(placed(vec![first, second]), (2, slice(2, 1)), "a result of a result");
    }

    #[test]
    fn values_that_nothing_witnesses_are_searched_where_asked() {
        use {ReduceMap::*, ReduceOp::*};
        let words = 64;
        for (op, map) in [(Max, Identity), (Max, AbsTanh), (Sum, AbsTanh)] {
            let first = reduce(op, map, LEN, [slice(0, WORDS), slice(1, words)]);
            assert_eq!(placed(vec![first]), (0, slice(0, WORDS)), "{op:?} {map:?}");
        }
        let part = reduce(Sum, Abs, 1024, [slice(0, WORDS), slice(1, words)]);
        assert_eq!(placed(vec![part]), (0, slice(0, WORDS)), "a sum of a part");
        let rewritten = add([slice(3, WORDS), slice(4, WORDS), slice(0, WORDS)]);
        let late = reduce(Sum, Abs, LEN, [slice(0, WORDS), slice(1, words)]);
        assert_eq!(placed(vec![rewritten, late]), (0, slice(0, WORDS)), "a sum of later values");
    }

    #[test]
    fn small_tensors_are_searched_together_before_one_is_overwritten() {
        let other = || add([slice(30, 64), slice(31, 64), slice(32, 64)]);
        let overwrites = add([slice(30, 64), slice(31, 64), slice(1, 64)]);
        let scans = |count: u32| (0..count).map(|at| scan(at, at as usize % 2, slice(at, 64))).collect();
        let found = searches(vec![other(), other(), overwrites, other()], scans(3));
        let [(2, together)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(together.kernel.name(), "check_finite_list");
        assert_eq!(together.buffers[..3], [slice(0, 64), slice(2, 64), slice(1, 64)]);
        let found = searches(vec![other(), other(), other()], scans(9));
        let at: Vec<usize> = found.iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [1, 4], "six as soon as there are six, the rest at the end");
    }

    #[test]
    fn parameters_of_an_arena_are_searched_at_the_end() {
        let part = |offset, words| BufferSlice { offset, words, ..slice(50, 256) };
        let dispatches = vec![add([slice(3, 64), slice(4, 64), slice(5, 64)])];
        let found = searches(dispatches, vec![scan(4, 0, part(128, 65)), scan(2, 1, part(0, 7))]);
        let [(1, together)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((together.kernel.name(), together.buffers[0]), ("check_finite_spans", slice(50, 256)));
        assert_eq!(together.buffers[1].words, 6);
    }
}
