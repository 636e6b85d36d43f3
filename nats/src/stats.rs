//! What a bridge has done.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

macro_rules! stats {
    ($($(#[$doc:meta])* $kind:ident $name:ident,)*) => {
        /// What a bridge has done since it was started, restarts included, and what it holds now.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct BridgeStats {
            $($(#[$doc])* pub $name: stats!(@value $kind),)*
        }

        /// The same, as it is counted.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: stats!(@cell $kind),)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> BridgeStats {
                BridgeStats {
                    $($name: self.$name.load(Ordering::Relaxed),)*
                }
            }
        }
    };
    (@value count) => { u64 };
    (@value now) => { usize };
    (@cell count) => { AtomicU64 };
    (@cell now) => { AtomicUsize };
}

stats! {
    /// Messages of the socket that JetStream has acknowledged.
    count stored,
    /// Of these, the ones that it knew already by their `Nats-Msg-Id`.
    count stored_before,
    /// Messages of the socket that were published to a subject without a stream.
    count published,
    /// Attempts to publish that failed, and were made again.
    count retried,
    /// Messages of the socket that were refused: too large, or of a peer that has no subject.
    count refused,
    /// Messages at most once that could not be published: dead letters of the socket.
    count given_up,
    /// Messages of the socket that are published and not acknowledged.
    now storing,
    /// Their bytes.
    now storing_bytes,
    /// Messages of streams that a peer has handled, and that were acknowledged to JetStream.
    count delivered,
    /// Messages of streams that came again while the bridge still had them.
    count came_again,
    /// Messages of streams that went back to JetStream, which sends them again.
    count returned,
    /// Messages of streams that no peer will ever take: too large for the socket, or refused by the peer. JetStream does not send them again.
    count terminated,
    /// Messages of subjects without a stream that the socket took.
    count forwarded,
    /// Messages of subjects without a stream that the socket did not take: no room, or too large, or for nobody on the list. Beside them, the
    /// client drops what it has no room for; `overruns` counts how often.
    count dropped,
    /// How often NATS sent faster than the socket took, so that messages of a subject without a stream were dropped.
    count overruns,
    /// Messages of streams that are with peers and not yet handled.
    now delivering,
    /// Their bytes.
    now delivering_bytes,
    /// Connections to NATS, the first one and those after a loss.
    count connections,
    /// How often JetStream stopped taking messages.
    count stalls,
    /// How often the bridge had to begin anew: after a panic, or because a consumer or a subscription ended.
    count sessions,
    /// Events that the recipient had no room for.
    count missed_events,
}

pub(crate) fn add(cell: &AtomicU64) {
    cell.fetch_add(1, Ordering::Relaxed);
}

/// A message that is held: counted in messages and bytes for as long as this lives.
#[derive(Debug)]
pub(crate) struct Holding<'a> {
    messages: &'a AtomicUsize,
    bytes: &'a AtomicUsize,
    size: usize,
}

impl<'a> Holding<'a> {
    pub(crate) fn new(messages: &'a AtomicUsize, bytes: &'a AtomicUsize, size: usize) -> Self {
        messages.fetch_add(1, Ordering::Relaxed);
        bytes.fetch_add(size, Ordering::Relaxed);
        Self {
            messages,
            bytes,
            size,
        }
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.messages.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(self.size, Ordering::Relaxed);
    }
}
