//! What must stay the same, however much there is: the cost of a message as messages pass, of a
//! message and of a copy as peers come, and of a join.

use super::paths::{Path, Run};
use super::valgrind;

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
pub const LAWS: [Law; 7] = [
    Law {
        what: "a message sent, from 1,000 messages on",
        path: Path::Send64,
        small: Between(Run::of(1_000, 1), Run::of(50_000, 1)),
        large: Between(Run::of(50_000, 1), Run::of(1_000_000, 1)),
        full: Between(Run::of(1_000_000, 1), Run::of(10_000_000, 1)),
        limit: 1.1,
    },
    Law {
        what: "a message received, from 1,000 messages on",
        path: Path::Receive64,
        small: Between(Run::of(1_000, 1), Run::of(50_000, 1)),
        large: Between(Run::of(50_000, 1), Run::of(1_000_000, 1)),
        full: Between(Run::of(1_000_000, 1), Run::of(10_000_000, 1)),
        limit: 1.1,
    },
    Law {
        what: "a message acknowledged, from 1,000 messages on",
        path: Path::SendAcknowledged,
        small: Between(Run::of(1_000, 1), Run::of(30_000, 1)),
        large: Between(Run::of(30_000, 1), Run::of(300_000, 1)),
        full: Between(Run::of(300_000, 1), Run::of(3_000_000, 1)),
        limit: 1.1,
    },
    Law {
        what: "a message in turn, from 10 peers on",
        path: Path::InTurn,
        small: Between(Run::of(20_000, 10), Run::of(220_000, 10)),
        large: Between(Run::of(20_000, 1_000), Run::of(220_000, 1_000)),
        full: Between(Run::of(100_000, 10_000), Run::of(400_000, 10_000)),
        limit: 1.25,
    },
    Law {
        what: "a copy of a published message, from 10 peers on",
        path: Path::Publish,
        small: Between(Run::of(10_000, 10), Run::of(210_000, 10)),
        large: Between(Run::of(10_000, 1_000), Run::of(210_000, 1_000)),
        full: Between(Run::of(100_000, 10_000), Run::of(2_100_000, 10_000)),
        limit: 1.25,
    },
    Law {
        what: "a join, from 200 peers on",
        path: Path::Join,
        small: Between(Run::of(0, 200), Run::of(0, 600)),
        large: Between(Run::of(0, 1_600), Run::of(0, 2_000)),
        full: Between(Run::of(0, 8_000), Run::of(0, 10_000)),
        limit: 1.5,
    },
    Law {
        what: "a join and a departure, from 200 peers on",
        path: Path::JoinAndLeave,
        small: Between(Run::of(0, 200), Run::of(0, 600)),
        large: Between(Run::of(0, 1_600), Run::of(0, 2_000)),
        full: Between(Run::of(0, 8_000), Run::of(0, 10_000)),
        limit: 1.75,
    },
];

impl Law {
    /// Both slopes.
    pub fn count(&self, extent: Extent) -> (f64, f64) {
        let slope = |Between(from, to): Between| valgrind::slope(self.path, from, to);
        let large = match extent {
            Extent::Guard => self.large,
            Extent::Full => self.full,
        };
        (slope(self.small), slope(large))
    }
}
