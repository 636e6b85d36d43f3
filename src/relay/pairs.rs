//! The pairs of sockets of this process between which a relay stands: a second one would pass everything on twice.

use std::sync::{Arc, Weak};

use crate::core::SocketCore;
use crate::sync::Mutex;

static KNOWN: std::sync::LazyLock<Mutex<Vec<Ends>>> =
    std::sync::LazyLock::new(|| Mutex::new(Vec::new()));

/// The two sockets between which one direction of a relay stands.
struct Ends {
    from: Weak<SocketCore>,
    to: Weak<SocketCore>,
}

impl Ends {
    fn are_open(&self) -> bool {
        let open = |core: &Weak<SocketCore>| {
            core.upgrade()
                .is_some_and(|core| !core.lifecycle.is_closed())
        };
        open(&self.from) && open(&self.to)
    }

    fn is_one_of(&self, pairs: &[(&Arc<SocketCore>, &Arc<SocketCore>)]) -> bool {
        let is = |end: &Weak<SocketCore>, core: &Arc<SocketCore>| {
            std::ptr::eq(end.as_ptr(), Arc::as_ptr(core))
        };
        let mut pairs = pairs.iter();
        pairs.any(|(from, to)| is(&self.from, from) && is(&self.to, to))
    }
}

/// Notes pairs between which a relay is about to stand. False if there is one between any of them already.
pub(super) fn enlist(pairs: &[(&Arc<SocketCore>, &Arc<SocketCore>)]) -> bool {
    let mut known = KNOWN.lock();
    known.retain(Ends::are_open);
    if known.iter().any(|ends| ends.is_one_of(pairs)) {
        return false;
    }
    known.extend(pairs.iter().map(|(from, to)| Ends {
        from: Arc::downgrade(from),
        to: Arc::downgrade(to),
    }));
    true
}

/// Strikes these pairs off: the relay between them was not started after all.
pub(super) fn strike(pairs: &[(&Arc<SocketCore>, &Arc<SocketCore>)]) {
    KNOWN.lock().retain(|ends| !ends.is_one_of(pairs));
}
