//! Panics that tests cause on purpose.

use std::sync::Once;

/// Panics are what some tests are about; a backtrace of each would take most of their time.
pub(crate) fn print_panics_briefly() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))));
}
