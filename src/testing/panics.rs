//! Panicked actors, by actix system.

use std::panic;
use std::sync::Once;

use parking_lot::Mutex;

static PANICS: Mutex<Vec<(usize, String)>> = Mutex::new(Vec::new());

/// The system of this thread; threads without one share a number of their own.
pub(super) fn system() -> usize {
    actix::System::try_current().map_or(usize::MAX, |system| system.id())
}

/// From now on panics are kept, besides whatever is done about them.
pub(super) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.lock().push((system(), info.to_string()));
            before(info);
        }));
    });
}

/// The panics in a system since the watch began.
pub(super) fn of_system(system: usize) -> Vec<String> {
    let panics = PANICS.lock();
    let own = panics.iter().filter(|(other, _)| *other == system);
    own.map(|(_, text)| text.clone()).collect()
}
