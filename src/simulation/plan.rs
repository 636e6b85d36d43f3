//! What one seed decides before anything runs: who is there, what they do, and what goes wrong.

use std::time::Duration;

use super::dice::Dice;
use super::network::Quality;
use super::services::ServicePlan;
use crate::config::Config;
use crate::id::Identity;
use crate::limits::{AckPolicy, Capacity, Dedupe, DeliveryGuarantee, Limits, Overflow, SendMode};

/// How the sockets of a simulation are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// All others dial the first.
    Star,
    /// The first dials all others.
    ReverseStar,
    /// Each dials all that come before it.
    Mesh,
    /// Each dials each.
    Mutual,
}

/// What the handlers of a simulation do with what they get, in so many of a hundred cases.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manners {
    pub(super) panic: u64,
    pub(super) nack: u64,
    pub(super) reject: u64,
    pub(super) reply: u64,
    /// Whether handlers are asynchronous, and for how long at most, in milliseconds.
    pub(super) takes: Option<u64>,
    pub(super) in_flight: usize,
    pub(super) echo: Echo,
    /// How long after its socket a handler subscribes, and at which place alone, if not at all.
    pub(super) asleep: Duration,
    pub(super) asleep_at: Option<usize>,
}

/// What becomes of a message that may be echoed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Echo {
    #[default]
    Nothing,
    /// It is sent back, and the handler awaits that.
    Awaits,
    /// It is answered.
    Replies,
}

/// How often what goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    /// For how long, in milliseconds.
    pub(super) last: u64,
    /// Between two of them, in milliseconds.
    pub(super) apart: u64,
    pub(super) kills: bool,
}

/// What the senders of a simulation send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) senders: usize,
    pub(super) messages: u32,
    pub(super) reliable: u64,
    pub(super) named: u64,
    pub(super) mortal: u64,
    pub(super) gives_up: u64,
    pub(super) large: u64,
    /// Pause between two messages of a sender, at most, in milliseconds.
    pub(super) pause: u64,
    pub(super) hops: u16,
    pub(super) large_replies: bool,
    /// True if senders begin only when all peers are there.
    pub(super) waits_for_peers: bool,
}

/// What the sockets are set to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policies {
    pub(super) link: Overflow,
    pub(super) publish: Overflow,
    pub(super) outbox: Overflow,
    pub(super) hold_for_absent: bool,
    pub(super) dedupes: bool,
    pub(super) acknowledges: AckPolicy,
}

impl Policies {
    /// Those that a socket has by default.
    pub(super) fn usual() -> Self {
        let usual = Config::new();
        Self {
            link: usual.limits.link_overflow,
            publish: usual.limits.publish_overflow,
            outbox: usual.limits.outbox_overflow,
            hold_for_absent: usual.hold_for_absent,
            dedupes: false,
            acknowledges: AckPolicy::OnHandled,
        }
    }

    fn any(dice: &Dice) -> Self {
        let usual = Self::usual();
        if dice.percent(60) {
            let dedupes = dice.percent(30);
            return Self { dedupes, ..usual };
        }
        let outbox = [
            Overflow::Wait,
            Overflow::WaitFor(Duration::from_millis(20)),
            Overflow::Fail,
            Overflow::DropOldest,
            Overflow::DropNewest,
        ];
        let mut link = outbox.to_vec();
        link.push(Overflow::Disconnect);
        Self {
            link: dice.one_of(&link),
            publish: dice.one_of(&link),
            outbox: dice.one_of(&outbox),
            hold_for_absent: dice.percent(80),
            dedupes: dice.percent(30),
            acknowledges: dice.one_of(&[AckPolicy::OnHandled, AckPolicy::OnReceipt]),
        }
    }
}

/// What is wrong with how the sockets dedupe, unknown to the ledger: it is to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// Nothing is.
    None,
    /// They do not dedupe at all.
    NoMemory,
    /// They forget what was finished when the next message is.
    ShortMemory,
    /// They forget what was finished a moment ago.
    OfMoments,
}

/// Everything that is decided beforehand.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Everything has to arrive, once, in order and in fair shares.
    pub(super) calm: bool,
    pub(super) sockets: usize,
    pub(super) shape: Shape,
    /// Who sends besides the first; all do if true.
    pub(super) all_send: bool,
    pub(super) send_mode: SendMode,
    pub(super) guarantee: DeliveryGuarantee,
    pub(super) link: Capacity,
    pub(super) unacknowledged: Capacity,
    pub(super) outbox: Capacity,
    pub(super) inbox: Capacity,
    pub(super) policies: Policies,
    pub(super) quality: Quality,
    pub(super) manners: Manners,
    pub(super) load: Load,
    pub(super) faults: Faults,
    pub(super) sabotage: Sabotage,
    /// The place whose socket takes no frame above [`NARROW`], if any.
    pub(super) narrow_at: Option<usize>,
    /// What they do with a service, if anything.
    pub(super) services: Option<ServicePlan>,
    /// How long all may take once nothing goes wrong any more.
    pub(super) patience: Duration,
}

pub(super) const LARGEST: usize = 20 * 1024;

/// The frame limit of a socket that cannot take the largest messages.
pub(super) const NARROW: usize = 10 * 1024;

/// How late a handler may subscribe without the loss of a message.
const IN_TIME: Duration = Duration::from_secs(2);

impl Plan {
    /// Nothing goes wrong and there is room for everything.
    pub(super) fn calm(dice: &Dice) -> Self {
        let wide = Capacity {
            messages: 4_096,
            bytes: 1 << 20,
        };
        Self {
            calm: true,
            sockets: 2 + dice.below(4),
            shape: dice.one_of(&[Shape::Star, Shape::ReverseStar, Shape::Mesh]),
            all_send: dice.percent(50),
            send_mode: dice.one_of(&[SendMode::RoundRobin, SendMode::Publish]),
            guarantee: DeliveryGuarantee::AtMostOnce,
            link: wide,
            unacknowledged: wide,
            outbox: wide,
            inbox: Capacity {
                messages: 4_096,
                bytes: 1 << 20,
            },
            policies: Policies::usual(),
            quality: quality(dice),
            manners: Manners {
                takes: dice.percent(30).then_some(5),
                in_flight: 1,
                ..Manners::default()
            },
            load: Load {
                senders: 1 + dice.below(2),
                messages: 30,
                reliable: dice.one_of(&[0, 0, 30, 100]),
                named: dice.one_of(&[0, 0, 30]),
                mortal: 0,
                gives_up: 0,
                large: dice.one_of(&[0, 5]),
                pause: dice.one_of(&[0, 3, 50]),
                hops: 0,
                large_replies: false,
                waits_for_peers: true,
            },
            faults: Faults::default(),
            sabotage: Sabotage::None,
            narrow_at: None,
            services: None,
            patience: Duration::from_secs(120),
        }
    }

    /// Small queues, handlers that fail, and a network that breaks.
    pub(super) fn stormy(dice: &Dice) -> Self {
        let room = |least: u64, most: u64| Capacity {
            messages: dice.between(least, most) as usize,
            bytes: dice.between(100, 4_000) as usize,
        };
        let slow = dice.percent(40);
        Self {
            calm: false,
            sockets: 2 + dice.below(4),
            shape: dice.one_of(&[Shape::Star, Shape::ReverseStar, Shape::Mesh, Shape::Mutual]),
            all_send: dice.percent(50),
            send_mode: dice.one_of(&[
                SendMode::RoundRobin,
                SendMode::RoundRobin,
                SendMode::Publish,
            ]),
            guarantee: dice.one_of(&[
                DeliveryGuarantee::AtMostOnce,
                DeliveryGuarantee::AtLeastOnce,
            ]),
            link: room(1, 20),
            unacknowledged: room(1, 20),
            outbox: room(1, 40),
            inbox: Capacity {
                messages: dice.between(1, 30) as usize,
                bytes: dice.one_of(&[100, 70_000, 200_000]),
            },
            policies: Policies::any(dice),
            quality: quality(dice),
            manners: Manners {
                panic: dice.one_of(&[0, 0, 10]),
                nack: dice.one_of(&[0, 0, 10]),
                reject: dice.one_of(&[0, 5]),
                reply: dice.one_of(&[0, 0, 30]),
                takes: slow.then_some(dice.one_of(&[1, 20, 300])),
                in_flight: dice.one_of(&[1, 1, 3]),
                asleep: Duration::from_millis(dice.one_of(&[0, 0, 0, 1_000, 20_000])),
                asleep_at: dice.percent(50).then(|| dice.below(2)),
                ..Manners::default()
            },
            load: Load {
                senders: 1 + dice.below(2),
                messages: 25,
                reliable: dice.one_of(&[0, 50, 100]),
                named: dice.one_of(&[0, 30]),
                mortal: dice.one_of(&[0, 0, 20]),
                gives_up: dice.one_of(&[0, 10]),
                large: dice.one_of(&[0, 3]),
                pause: dice.one_of(&[0, 10, 400]),
                hops: 0,
                large_replies: false,
                waits_for_peers: false,
            },
            faults: Faults {
                last: dice.one_of(&[1_000, 10_000, 40_000]),
                apart: dice.one_of(&[100, 1_000, 5_000]),
                kills: false,
            },
            sabotage: Sabotage::None,
            narrow_at: None,
            services: None,
            patience: Duration::from_secs(900),
        }
    }

    /// As [`stormy`](Self::stormy), and processes and machines die and come back besides.
    pub(super) fn deadly(dice: &Dice) -> Self {
        let mut plan = Self::stormy(dice);
        plan.faults.kills = true;
        plan
    }

    /// As [`stormy`](Self::stormy), with a peer that cannot take some of the messages.
    pub(super) fn narrow(dice: &Dice) -> Self {
        let mut plan = Self::stormy(dice);
        plan.narrow_at = Some(dice.below(2));
        plan.load.large = dice.one_of(&[3, 10]);
        plan.load.reliable = dice.one_of(&[50, 100]);
        plan.manners.asleep = plan.manners.asleep.min(IN_TIME / 2);
        // Else each repetition is answered anew, and where an answer in ten is one that its peer cannot take, each of those
        // is the reason of more repetitions than its end takes back.
        plan.policies.dedupes |= plan.manners.reply > 0;
        // Each of them is found out one after the other.
        plan.patience = Duration::from_secs(36_000);
        plan
    }

    /// How long after its socket the handler at a place subscribes.
    pub(super) fn asleep(&self, place: usize) -> Duration {
        match self.manners.asleep_at.is_none_or(|asleep| asleep == place) {
            true => self.manners.asleep,
            false => Duration::ZERO,
        }
    }

    /// True if the handler at a place subscribes so late that messages may be given up before.
    pub(super) fn is_late(&self, place: usize) -> bool {
        self.asleep(place) >= IN_TIME
    }

    /// True if what was accepted may be dropped for want of room.
    pub(super) fn may_drop(&self) -> bool {
        let Policies {
            link,
            publish,
            outbox,
            ..
        } = self.policies;
        let drops = |policy| matches!(policy, Overflow::DropOldest | Overflow::DropNewest);
        self.send_mode == SendMode::Publish || [link, publish, outbox].into_iter().any(drops)
    }

    /// Whom a socket dials.
    pub(super) fn dials(&self, socket: usize) -> Vec<usize> {
        let others = (0..self.sockets).filter(|&other| other != socket);
        match self.shape {
            Shape::Star if socket > 0 => vec![0],
            Shape::ReverseStar if socket == 0 => others.collect(),
            Shape::Star | Shape::ReverseStar => Vec::new(),
            Shape::Mesh => (0..socket).collect(),
            Shape::Mutual => others.collect(),
        }
    }

    /// How many peers a socket will have.
    pub(super) fn peers_of(&self, socket: usize) -> usize {
        match self.shape {
            Shape::Star | Shape::ReverseStar if socket > 0 => 1,
            _ => self.sockets - 1,
        }
    }

    pub(super) fn sends(&self, socket: usize) -> bool {
        socket == 0 || self.all_send
    }

    /// Payload bytes of the next message, besides its number.
    pub(super) fn size(&self, dice: &Dice) -> usize {
        match dice.percent(self.load.large) {
            true => LARGEST,
            false => dice.below(120),
        }
    }

    fn dedupe(&self) -> Option<Dedupe> {
        let long = Duration::from_secs(100_000);
        let memory = match self.sabotage {
            Sabotage::None => Dedupe::within(100_000, long),
            Sabotage::NoMemory => return None,
            Sabotage::ShortMemory => Dedupe::within(1, long),
            Sabotage::OfMoments => Dedupe::within(100_000, Duration::from_millis(1)),
        };
        self.policies.dedupes.then_some(memory)
    }

    pub(super) fn config(&self, place: usize, identity: Identity) -> Config {
        let usual = Config::new();
        Config {
            identity,
            max_frame_bytes: match self.narrow_at == Some(place) {
                true => NARROW as u32,
                false => usual.max_frame_bytes,
            },
            send_mode: self.send_mode,
            guarantee: match self.send_mode {
                SendMode::RoundRobin => self.guarantee,
                SendMode::Publish => DeliveryGuarantee::AtMostOnce,
            },
            hold_for_absent: self.policies.hold_for_absent,
            ack_policy: self.policies.acknowledges,
            dedupe: self.dedupe(),
            // Some read metadata, and some do not.
            read_metadata: identity.as_bytes()[0].is_multiple_of(2),
            limits: Limits {
                max_connections: 1_000,
                link_overflow: self.policies.link,
                publish_overflow: self.policies.publish,
                outbox_overflow: self.policies.outbox,
                link_capacity: self.link,
                unacknowledged_capacity: self.unacknowledged,
                outbox_capacity: self.outbox,
                inbox_capacity: self.inbox,
                ..Limits::default()
            },
            ..usual
        }
    }
}

fn quality(dice: &Dice) -> Quality {
    // A narrow pipe with a long delay would take hours for anything.
    let (latency, capacity) = dice.one_of(&[
        ((0, 0), 64),
        ((0, 0), 65_536),
        ((0, 3), 1_000),
        ((1, 40), 4_000),
        ((50, 400), 65_536),
    ]);
    Quality {
        latency,
        capacity,
        split_percent: dice.one_of(&[0, 20, 90]),
    }
}
