//! Decisions about a link that is full, or whose peer takes nothing.
//!
//! A link reports its content and its events to its [`Pressure`]; the answers are the link's next steps.
//! Nothing here looks at a queue.

mod catch_up;
mod deadlock_relief;
mod reply_debt;
mod shedding;
mod subscriber_watch;

use std::time::Duration;

use catch_up::CatchUp;
pub(crate) use catch_up::{Backlog, CatchUpStep};
use deadlock_relief::DeadlockRelief;
pub(crate) use deadlock_relief::{Movement, Outflow, Relief};
use reply_debt::ReplyDebt;
pub(crate) use reply_debt::{Debt, Repayment};
use shedding::Shedding;
pub(crate) use shedding::{Fit, Oldest, Shed, ShedStep};
use subscriber_watch::SubscriberWatch;
pub(crate) use subscriber_watch::{Tolerance, Verdict};

use crate::limits::Capacity;

/// The state of a link that is full, or that stands still.
#[derive(Debug)]
pub(crate) struct Pressure {
    shedding: Shedding,
    catch_up: CatchUp,
    relief: DeadlockRelief,
    debt: ReplyDebt,
    watch: SubscriberWatch,
}

impl Pressure {
    /// The state of a link that holds nothing.
    pub(crate) const fn new() -> Self {
        Self {
            shedding: Shedding::Off,
            catch_up: CatchUp::new(),
            relief: DeadlockRelief::new(),
            debt: ReplyDebt::new(),
            watch: SubscriberWatch::new(),
        }
    }

    /// Factor on the bound of the link, raised while both ends wait for each other.
    #[inline]
    pub(crate) const fn factor(&self) -> usize {
        self.relief.factor()
    }

    /// The message to drop for want of room, if nobody is to wait for this link.
    #[inline]
    pub(crate) const fn shed(&self) -> Option<Shed> {
        self.shedding.shed()
    }

    /// Nobody waits for this link any more until it has drained to half its bound: meanwhile messages are
    /// dropped where there is no room.
    pub(crate) fn start_shedding(&mut self, shed: Shed) {
        self.shedding = Shedding::On(shed);
    }

    /// Whether signs of life of a subscriber are to be told.
    #[inline]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.watch.is_watched()
    }

    /// A published message was refused. Yields how long such messages have waited for this subscriber, if
    /// that is worth telling, and what is to be done about it.
    pub(crate) fn handle_full(
        &mut self,
        now: Duration,
        tolerance: Tolerance,
    ) -> (Option<Duration>, Verdict) {
        let noticed = self.watch.handle_full(now, tolerance);
        (noticed, self.watch.verdict(now))
    }

    /// A subscriber is stalled: nobody waits for it until it has drained to half, or shows signs of life
    /// without a pause.
    pub(crate) fn give_up(&mut self, now: Duration) {
        self.watch.give_up(now);
        self.start_shedding(Shed::Oldest);
    }

    /// The kernel took so many bytes for a subscriber.
    pub(crate) fn handle_sign_of_life(&mut self, now: Duration, bytes: usize) {
        if self.watch.handle_sign_of_life(now, bytes) {
            self.shedding = Shedding::Off;
        }
    }

    /// The subscriber's handlers were through with so many messages.
    pub(crate) fn handle_taken(&mut self, now: Duration, messages: u64) {
        if self.watch.handle_taken(now, messages) {
            self.shedding = Shedding::Off;
        }
    }

    /// How long published messages have waited for this subscriber: lately, and in all.
    pub(crate) fn waited(&self, now: Duration) -> (Duration, Duration) {
        self.watch.waited(now)
    }

    /// Since when the link has been full for what is published, without having drained to half.
    #[cfg(feature = "inspection")]
    pub(crate) fn pressed_since(&self) -> Option<Duration> {
        self.watch.pressed_since()
    }

    /// A reply of so many bytes was queued, and is among what is `queued` now.
    #[inline]
    pub(crate) fn handle_reply(&mut self, bytes: usize, queued: Capacity, bound: Capacity) -> Debt {
        self.debt.handle_reply(bytes, queued, bound)
    }

    /// True if the peer has left more replies unread than it is answered for.
    pub(crate) fn owes_too_much(&self, bound: Capacity) -> bool {
        self.debt.is_too_much(bound)
    }

    /// Some of what was queued has been written; so much is left.
    #[inline]
    pub(crate) fn handle_written(&mut self, queued: Capacity, bound: Capacity) -> Repayment {
        self.shedding.handle_written(queued, bound);
        self.watch.handle_room(queued.is_at_most_half_of(bound));
        self.debt.handle_written(queued, bound)
    }

    /// The peer's backlog is in the link, which had written `sent` messages before.
    pub(crate) fn start_catching_up(&mut self, now: Duration, sent: u64) {
        self.catch_up.start(now, sent);
    }

    /// Progress of the peer with its backlog. `held` is the number of messages that it has yet to
    /// take, or to acknowledge.
    pub(crate) fn backlog(&self, now: Duration, held: usize) -> Backlog {
        self.catch_up.backlog(now, held)
    }

    /// A sweep: so many messages were written so far, and so many are left.
    pub(crate) fn handle_catch_up(&mut self, now: Duration, sent: u64, held: usize) -> CatchUpStep {
        self.catch_up.handle_sweep(now, sent, held)
    }

    /// A sweep: whether both ends of the link wait for each other.
    pub(crate) fn handle_movement(
        &mut self,
        now: Duration,
        movement: Movement,
        outflow: Outflow,
    ) -> Relief {
        self.relief.handle_sweep(now, movement, outflow)
    }

    /// True if the next sweep has something to decide: a peer that catches up, a bound that was raised and
    /// is to come down again, or a standstill that may have ended.
    pub(crate) const fn is_watched(&self) -> bool {
        self.catch_up.is_watched() || self.relief.is_watched()
    }
}
