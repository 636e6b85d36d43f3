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
    pub limit: f64,
}

/// From which run to which a slope is taken.
#[derive(Debug, Clone, Copy)]
struct Between(Run, Run);

/// All of them.
pub const LAWS: [Law; 7] = [
    Law {
        what: "a message sent, from 1,000 to 1,000,000 messages",
        path: Path::Send64,
        small: Between(Run::of(1_000, 1), Run::of(50_000, 1)),
        large: Between(Run::of(50_000, 1), Run::of(1_000_000, 1)),
        limit: 1.1,
    },
    Law {
        what: "a message received, from 1,000 to 1,000,000 messages",
        path: Path::Receive64,
        small: Between(Run::of(1_000, 1), Run::of(50_000, 1)),
        large: Between(Run::of(50_000, 1), Run::of(1_000_000, 1)),
        limit: 1.1,
    },
    Law {
        what: "a message acknowledged, from 1,000 to 300,000 messages",
        path: Path::SendAcknowledged,
        small: Between(Run::of(1_000, 1), Run::of(30_000, 1)),
        large: Between(Run::of(30_000, 1), Run::of(300_000, 1)),
        limit: 1.1,
    },
    Law {
        what: "a message in turn, with 10 and 1,000 peers",
        path: Path::InTurn,
        small: Between(Run::of(20_000, 10), Run::of(220_000, 10)),
        large: Between(Run::of(20_000, 1_000), Run::of(220_000, 1_000)),
        limit: 1.25,
    },
    Law {
        what: "a copy of a published message, with 10 and 1,000 peers",
        path: Path::Publish,
        small: Between(Run::of(10_000, 10), Run::of(210_000, 10)),
        large: Between(Run::of(10_000, 1_000), Run::of(210_000, 1_000)),
        limit: 1.25,
    },
    Law {
        what: "a join, from 200 to 2,000 peers",
        path: Path::Join,
        small: Between(Run::of(0, 200), Run::of(0, 600)),
        large: Between(Run::of(0, 1_600), Run::of(0, 2_000)),
        limit: 1.25,
    },
    Law {
        what: "a join and a departure, from 200 to 2,000 peers",
        path: Path::JoinAndLeave,
        small: Between(Run::of(0, 200), Run::of(0, 600)),
        large: Between(Run::of(0, 1_600), Run::of(0, 2_000)),
        limit: 1.5,
    },
];

impl Law {
    /// Both slopes.
    pub fn count(&self) -> (f64, f64) {
        let slope = |Between(from, to): Between| valgrind::slope(self.path, from, to);
        (slope(self.small), slope(self.large))
    }
}
