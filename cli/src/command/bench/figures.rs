//! What was measured.

use std::time::Duration;

use serde_json::json;

/// The result of a measurement.
#[derive(Debug)]
pub(super) struct Figures {
    /// What was measured, and where it ended.
    pub(super) what: String,
    pub(super) messages: u64,
    pub(super) took: Duration,
    pub(super) lost: u64,
    /// Of the round trips whose time was taken, sorted.
    pub(super) times: Vec<Duration>,
}

/// The shares of round trips that are told.
const SHARES: [(f64, &str); 4] = [(0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9")];

impl Figures {
    /// As lines for people, or as a JSON object.
    pub(super) fn show(&self, size: usize, json: bool) -> String {
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let rate = self.messages as f64 / self.took.as_secs_f64().max(f64::EPSILON);
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let volume = rate * size as f64;
        if json {
            let mut line = json!({
                "what": self.what,
                "messages": self.messages,
                "size": size,
                "seconds": self.took.as_secs_f64(),
                "per_second": rate,
                "bytes_per_second": volume,
                "lost": self.lost,
            });
            if !self.times.is_empty() {
                let mut microseconds = json!({});
                for (share, name) in SHARES {
                    microseconds[name] = in_microseconds(self.share(share)).into();
                }
                microseconds["slowest"] = in_microseconds(self.share(1.0)).into();
                line["microseconds"] = microseconds;
                line["timed"] = self.times.len().into();
            }
            return line.to_string();
        }
        let mut text = format!(
            "{}: {} messages of {size} bytes in {:.2?}\n{}/s, {}B/s",
            self.what,
            self.messages,
            self.took,
            scaled(rate),
            scaled(volume)
        );
        if !self.times.is_empty() {
            let shares = SHARES.map(|(share, name)| format!("{name} % {:.1?}", self.share(share)));
            let slowest = self.share(1.0);
            text += &format!("\n{}, slowest {slowest:.1?}", shares.join(", "));
            let timed = self.times.len() as u64;
            if timed < self.messages {
                text += &format!(", of {timed} that were timed");
            }
        }
        text
    }

    /// The time within which this share of the round trips was.
    fn share(&self, share: f64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "so many times fit")]
        let last = self.times.len().saturating_sub(1) as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between nothing and the last"
        )]
        let index = (last * share) as usize;
        self.times.get(index).copied().unwrap_or_default()
    }
}

fn in_microseconds(time: Duration) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a round trip is no matter of weeks"
    )]
    let nanoseconds = time.as_nanos() as f64;
    nanoseconds / 1e3
}

/// `2.4 M`
fn scaled(number: f64) -> String {
    match number {
        ..1e3 => format!("{number:.0} "),
        1e3..1e6 => format!("{:.1} k", number / 1e3),
        1e6..1e9 => format!("{:.1} M", number / 1e6),
        _ => format!("{:.1} G", number / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_percentiles_are_those_of_the_times() {
        let figures = Figures {
            what: "round trip".into(),
            messages: 1000,
            took: Duration::from_secs(2),
            lost: 0,
            times: (1..=1000).map(Duration::from_micros).collect(),
        };
        let shown = figures.show(64, false);
        assert!(shown.contains("500 /s, 32.0 kB/s"), "{shown}");
        assert!(
            shown.contains(
                "50 % 500.0µs, 90 % 900.0µs, 99 % 990.0µs, 99.9 % 999.0µs, slowest 1.0ms"
            ),
            "{shown}"
        );
        let line: serde_json::Value = serde_json::from_str(&figures.show(64, true)).unwrap();
        assert_eq!(line["per_second"], 500.0);
        assert_eq!(line["microseconds"]["99.9"], 999.0);
    }

    #[test]
    fn where_not_all_are_timed_it_is_told_how_many_are() {
        let figures = Figures {
            what: "round trip".into(),
            messages: 128,
            took: Duration::from_secs(1),
            lost: 0,
            times: vec![Duration::from_micros(7); 2],
        };
        let shown = figures.show(64, false);
        assert!(
            shown.ends_with("slowest 7.0µs, of 2 that were timed"),
            "{shown}"
        );
        let line: serde_json::Value = serde_json::from_str(&figures.show(64, true)).unwrap();
        assert_eq!(line["timed"], 2);
    }

    #[test]
    fn rates_are_scaled() {
        let all = [999.0, 1_500.0, 2_400_000.0, 3.2e9].map(scaled);
        assert_eq!(all, ["999 ", "1.5 k", "2.4 M", "3.2 G"]);
    }
}
