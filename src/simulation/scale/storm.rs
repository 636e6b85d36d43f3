//! Dialers that have lost their connections, and bind ends that can serve so many of them a second.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::engine::{AfterDial, Backoff, DialOutcome, Redial};
use crate::event::RefusalReason;
use crate::id::Identity;

/// TCP connections that a bind end's system holds until they are accepted, and handshakes that the socket has at a time.
const WAITING: usize = 4096;
/// After so long a dialer gives up on a system that does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// After so long either end gives up a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(8);
/// The width of a column of the curves.
pub(super) const STEP: Duration = Duration::from_millis(100);

/// What happens to the bind ends.
#[derive(Debug, Clone)]
pub(super) struct Outage {
    /// Bind ends, each with as many dialers.
    pub(super) servers: usize,
    pub(super) dialers_each: usize,
    /// How many of them stop at a time, and the time between two such groups.
    pub(super) together: usize,
    pub(super) every: Duration,
    /// For how long each is away.
    pub(super) away: Duration,
    /// Handshakes that each finishes in a second.
    pub(super) handshakes_per_second: u32,
}

/// What the dialers did, by time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Curves {
    /// Connections that there are at the end of each step.
    pub(super) connected: Vec<u64>,
    /// Attempts that begin in each step, at all bind ends.
    pub(super) attempts: Vec<u64>,
    /// The most attempts in one step at one bind end that is there.
    pub(super) peak_at_one: u64,
    /// When the last dialer was connected.
    pub(super) whole_after: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// A bind end goes away; its dialers notice at once.
    Stop(u32),
    /// A dialer tries.
    Dial(u32),
    /// A handshake that waited has been finished, and its dialer is still there.
    Up,
    /// An attempt has come to nothing.
    Failed(u32),
}

struct Dialer {
    redial: Redial,
    peer: Identity,
}

struct Server {
    away_until: Duration,
    /// When the handshakes that wait now will be finished.
    busy_until: Duration,
    attempts_in_step: (u64, u64),
}

pub(super) struct Storm {
    outage: Outage,
    dialers: Vec<Dialer>,
    servers: Vec<Server>,
    queue: BinaryHeap<Reverse<(Duration, Happening)>>,
    connected: u64,
    curves: Curves,
}

impl Storm {
    /// All dialers are connected, and have been for long.
    pub(super) fn new(outage: Outage, backoff: &Backoff) -> Self {
        let count = outage.servers * outage.dialers_each;
        let dialers = (0..count).map(|number| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(number as u64).to_be_bytes());
            Dialer {
                redial: Redial::new(backoff.delays_seeded(number as u64)),
                peer: Identity::from_bytes(id),
            }
        });
        let servers = (0..outage.servers).map(|_| Server {
            away_until: Duration::ZERO,
            busy_until: Duration::ZERO,
            attempts_in_step: (0, 0),
        });
        let mut queue = BinaryHeap::new();
        for server in 0..outage.servers {
            let group = (server / outage.together) as u32;
            let when = outage.every * group;
            queue.push(Reverse((when, Happening::Stop(server as u32))));
        }
        Self {
            dialers: dialers.collect(),
            servers: servers.collect(),
            queue,
            connected: count as u64,
            curves: Curves::default(),
            outage,
        }
    }

    /// Until all are connected again.
    pub(super) fn run(mut self) -> Curves {
        while let Some(Reverse((now, happening))) = self.queue.pop() {
            self.fill_curves(now);
            match happening {
                Happening::Stop(server) => self.stop(now, server as usize),
                Happening::Dial(dialer) => self.dial(now, dialer as usize),
                Happening::Up => {
                    self.connected += 1;
                    self.curves.whole_after = now;
                }
                Happening::Failed(dialer) => {
                    let refused = DialOutcome::Refused(RefusalReason::TimedOut);
                    self.redial(now, dialer as usize, refused);
                }
            }
        }
        self.fill_curves(self.curves.whole_after + STEP);
        assert_eq!(self.connected, self.dialers.len() as u64);
        self.curves
    }

    /// The steps that have ended by now have the values of this moment.
    fn fill_curves(&mut self, now: Duration) {
        let step = step_of(now) as usize;
        if self.curves.connected.len() < step {
            self.curves.connected.resize(step, self.connected);
        }
        if self.curves.attempts.len() <= step {
            self.curves.attempts.resize(step + 1, 0);
        }
    }

    fn stop(&mut self, now: Duration, server: usize) {
        self.servers[server].away_until = now + self.outage.away;
        let first = server * self.outage.dialers_each;
        for dialer in first..first + self.outage.dialers_each {
            self.connected -= 1;
            let ended = DialOutcome::Ended(self.dialers[dialer].peer, Duration::from_secs(3600));
            self.redial(now, dialer, ended);
        }
    }

    fn redial(&mut self, now: Duration, dialer: usize, outcome: DialOutcome) {
        let pause = match self.dialers[dialer]
            .redial
            .handle_outcome(outcome, |_| false)
        {
            AfterDial::Pause(pause)
            | AfterDial::Fail {
                next_try: pause, ..
            } => pause,
            AfterDial::WaitUntilGone(_) => unreachable!("nobody is connected twice"),
        };
        self.queue
            .push(Reverse((now + pause, Happening::Dial(dialer as u32))));
    }

    fn dial(&mut self, now: Duration, dialer: usize) {
        let step = step_of(now);
        self.curves.attempts[step as usize] += 1;
        let server = &mut self.servers[dialer / self.outage.dialers_each];
        if now < server.away_until {
            // The system answers that nobody listens.
            let refused = DialOutcome::Refused(RefusalReason::Unreachable(String::new()));
            return self.redial(now, dialer, refused);
        }
        if server.attempts_in_step.0 != step {
            server.attempts_in_step = (step, 0);
        }
        server.attempts_in_step.1 += 1;
        self.curves.peak_at_one = self.curves.peak_at_one.max(server.attempts_in_step.1);
        let each = Duration::from_secs(1) / self.outage.handshakes_per_second;
        let waits = server.busy_until.saturating_sub(now);
        let (then, happening) = if waits >= each * WAITING as u32 {
            (CONNECT_TIMEOUT, Happening::Failed(dialer as u32))
        } else {
            // One that nobody waits for any more costs as much.
            server.busy_until = now.max(server.busy_until) + each;
            match waits + each {
                takes if takes <= HANDSHAKE_TIMEOUT => (takes, Happening::Up),
                _ => (HANDSHAKE_TIMEOUT, Happening::Failed(dialer as u32)),
            }
        };
        self.queue.push(Reverse((now + then, happening)));
    }
}

fn step_of(now: Duration) -> u64 {
    (now.as_millis() / STEP.as_millis()) as u64
}
