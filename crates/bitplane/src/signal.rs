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

/// Takes the end of standard input for a first Ctrl-C. Whoever holds its other end can ask for a clean end on every system, and
/// asks for it also by being killed.
pub fn follow_stdin() {
    std::thread::spawn(|| {
        // A standard input that cannot be read has ended too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        INTERRUPTED.store(true, Ordering::SeqCst);
    });
}

/// Whether the user asked for the end.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}
