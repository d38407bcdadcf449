//! Catches panics without their message on stderr.

use std::{
    any::Any,
    cell::Cell,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
    thread::panicking,
};

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Wraps the process's panic hook, once, to stay silent for panics inside [`catch`].
///
/// Nothing happens while the thread unwinds, when a hook cannot be set: panics are caught then, but not silent.
pub(crate) fn install() {
    static HOOK: Once = Once::new();
    if panicking() {
        return;
    }
    HOOK.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| {
            if !QUIET.get() {
                previous(info);
            }
        }));
    });
}

/// Runs `action`; a panic becomes its message, also while the thread unwinds from another panic.
///
/// After [`install`] nothing is printed for it.
pub(crate) fn catch<T>(action: impl FnOnce() -> T) -> Result<T, String> {
    let before = QUIET.replace(true);
    // What a panic leaves half done inside wgpu is never used again: the caller marks the device as lost.
    let result = catch_unwind(AssertUnwindSafe(action));
    QUIET.set(before);
    result.map_err(|payload| message(&*payload))
}

/// Drops its value inside [`catch`]: wgpu may panic while it takes leave of a lost device.
#[derive(Debug)]
pub(crate) struct Quietly<T>(Option<T>);

impl<T> Quietly<T> {
    /// Holds `value`.
    pub fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Never drops the value.
    pub fn abandon(&mut self) {
        std::mem::forget(self.0.take());
    }
}

impl<T> Deref for Quietly<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("the value is taken only when its owner is dropped")
    }
}

impl<T> Drop for Quietly<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        // The panic has no one left to tell.
        catch(|| drop(value)).ok();
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_and_quiet_ends_with_it() {
        assert_eq!(catch(|| 7), Ok(7));
        assert_eq!(catch(|| -> u32 { panic!("broken {}", 3) }), Err("broken 3".to_owned()));
        assert!(!QUIET.get());
    }

    #[test]
    fn a_panic_within_a_panic_is_caught() {
        let unwound = catch_unwind(|| {
            let _late = Quietly::new(Explosive);
            let _early = OnDrop(install);
            panic!("outer");
        });
        assert_eq!(message(&*unwound.expect_err("the outer panic goes on")), "outer");
        assert!(!QUIET.get());
    }

    struct OnDrop(fn());

    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0();
        }
    }

    struct Explosive;

    impl Drop for Explosive {
        fn drop(&mut self) {
            panic!("boom");
        }
    }

    #[test]
    fn a_value_that_panics_when_dropped_does_so_quietly() {
        drop(Quietly::new(Explosive));
        Quietly::new(Explosive).abandon();
    }
}
