//! Watching a supervised actor end, and tying the fates of two together.

use std::any::TypeId;
use std::collections::HashMap;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{self, Poll};

use actix::{Actor, Addr, Recipient};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::child_record::{ChildRecord, Watcher};
use super::down::{Down, ExitReason};

/// Watches the actor behind `addr` until its present incarnation ends.
///
/// The monitor resolves exactly once: with the reason when the actor panics, stops or is given up, and
/// with [`ExitReason::Unsupervised`] at once if the address does not lead to a supervised actor or to one that
/// has ended already. An actor that waits for its restart is watched from its next incarnation on. Dropping the
/// monitor ends the watch.
///
/// # Examples
///
/// ```
/// use actix::prelude::*;
/// use actix_aiomsg::supervise::{ExitReason, monitor, supervise};
///
/// struct Brief;
/// impl Actor for Brief {
///     type Context = Context<Self>;
///     fn started(&mut self, ctx: &mut Self::Context) {
///         ctx.stop();
///     }
/// }
///
/// # System::new().block_on(async {
/// let addr = supervise(|| Brief).start();
/// let down = monitor(&addr).await;
/// assert_eq!(down.reason, ExitReason::Stopped);
/// # });
/// ```
pub fn monitor<A: Actor>(addr: &Addr<A>) -> Monitor {
    let (tx, down) = oneshot::channel();
    let name = match find(addr) {
        Some(record) => {
            let name = record.name();
            record.watch(Watcher::Monitor(tx));
            name
        }
        None => Arc::from(std::any::type_name::<A>()),
    };
    Monitor { name, down }
}

/// Watches like [`monitor`] and sends the [`Down`] to `recipient`.
///
/// Each call sends one message, whether or not the recipient's mailbox is full.
pub fn monitor_to<A: Actor>(addr: &Addr<A>, recipient: Recipient<Down>) {
    match find(addr) {
        Some(record) => record.watch(Watcher::Recipient(recipient)),
        None => recipient.do_send(Down {
            actor: Arc::from(std::any::type_name::<A>()),
            reason: ExitReason::Unsupervised,
        }),
    }
}

/// Ties two supervised actors together: when one of them fails, the other one fails too.
///
/// A failure is a panic, or the failure of another link; a stop is none. The link holds for the present incarnations
/// and is gone after it has acted, so an actor that wants it again links again in its `started`. The actor that
/// follows is stopped, and then treated as after a panic: by its restart policy, with intensity and
/// backoff.
///
/// # Errors
///
/// [`NotSupervised`] if one of the addresses does not lead to a supervised actor.
pub fn link<A: Actor, B: Actor>(one: &Addr<A>, other: &Addr<B>) -> Result<(), NotSupervised> {
    let (one, other) = (find_for_link(one)?, find_for_link(other)?);
    if !Arc::ptr_eq(&one, &other) {
        one.link(&other);
        other.link(&one);
    }
    Ok(())
}

/// An address that does not lead to a supervised actor, or leads to one that has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{actor} is not supervised, or has ended")]
pub struct NotSupervised {
    actor: &'static str,
}

/// A watch on an actor: a future that resolves to its [`Down`].
///
/// # Cancel safety
///
/// Polling it by reference loses nothing; dropping it ends the watch.
#[derive(Debug)]
#[must_use = "a monitor does nothing but resolve"]
pub struct Monitor {
    name: Arc<str>,
    down: oneshot::Receiver<ExitReason>,
}

impl Future for Monitor {
    type Output = Down;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Down> {
        Pin::new(&mut self.down).poll(cx).map(|reason| Down {
            actor: Arc::clone(&self.name),
            reason: reason.unwrap_or(ExitReason::Unsupervised),
        })
    }
}

/// The supervised actors of this process by their addresses.
static SUPERVISED: LazyLock<Mutex<HashMap<AddrKey, Arc<ChildRecord>>>> =
    LazyLock::new(Mutex::default);

/// The identity of an address, whatever actor it leads to. It stays unique while the mailbox exists, and a
/// supervised actor is listed for no longer than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AddrKey(TypeId, u64);

impl AddrKey {
    pub(crate) fn of<A: Actor>(addr: &Addr<A>) -> Self {
        let mut number = HashedNumber(0);
        addr.hash(&mut number);
        Self(TypeId::of::<A>(), number.finish())
    }
}

/// Lists a supervised actor until [`delist`].
pub(crate) fn enlist(key: AddrKey, record: Arc<ChildRecord>) {
    SUPERVISED.lock().insert(key, record);
}

pub(crate) fn delist(key: AddrKey) {
    SUPERVISED.lock().remove(&key);
}

fn find<A: Actor>(addr: &Addr<A>) -> Option<Arc<ChildRecord>> {
    SUPERVISED.lock().get(&AddrKey::of(addr)).cloned()
}

fn find_for_link<A: Actor>(addr: &Addr<A>) -> Result<Arc<ChildRecord>, NotSupervised> {
    let actor = std::any::type_name::<A>();
    find(addr).ok_or(NotSupervised { actor })
}

/// Reads the one number that an address hashes.
struct HashedNumber(u64);

impl Hasher for HashedNumber {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_usize(&mut self, number: usize) {
        self.0 = number as u64;
    }
}
