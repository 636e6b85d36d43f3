//! The distributions of times, as the text that Prometheus reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::telemetry::{BOUNDS, Distribution, Timings};

/// One metric of this kind.
struct Metric {
    name: &'static str,
    help: &'static str,
    of: fn(&Times) -> &Distribution,
}

const ALL: [Metric; 2] = [
    Metric {
        name: "aiomsg_handling_seconds",
        help: "Time from when a handler is called until it has finished.",
        of: |times| &times.handling,
    },
    Metric {
        name: "aiomsg_ask_seconds",
        help: "Time from when an ask begins until its answer, or its end without one.",
        of: |times| &times.asks,
    },
];

/// The times of one socket, or of several.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    handling: Distribution,
    asks: Distribution,
}

impl Times {
    pub(super) fn of(timings: &Timings) -> Self {
        Self {
            handling: timings.handling.read(),
            asks: timings.asks.read(),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.handling.add(&other.handling);
        self.asks.add(&other.asks);
    }
}

/// All of them, by the label of the socket.
pub(super) fn render(sockets: &BTreeMap<String, Times>) -> String {
    let mut page = String::new();
    for Metric { name, help, of } in ALL {
        line(&mut page, format_args!("# HELP {name} {help}"));
        line(&mut page, format_args!("# TYPE {name} histogram"));
        for (socket, times) in sockets {
            let (socket, distribution) = (escaped(socket), of(times));
            let bounds = BOUNDS.iter().map(|bound| bound.as_secs_f64().to_string());
            let bounds = bounds.chain(["+Inf".to_owned()]);
            let mut sum = 0;
            for (bound, count) in bounds.zip(distribution.counts) {
                sum += count;
                let labels = format!("socket=\"{socket}\",le=\"{bound}\"");
                line(&mut page, format_args!("{name}_bucket{{{labels}}} {sum}"));
            }
            let seconds = Duration::from_nanos(distribution.nanos).as_secs_f64();
            let labels = format!("socket=\"{socket}\"");
            line(&mut page, format_args!("{name}_sum{{{labels}}} {seconds}"));
            line(&mut page, format_args!("{name}_count{{{labels}}} {sum}"));
        }
    }
    page
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Memory does not refuse.
    let _ = writeln!(page, "{text}");
}

/// The value of a label, as it is written.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
