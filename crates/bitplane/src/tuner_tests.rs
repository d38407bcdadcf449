use super::*;
use recording::{BufferId, BufferSlice, HostExecutor, Kernel, Limits, Recording, Ticket};

const KEY: &str = "and 64x40x288 segments 1 planes 2x1";

/// The reference with subgroups of eight lanes, a time for each kernel, and kernels whose results are spoilt.
struct Fake {
    host: HostExecutor,
    seconds: fn(&dyn Kernel) -> f64,
    spoils: fn(&dyn Kernel, u64) -> bool,
    refuses: fn(&dyn Kernel) -> bool,
}

fn fake() -> Fake {
    Fake {
        host: HostExecutor::with_subgroup(Some(8)),
        seconds: |_| 1.0,
        spoils: |_, _| false,
        refuses: |_| false,
    }
}

/// Columns of a subgroup's tile, of planes and not of bytes.
fn columns(kernel: &dyn Kernel) -> Option<u32> {
    let values = if kernel.name() == "subgroup_product" { kernel.template() } else { Vec::new() };
    values.iter().find(|value| value.name == "COLUMNS").map(|value| value.value)
}

impl Executor for Fake {
    type Prepared = Recording;

    fn limits(&self) -> Limits {
        self.host.limits()
    }
    fn allocate(&mut self, label: &str, words: u64) -> Result<BufferId, ExecutorError> {
        self.host.allocate(label, words)
    }
    fn allocated_bytes(&self) -> u64 {
        self.host.allocated_bytes()
    }
    fn write(&mut self, buffer: BufferId, offset: u64, words: &[u32]) -> Result<(), ExecutorError> {
        self.host.write(buffer, offset, words)
    }
    fn prepare(&mut self, recording: &Recording) -> Result<Recording, ExecutorError> {
        if let Some(dispatch) = recording.dispatches.iter().find(|d| (self.refuses)(&*d.kernel)) {
            let (kernel, message) = (dispatch.kernel.name().to_owned(), "too clever".to_owned());
            return Err(ExecutorError::Validation { kernel, message });
        }
        self.host.prepare(recording)
    }
    fn join(&self, parts: &[&Recording]) -> Recording {
        self.host.join(parts)
    }
    async fn run(&mut self, prepared: &Recording) -> Result<(), ExecutorError> {
        self.host.run(prepared).await?;
        for dispatch in &prepared.dispatches {
            for slice in dispatch.outputs() {
                if (self.spoils)(&*dispatch.kernel, slice.words) {
                    let last = slice.offset + slice.words - 1;
                    let word = self.host.read(slice.buffer, last, 1).await?[0];
                    self.host.write(slice.buffer, last, &[word ^ 0x0040_0000])?;
                }
            }
        }
        Ok(())
    }
    async fn run_and_read(&mut self, _: &Recording, _: BufferSlice) -> Result<Ticket, ExecutorError> {
        unreachable!("a tuner reads what it ran")
    }
    fn is_done(&mut self, ticket: &Ticket) -> Result<bool, ExecutorError> {
        self.host.is_done(ticket)
    }
    async fn take(&mut self, ticket: Ticket, words: &mut Vec<u32>) -> Result<(), ExecutorError> {
        self.host.take(ticket, words).await
    }
    async fn read(&mut self, buffer: BufferId, offset: u64, words: u64) -> Result<Vec<u32>, ExecutorError> {
        self.host.read(buffer, offset, words).await
    }
}

impl Stopwatch for Fake {
    fn time(&mut self, prepared: &Recording) -> Result<f64, ExecutorError> {
        Ok(prepared.dispatches.iter().map(|dispatch| (self.seconds)(&*dispatch.kernel)).sum())
    }
}

fn key() -> ProductKey {
    KEY.parse().unwrap()
}

fn subgroup(columns: u32) -> Tactic {
    format!("subgroup:8x4x{columns}").parse().unwrap()
}

#[test]
fn the_fastest_candidate_is_chosen() {
    let mut fake = fake();
    let tuned = tune(&mut fake, key(), &[], None).unwrap();
    assert_eq!((tuned.tactic, tuned.struck.len()), (tuned.default, 0), "equals keep the default");
    assert_ne!(tuned.default, subgroup(8));
    fake.seconds = |kernel| if columns(kernel) == Some(8) { 0.5 } else { 1.0 };
    let tuned = tune(&mut fake, key(), &[], None).unwrap();
    assert_eq!((tuned.tactic, tuned.seconds), (subgroup(8), 0.5));
    fake.seconds = |kernel| if columns(kernel) == Some(8) { 0.98 } else { 1.0 };
    let tuned = tune(&mut fake, key(), &[], None).unwrap();
    assert_eq!(tuned.tactic, tuned.default, "two percent are noise");
}

#[test]
fn a_wrong_candidate_is_struck_even_if_it_is_wrong_on_large_products_alone() {
    let wrong: [fn(&dyn Kernel, u64) -> bool; 2] =
        [|kernel, _| columns(kernel) == Some(8), |kernel, words| columns(kernel) == Some(8) && words > 2000];
    for spoils in wrong {
        let mut fake = Fake { spoils, ..fake() };
        fake.seconds = |kernel| if columns(kernel) == Some(8) { 0.5 } else { 1.0 };
        let tuned = tune(&mut fake, key(), &[], None).unwrap();
        assert_ne!(tuned.tactic, subgroup(8));
        assert_eq!(tuned.struck.iter().map(|(tactic, _)| *tactic).collect::<Vec<_>>(), [subgroup(8)]);
    }
}

#[test]
fn a_candidate_that_does_not_compile_is_struck() {
    let mut fake = Fake { refuses: |kernel| columns(kernel) == Some(8), ..fake() };
    let tuned = tune(&mut fake, key(), &[], None).unwrap();
    assert_eq!(tuned.struck.len(), 1);
    assert!(tuned.struck[0].1.contains("too clever"), "{}", tuned.struck[0].1);
}

#[test]
fn what_was_struck_before_is_not_tried() {
    let mut fake = fake();
    fake.seconds = |kernel| if columns(kernel) == Some(8) { 0.5 } else { 1.0 };
    assert_ne!(tune(&mut fake, key(), &[subgroup(8)], None).unwrap().tactic, subgroup(8));
}

#[test]
fn an_adapter_on_which_nothing_is_right_is_an_error() {
    let mut fake = Fake { spoils: |_, _| true, ..fake() };
    let error = tune(&mut fake, key(), &[], None).unwrap_err().to_string();
    assert!(error.contains(KEY) && error.contains("driver"), "{error}");
}

fn adapter() -> AdapterKey {
    let text = |text: &str| text.to_owned();
    AdapterKey { name: text("a"), backend: text("b"), driver: text("c"), subgroup: Some(8) }
}

#[test]
fn a_cache_gives_back_what_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(&folder.path().join("deep/er"));
    let mut fake = Fake { spoils: |kernel, _| columns(kernel) == Some(32), ..fake() };
    fake.seconds = |kernel| if columns(kernel) == Some(8) { 0.5 } else { 1.0 };
    let mut choices = cache.load(&adapter());
    assert_eq!(choices, Choices::new(adapter()));
    choices.add(None, &tune(&mut fake, key(), &[], None).unwrap());
    cache.save(&adapter(), &choices).unwrap();
    let found = cache.load(&adapter());
    assert_eq!(found, choices);
    let plan = found.plan(None);
    assert_eq!(plan.choices[&key()], subgroup(8));
    assert_eq!(plan.struck, ["subgroup:8x2x32".parse().unwrap(), subgroup(32)]);
    let other = AdapterKey { driver: "newer".to_owned(), ..adapter() };
    assert_eq!(cache.load(&other), Choices::new(other), "another driver starts anew");
}

#[test]
fn what_was_measured_for_one_arithmetic_is_no_choice_among_all() {
    let mut choices = Choices::new(adapter());
    for arithmetic in [None, Some(Arithmetic::Dot4), Some(Arithmetic::F32)] {
        let mut fake = fake();
        fake.seconds = |kernel| if columns(kernel) == Some(8) { 0.5 } else { 1.0 };
        choices.add(arithmetic, &tune(&mut fake, key(), &[], arithmetic).unwrap());
    }
    let choices = Choices::parse(choices.to_json().as_bytes(), &adapter()).unwrap();
    let tactic = |arithmetic| choices.plan(arithmetic).choices[&key()];
    assert_eq!(tactic(None), subgroup(8), "later measurements of dot4 and f32 do not replace it");
    assert_eq!(tactic(Some(Arithmetic::Bits)), subgroup(8), "the fastest of all is one of bits");
    for wanted in [Arithmetic::Dot4, Arithmetic::F32] {
        assert_eq!(tactic(Some(wanted)).arithmetic(), wanted);
    }
}

#[test]
fn a_product_beyond_an_arithmetic_is_tuned_on_bits() {
    let key: ProductKey = "and 16x16x512 segments 1 planes 8x8".parse().unwrap();
    assert!(Arithmetic::F32.fits(&key.product()).is_err());
    let mut fake = fake();
    fake.seconds = |kernel| if columns(kernel) == Some(8) { 0.5 } else { 1.0 };
    let tuned = tune(&mut fake, key, &[], Some(Arithmetic::F32)).unwrap();
    assert_eq!(tuned.tactic.arithmetic(), Arithmetic::Bits);
    assert_ne!(tuned.tactic, Tactic::Register, "not merely the portable kernel");
}

#[test]
fn a_file_of_no_use_is_refused_with_a_reason() {
    let mut choices = Choices::new(adapter());
    choices.add(None, &tune(&mut fake(), key(), &[], None).unwrap());
    let text = choices.to_json();
    assert_eq!(Choices::parse(text.as_bytes(), &adapter()).as_ref(), Ok(&choices));
    for (from, to, reason) in [
        ("\"format\": 2", "\"format\": 7", "format 7"),
        ("\"name\": \"a\"", "\"name\": \"z\"", "measured on z"),
        (KEY, "or 1x1", "describes no product"),
        ("\"kernel\": \"", "\"kernel\": \"x", "names no product kernel"),
        ("\"shaders\": \"", "\"shaders\": \"0", "other kernels"),
        ("\"products\"", "\"produce\"", "produce"),
        ("{", "", "trailing"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = Choices::parse(text.replacen(from, to, 1).as_bytes(), &adapter()).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}
