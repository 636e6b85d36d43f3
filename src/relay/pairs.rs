//! The pairs of sockets of this process between which a relay stands: a second one would pass everything on twice.

use std::sync::{Arc, Weak};

use crate::core::SocketCore;
use crate::sync::Mutex;

static PAIRS: std::sync::LazyLock<Mutex<Vec<Pair>>> =
    std::sync::LazyLock::new(|| Mutex::new(Vec::new()));

struct Pair {
    from: Weak<SocketCore>,
    to: Weak<SocketCore>,
}

impl Pair {
    fn is_open(&self) -> bool {
        let open = |core: &Weak<SocketCore>| {
            core.upgrade()
                .is_some_and(|core| !core.lifecycle.is_closed())
        };
        open(&self.from) && open(&self.to)
    }
}

/// Notes pairs between which a relay is about to stand. False if there is one already.
pub(super) fn enlist(pairs: &[(&Arc<SocketCore>, &Arc<SocketCore>)]) -> bool {
    let mut known = PAIRS.lock();
    known.retain(Pair::is_open);
    let is = |pair: &Pair, from: &Arc<SocketCore>, to: &Arc<SocketCore>| {
        std::ptr::eq(pair.from.as_ptr(), Arc::as_ptr(from))
            && std::ptr::eq(pair.to.as_ptr(), Arc::as_ptr(to))
    };
    let taken = (pairs.iter()).any(|(from, to)| known.iter().any(|pair| is(pair, from, to)));
    if taken {
        return false;
    }
    known.extend(pairs.iter().map(|(from, to)| Pair {
        from: Arc::downgrade(from),
        to: Arc::downgrade(to),
    }));
    true
}

/// Strikes the pairs between two sockets off: the relay between them was not started after all.
pub(super) fn strike(one: &Arc<SocketCore>, other: &Arc<SocketCore>) {
    let is = |end: &Weak<SocketCore>, core| std::ptr::eq(end.as_ptr(), Arc::as_ptr(core));
    PAIRS.lock().retain(|pair| {
        let between = (is(&pair.from, one) && is(&pair.to, other))
            || (is(&pair.from, other) && is(&pair.to, one));
        !between
    });
}
