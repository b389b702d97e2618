//! Ctrl-C, and the other signals that ask a program to end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Set by a signal, until somebody looks.
static CAME: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// How often it was found set.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// From here on, signals only set a flag: each child has a process group of its own, and would go on
/// without us.
pub(crate) fn listen() -> std::io::Result<()> {
    let came = CAME.get_or_init(|| Arc::new(AtomicBool::new(false)));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(came))?;
    }
    Ok(())
}

/// Whether a signal has asked us to end.
pub(crate) fn asked() -> bool {
    count() > 0
}

/// Whether another one came after the first: children are killed instead of being asked to end.
pub(crate) fn hurried() -> bool {
    count() > 1
}

fn count() -> usize {
    if CAME.get().is_some_and(|came| came.swap(false, Ordering::Relaxed)) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
    COUNT.load(Ordering::Relaxed)
}
