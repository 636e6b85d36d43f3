//! One direction of a relay: what its two pumps share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::capture::CaptureWriter;
use super::counts::{Counts, RelayStats};
use super::event::{RelayDrop, RelayEvent};
use super::waiting::{WaitingAsk, WaitingAsks};
use crate::clock;
use crate::core::SocketCore;
use crate::engine::{LogPermit, NewAsk, NotNoted, ReturnTable};
use crate::event::Announcer;
use crate::id::Identity;
use crate::limits::DeliveryGuarantee;
use crate::link::{Entry, Link, Refused, Target};
use crate::payload::{AskEnvelope, AskId, AskKind, AskRefusal};
use crate::sync::Mutex;
use crate::telemetry::{self, Topic};
use crate::wire::NotHandled;

/// What is said to an asker whose ask will not be answered.
const PEER_GONE: &str = "the peer behind the relay is gone";
const ASK_TOO_LARGE: &str = "the ask is too large for the relay";
const ANSWER_TOO_LARGE: &str = "the answer is too large for the relay";

/// The bounds of a direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) max_open_asks: usize,
    pub(super) default_patience: Duration,
    pub(super) max_patience: Duration,
}

/// What both pumps of a direction share.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) from: Arc<SocketCore>,
    pub(super) to: Arc<SocketCore>,
    pub(super) counts: Counts,
    pub(super) capture: Option<Arc<CaptureWriter>>,
    table: Mutex<ReturnTable>,
    waiting: Arc<WaitingAsks>,
    bounds: Bounds,
    events: Arc<Announcer<RelayEvent>>,
}

impl Way {
    pub(super) fn new(
        from: &Arc<SocketCore>,
        to: &Arc<SocketCore>,
        bounds: Bounds,
        capture: Option<Arc<CaptureWriter>>,
        events: &Arc<Announcer<RelayEvent>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            from: Arc::clone(from),
            to: Arc::clone(to),
            counts: Counts::default(),
            capture,
            table: Mutex::new(ReturnTable::new(bounds.max_open_asks)),
            waiting: Arc::default(),
            bounds,
            events: Arc::clone(events),
        })
    }

    pub(super) fn stats(&self) -> RelayStats {
        let (captured, not_captured) = match &self.capture {
            Some(capture) => capture.counts(),
            None => (0, 0),
        };
        RelayStats {
            forwarded: self.counts.forwarded.get(),
            asks: self.counts.asks.get(),
            returned: self.counts.returned.get(),
            unanswered: self.counts.unanswered.get(),
            open_asks: self.table.lock().len(),
            waiting_asks: self.waiting.len(),
            dropped: self.counts.drops(),
            captured,
            not_captured,
        }
    }

    /// True while answers may come.
    pub(super) fn awaits_answers(&self) -> bool {
        self.table.lock().len() > 0
    }

    pub(super) fn drop_it(&self, peer: Identity, reason: RelayDrop) {
        tracing::debug!(%peer, %reason, "a relay does not pass something on");
        self.counts.note_drop(reason);
        self.events.announce(&RelayEvent::Dropped { peer, reason });
    }

    /// Until when the answer to an ask of this patience is waited for.
    pub(super) fn deadline(&self, patience_millis: u32) -> Instant {
        let patience = match patience_millis {
            0 => self.bounds.default_patience,
            millis => Duration::from_millis(millis.into()),
        };
        clock::after(patience.min(self.bounds.max_patience))
    }

    /// An ask is about to go to the peer of this link.
    pub(super) fn note_ask(
        &self,
        id: AskId,
        asker: Identity,
        link: &Link,
        deadline: Instant,
    ) -> Result<(), RelayDrop> {
        let ask = NewAsk {
            id,
            asker,
            asked: (link.peer(), link.serial()),
            deadline,
        };
        let mut table = self.table.lock();
        let noted = match table.handle_ask(ask) {
            Err(NotNoted::Full) => {
                self.counts.unanswered.add(table.handle_time(clock::now()));
                table.handle_ask(ask)
            }
            noted => noted,
        };
        noted.map_err(|error| match error {
            NotNoted::Full => RelayDrop::AsksFull,
            NotNoted::Twice => RelayDrop::AskedTwice,
        })
    }

    /// The ask did not go to this peer after all. False if it has ended meanwhile, which its asker knows.
    pub(super) fn forget_ask(&self, id: AskId, asked: Identity) -> bool {
        self.table.lock().handle_answer(id, asked).is_some()
    }

    /// A place for an ask that has to wait, if there is one.
    pub(super) fn enter_waiting(
        &self,
        id: AskId,
        asker: Identity,
    ) -> Result<WaitingAsk, RelayDrop> {
        if self.table.lock().len() + self.waiting.len() >= self.bounds.max_open_asks {
            return Err(RelayDrop::AsksFull);
        }
        self.waiting.enter(id, asker).ok_or(RelayDrop::AskedTwice)
    }

    /// An ask is not passed on, which its asker is told.
    pub(super) fn refuse_ask(&self, id: AskId, asker: Identity, reason: RelayDrop) {
        self.drop_it(asker, reason);
        match reason {
            RelayDrop::TooLarge => self.tell_failure(id, asker, ASK_TOO_LARGE),
            RelayDrop::Service => self.tell_refusal(id, asker, NotHandled::NoSuchService),
            _ => self.tell_refusal(id, asker, NotHandled::Busy),
        }
    }

    /// An asker has given up: an ask that waits is passed on to nobody, and whoever was asked is told.
    pub(super) fn cancel(&self, id: AskId, asker: Identity, payload: Bytes) {
        self.waiting.give_up(id, asker);
        let asked = self.table.lock().handle_cancel(id, asker);
        if let Some(asked) = asked {
            // It only spares the peer work that nobody wants.
            let _ = push(&self.to, asked, payload);
        }
    }

    /// A peer of the front has gone: nobody waits for the answers to its asks.
    pub(super) fn handle_asker_gone(&self, asker: Identity) {
        if self.from.router.is_connected(asker) {
            return;
        }
        self.waiting.give_up_all_of(asker);
        let gone = self.table.lock().handle_asker_gone(asker);
        for (id, asked) in gone {
            let cancel = AskEnvelope::new(AskKind::Cancel, id).write(&[]);
            let _ = push(&self.to, asked, cancel.into());
        }
    }

    /// A peer of the back has gone: it will not answer, which those who asked it are told.
    pub(super) fn handle_asked_gone(&self, peer: Identity) {
        let now = self.to.router.link_to(peer).map(|link| link.serial());
        let gone = self.table.lock().handle_asked_gone(peer, now);
        for (id, asker) in gone {
            self.tell_failure(id, asker, PEER_GONE);
        }
    }

    /// Ends the asks whose time is over.
    pub(super) fn handle_time(&self, now: Instant) {
        let ended = self.table.lock().handle_time(now);
        self.counts.unanswered.add(ended);
    }

    /// A peer of the back has answered.
    pub(super) fn bring_back(&self, id: AskId, from: Identity, payload: Bytes) {
        let Some(asker) = self.table.lock().handle_answer(id, from) else {
            return self.drop_it(from, RelayDrop::Unasked);
        };
        match push(&self.from, asker, payload) {
            Ok(()) => self.counts.returned.add(1),
            Err(reason) => {
                self.drop_it(from, reason);
                match reason {
                    RelayDrop::TooLarge => self.tell_failure(id, asker, ANSWER_TOO_LARGE),
                    RelayDrop::AskerFull => warn_of(asker),
                    _ => {}
                }
            }
        }
    }

    fn tell_failure(&self, id: AskId, asker: Identity, text: &str) {
        let failure = AskEnvelope::new(AskKind::Failure, id).write(text.as_bytes());
        // Whoever does not take it waits until its timeout.
        let _ = push(&self.from, asker, failure.into());
    }

    fn tell_refusal(&self, id: AskId, asker: Identity, reason: NotHandled) {
        let refusal = AskRefusal {
            reason,
            retry_after: Duration::ZERO,
        };
        let _ = push(&self.from, asker, refusal.write(id).into());
    }
}

/// Queues a payload for one peer that is connected, without waiting.
fn push(core: &SocketCore, peer: Identity, payload: Bytes) -> Result<(), RelayDrop> {
    let guarantee = DeliveryGuarantee::AtMostOnce;
    if payload.len() > Link::max_payload(guarantee, core.config.max_frame_bytes) {
        return Err(RelayDrop::TooLarge);
    }
    let link = core.router.link_to(peer).ok_or(RelayDrop::AskerGone)?;
    let mut entry = Entry::new(Target::Peer(peer), guarantee, payload);
    let pushed = core.router.push_answer(&link, &mut entry);
    pushed.map_err(|refused| match refused {
        Refused::Full => RelayDrop::AskerFull,
        Refused::Closed => RelayDrop::AskerGone,
    })
}

fn warn_of(asker: Identity) {
    if let Some(LogPermit { unlogged }) = telemetry::line(Topic::NotSent, asker) {
        tracing::warn!(peer = %asker, unlogged, "a relay dropped an answer, which its peer leaves no room for; whoever asked waits until its timeout");
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::link::LinkLimits;

    #[test]
    fn an_ask_that_waits_and_is_open_counts_once() {
        let core = || SocketCore::new(Config::new(), clock::now());
        let bounds = Bounds {
            max_open_asks: 2,
            default_patience: Duration::from_secs(60),
            max_patience: Duration::from_secs(60),
        };
        let way = Way::new(&core(), &core(), bounds, None, &Arc::new(Announcer::new()));
        let link = Link::without_socket(Identity::from_bytes([7; 16]), 1, LinkLimits::of(8, 1024));
        let asker = Identity::from_bytes([8; 16]);
        let counts = || (way.stats().open_asks, way.stats().waiting_asks);

        let enter = |id| way.enter_waiting([id; 16], asker);
        let mut first = enter(1).unwrap();
        assert_eq!(enter(1).unwrap_err(), RelayDrop::AskedTwice);
        assert_eq!(counts(), (0, 1));
        way.note_ask([1; 16], asker, &link, way.deadline(0))
            .unwrap();
        first.pause();
        assert_eq!(counts(), (1, 0));
        let second = enter(2).unwrap();
        assert_eq!(enter(3).unwrap_err(), RelayDrop::AsksFull);
        assert_eq!(counts(), (1, 1));
        way.forget_ask([1; 16], link.peer());
        first.resume();
        assert_eq!(counts(), (0, 2));
        drop((first, second));
        assert_eq!(counts(), (0, 0));
    }
}
