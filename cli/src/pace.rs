//! Messages at a rate.

use std::str::FromStr;
use std::time::Duration;

use tokio::time::Instant;

/// So many messages in a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate(f64);

impl FromStr for Rate {
    type Err = String;

    /// `100`, `100/s`, `10k/s`, `30/m`, `5/h`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a rate, for instance 100/s, 10k/s, 30/m".to_owned();
        let (number, seconds) = match text.split_once('/') {
            None | Some((_, "s")) => (text.trim_end_matches("/s"), 1.0),
            Some((number, "m")) => (number, 60.0),
            Some((number, "h")) => (number, 3600.0),
            Some(_) => return Err(wrong()),
        };
        let (digits, unit) = match number.strip_suffix(['k', 'K']) {
            Some(digits) => (digits, 1e3),
            None => match number.strip_suffix('M') {
                Some(digits) => (digits, 1e6),
                None => (number, 1.0),
            },
        };
        let number: f64 = digits.parse().map_err(|_| wrong())?;
        let rate = number * unit / seconds;
        if rate.is_finite() && rate > 0.0 {
            Ok(Self(rate))
        } else {
            Err(wrong())
        }
    }
}

/// What was missed for longer is not made up for.
const BURST: Duration = Duration::from_secs(1);

/// Says when the next message is due.
pub(crate) struct Pace {
    rate: Option<Rate>,
    began: Instant,
    sent: u64,
}

impl Pace {
    /// At this rate, or as fast as it goes.
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            began: Instant::now(),
            sent: 0,
        }
    }

    /// Waits until the next message is due. Behind time, it does not wait, so that the average holds; but for what was due more
    /// than a second ago.
    pub(crate) async fn next(&mut self) {
        if let Some(rate) = self.rate {
            let now = Instant::now();
            let due = self.began + due_after(rate, self.sent);
            if due > now {
                tokio::time::sleep_until(due).await;
            } else {
                self.began += forgiven(now - due);
            }
        }
        self.sent += 1;
    }
}

/// Of so much time behind, the part that is not made up for.
fn forgiven(behind: Duration) -> Duration {
    behind.saturating_sub(BURST)
}

fn due_after(rate: Rate, sent: u64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a wait need not be exact")]
    let seconds = sent as f64 / rate.0;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_number_a_thousand_and_a_unit() {
        let rate = |text: &str| text.parse::<Rate>().map(|rate| rate.0);
        assert_eq!(rate("100"), Ok(100.0));
        assert_eq!(rate("10k/s"), Ok(10_000.0));
        assert_eq!(rate("30/m"), Ok(0.5));
        assert_eq!(rate("1.5/s"), Ok(1.5));
        for wrong in ["", "0", "-1/s", "10/x", "k/s", "nan", "inf/s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn after_an_idle_hour_no_more_than_a_second_is_made_up_for() {
        let hour = Duration::from_secs(3600);
        assert_eq!(forgiven(hour), hour - BURST);
        assert_eq!(forgiven(BURST / 2), Duration::ZERO);
    }

    #[test]
    fn the_tenth_message_at_ten_a_second_is_due_after_a_second() {
        assert_eq!(due_after(Rate(10.0), 10), Duration::from_secs(1));
        assert_eq!(due_after(Rate(10.0), 0), Duration::ZERO);
        assert_eq!(due_after(Rate(1e-300), u64::MAX), Duration::MAX);
    }
}
