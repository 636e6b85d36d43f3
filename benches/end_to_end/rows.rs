//! What is measured, row by row.

use std::fmt::{self, Display};

use clap::ValueEnum;

/// Whose work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stack {
    Raw,
    Ours,
}

impl Stack {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw tokio,",
            Self::Ours => "this crate,",
        }
    }
}

/// What messages travel in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Over {
    Tcp,
    WebSocket,
    #[cfg(feature = "tls-dev")]
    Tls,
    #[cfg(feature = "tls-dev")]
    Wss,
}

impl Over {
    pub(crate) const fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "ws",
            #[cfg(feature = "tls-dev")]
            Self::Tls => "tls",
            #[cfg(feature = "tls-dev")]
            Self::Wss => "wss",
        }
    }

    /// Whether it is encrypted.
    #[cfg(feature = "tls-dev")]
    pub(crate) const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }
}

/// Some work for two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    OneWay {
        bytes: usize,
        over: Over,
    },
    AtLeastOnce {
        bytes: usize,
    },
    /// So many outstanding at a time.
    RoundTrips {
        outstanding: usize,
    },
    Asks {
        outstanding: usize,
    },
    /// The same of a named service.
    AsksByName {
        outstanding: usize,
    },
    Publish {
        bytes: usize,
    },
    FanIn {
        bytes: usize,
        arbiters: usize,
    },
    Idle,
}

/// Peers of a publisher.
const SUBSCRIBERS: usize = 10;
/// Connections to one receiver.
const SENDERS: usize = 100;
/// Connections that do nothing.
const IDLERS: usize = 2_000;

/// The bytes that a one-way run moves at most, so that large messages take no longer than small
/// ones.
const VOLUME: u64 = 1 << 30;

impl Work {
    /// How many messages pass in all.
    pub(crate) fn messages(self, stack: Stack) -> u64 {
        let slow = |ours, raw| if stack == Stack::Ours { ours } else { raw };
        match self {
            Self::OneWay { bytes, .. } => (VOLUME / bytes as u64).min(5_000_000),
            Self::AtLeastOnce { bytes } => (VOLUME / bytes as u64).min(1_000_000),
            Self::RoundTrips { outstanding: 1 } => 20_000,
            Self::Asks { outstanding: 1 } | Self::AsksByName { outstanding: 1 } => 20_000,
            Self::RoundTrips { .. } => 400_000,
            Self::Asks { .. } | Self::AsksByName { .. } => slow(100_000, 400_000),
            Self::Publish { bytes } => (VOLUME / 4 / bytes as u64).min(400_000),
            Self::FanIn { .. } => 2_000_000,
            Self::Idle => IDLERS as u64,
        }
    }

    pub(crate) const fn connections(self) -> usize {
        match self {
            Self::Publish { .. } => SUBSCRIBERS,
            Self::FanIn { .. } => SENDERS,
            Self::Idle => IDLERS,
            _ => 1,
        }
    }

    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::OneWay { bytes, .. }
            | Self::AtLeastOnce { bytes }
            | Self::Publish { bytes }
            | Self::FanIn { bytes, .. } => bytes,
            Self::RoundTrips { .. } | Self::Asks { .. } | Self::AsksByName { .. } => 64,
            Self::Idle => 2,
        }
    }
}

impl Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneWay { bytes, over } => write!(f, "{} B over {}", bytes, over.scheme()),
            Self::AtLeastOnce { bytes } => write!(f, "{bytes} B at least once"),
            Self::RoundTrips { outstanding } => write!(f, "round trips, {outstanding} at a time"),
            Self::Asks { outstanding } => write!(f, "asks, {outstanding} at a time"),
            Self::AsksByName { outstanding } => {
                write!(f, "asks by name, {outstanding} at a time")
            }
            Self::Publish { bytes } => write!(f, "{bytes} B published"),
            Self::FanIn { arbiters, .. } => write!(f, "from many, {arbiters} arbiters"),
            Self::Idle => write!(f, "idle connections"),
        }
    }
}

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Messages in a second: more is better.
    Rate,
    /// Nanoseconds: less is better.
    Time,
    /// Bytes: less is better.
    Memory,
}

impl Measure {
    pub(crate) fn show(self, figure: f64) -> String {
        match self {
            Self::Rate if figure >= 1e6 => format!("{:.1} M/s", figure / 1e6),
            Self::Rate => format!("{:.0} k/s", figure / 1e3),
            Self::Time => format!("{:.1} µs", figure / 1e3),
            Self::Memory => format!("{:.1} KiB", figure / 1024.0),
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) measure: Measure,
    pub(crate) ours: Work,
    /// What it is measured by.
    pub(crate) raw: Work,
    /// Which figure of the run.
    pub(crate) figure: usize,
}

impl Row {
    fn rate(name: &'static str, ours: Work, raw: Work) -> Self {
        let measure = Measure::Rate;
        Self {
            name,
            measure,
            ours,
            raw,
            figure: 0,
        }
    }

    fn time(name: &'static str, ours: Work, figure: usize) -> Self {
        let measure = Measure::Time;
        let raw = Work::RoundTrips { outstanding: 1 };
        Self {
            name,
            measure,
            ours,
            raw,
            figure,
        }
    }
}

/// All that is measured; what needs TLS, only where that is built in.
pub(crate) fn all() -> Vec<Row> {
    const SMALL: usize = 64;
    const MEDIUM: usize = 1024;
    const LARGE: usize = 64 * 1024;
    let one_way = |bytes, over| Work::OneWay { bytes, over };
    let raw = |bytes| one_way(bytes, Over::Tcp);
    let itself = |name, work| Row::rate(name, work, work);
    let fan_in = |arbiters| Work::FanIn {
        bytes: SMALL,
        arbiters,
    };
    let trips = Work::RoundTrips { outstanding: 64 };
    let asks = Work::Asks { outstanding: 64 };
    let trip = Work::RoundTrips { outstanding: 1 };
    let ask = Work::Asks { outstanding: 1 };
    vec![
        itself("one way, 64 B", raw(SMALL)),
        itself("one way, 1 KiB", raw(MEDIUM)),
        itself("one way, 64 KiB", raw(LARGE)),
        Row::rate(
            "at least once, 64 B",
            Work::AtLeastOnce { bytes: SMALL },
            raw(SMALL),
        ),
        Row::rate(
            "at least once, 1 KiB",
            Work::AtLeastOnce { bytes: MEDIUM },
            raw(MEDIUM),
        ),
        itself("round trips, 64 outstanding", trips),
        Row::rate("asks, 64 outstanding", asks, trips),
        Row::rate(
            "asks by name, 64 outstanding",
            Work::AsksByName { outstanding: 64 },
            trips,
        ),
        itself("publish to 10, 64 B", Work::Publish { bytes: SMALL }),
        itself("publish to 10, 1 KiB", Work::Publish { bytes: MEDIUM }),
        itself("from 100 connections, 64 B", fan_in(1)),
        Row::rate("the same, 2 arbiters", fan_in(2), fan_in(1)),
        Row::rate(
            "WebSocket, 1 KiB",
            one_way(MEDIUM, Over::WebSocket),
            raw(MEDIUM),
        ),
        Row::rate(
            "WebSocket, 64 KiB",
            one_way(LARGE, Over::WebSocket),
            raw(LARGE),
        ),
        #[cfg(feature = "tls-dev")]
        itself("TLS, 1 KiB", one_way(MEDIUM, Over::Tls)),
        #[cfg(feature = "tls-dev")]
        itself("TLS, 64 KiB", one_way(LARGE, Over::Tls)),
        #[cfg(feature = "tls-dev")]
        Row::rate(
            "WebSocket over TLS, 64 KiB",
            one_way(LARGE, Over::Wss),
            one_way(LARGE, Over::Tls),
        ),
        Row::time("round trip, 50 %", trip, 0),
        Row::time("round trip, 99 %", trip, 1),
        Row::time("round trip, 99.9 %", trip, 2),
        Row::time("ask and answer, 50 %", ask, 0),
        Row::time("ask and answer, 99 %", ask, 1),
        Row::time(
            "ask by name and answer, 50 %",
            Work::AsksByName { outstanding: 1 },
            0,
        ),
        Row {
            name: "memory, idle connection",
            measure: Measure::Memory,
            ours: Work::Idle,
            raw: Work::Idle,
            figure: 0,
        },
    ]
}
