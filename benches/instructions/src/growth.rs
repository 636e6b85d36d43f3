//! What must stay the same, however much there is: the cost of a message as messages pass, of a
//! message and of a copy as peers come, and of a join.

use super::paths::{Path, Run};
use super::valgrind::Counter;

/// One such law: two slopes, and how much larger the second may be.
#[derive(Debug)]
pub struct Law {
    pub what: &'static str,
    path: Path,
    small: Between,
    large: Between,
    /// Ten times as much, for a figure rather than for a guard.
    full: Between,
    pub limit: f64,
}

/// How far to look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent {
    /// As far as is sure to be short.
    #[default]
    Guard,
    /// To ten million messages and ten thousand peers, which takes minutes and as many descriptors.
    Full,
}

/// From which run to which a slope is taken.
#[derive(Debug, Clone, Copy)]
struct Between(Run, Run);

/// All of them.
pub const LAWS: [Law; 8] = [
    Law {
        what: "a message sent, from 1,000 messages on",
        path: Path::Send64,
        small: Between::messages(1, 1_000, 50_000),
        large: Between::messages(1, 50_000, 1_000_000),
        full: Between::messages(1, 1_000_000, 10_000_000),
        limit: 1.1,
    },
    Law {
        what: "a message received, from 1,000 messages on",
        path: Path::Receive64,
        small: Between::messages(1, 1_000, 50_000),
        large: Between::messages(1, 50_000, 1_000_000),
        full: Between::messages(1, 1_000_000, 10_000_000),
        limit: 1.1,
    },
    Law {
        what: "a message acknowledged, from 1,000 messages on",
        path: Path::SendAcknowledged,
        small: Between::messages(1, 1_000, 30_000),
        large: Between::messages(1, 30_000, 300_000),
        full: Between::messages(1, 300_000, 3_000_000),
        limit: 1.1,
    },
    Law {
        what: "a message in turn, from 10 peers on",
        path: Path::InTurn,
        small: Between::messages(10, 20_000, 220_000),
        large: Between::messages(1_000, 20_000, 220_000),
        full: Between::messages(10_000, 100_000, 400_000),
        limit: 1.25,
    },
    // From as many on as fill all peers that are to be full.
    Law {
        what: "a message in turn past full peers, from 10 peers on",
        path: Path::InTurnPastFull,
        small: Between::messages(10, 20_000, 120_000),
        large: Between::messages(1_000, 40_000, 140_000),
        full: Between::messages(10_000, 400_000, 500_000),
        limit: 1.5,
    },
    // So many that several blocks are handed out to each peer.
    Law {
        what: "a copy of a published message, from 10 peers on",
        path: Path::Publish,
        small: Between::messages(10, 10_000, 210_000),
        large: Between::messages(1_000, 100_000, 2_100_000),
        full: Between::messages(10_000, 1_000_000, 6_000_000),
        limit: 1.25,
    },
    Law {
        what: "a join, from 200 peers on",
        path: Path::Join,
        small: Between::peers(200, 600),
        large: Between::peers(1_600, 2_000),
        full: Between::peers(8_000, 10_000),
        limit: 1.5,
    },
    Law {
        what: "a join and a departure, from 200 peers on",
        path: Path::JoinAndLeave,
        small: Between::peers(200, 600),
        large: Between::peers(1_600, 2_000),
        full: Between::peers(8_000, 10_000),
        limit: 1.75,
    },
];

impl Between {
    const fn messages(peers: usize, from: u64, to: u64) -> Self {
        Self(Run::of(from, peers), Run::of(to, peers))
    }

    const fn peers(from: usize, to: usize) -> Self {
        Self(Run::of(0, from), Run::of(0, to))
    }
}

impl Law {
    /// Both slopes.
    pub fn count(&self, extent: Extent) -> (f64, f64) {
        let mut counter = Counter::of(self.path);
        let mut slope = |Between(from, to): Between| counter.slope(from, to);
        let large = match extent {
            Extent::Guard => self.large,
            Extent::Full => self.full,
        };
        (slope(self.small), slope(large))
    }
}
