//! Ctrl-C and SIGTERM: the first asks for a clean end, the second ends at once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::exit::Exit;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static INSTALLED: OnceLock<()> = OnceLock::new();

/// Starts to listen; further calls do nothing. Before it, a signal ends the program as usual.
pub fn install() {
    INSTALLED.get_or_init(|| {
        let handler = || {
            if INTERRUPTED.swap(true, Ordering::SeqCst) {
                std::process::exit(Exit::Interrupted.code());
            }
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            crate::output::note(&format!("note: Ctrl-C will end the program without saving ({error})"));
        }
    });
}

/// Whether the user asked for the end.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}
