//! What is wrong with a socket, in sentences: from a report and the rates since the one before it, and from nothing else.

use actix_aiomsg::inspection::{Blocked, Child, Handler, Peer, Report};

use super::rates::Rates;

/// A link that was full for less is busy.
const FULL_FOR: f64 = 1.0;

/// A handler that has been at work for less is at work.
const RUNNING_FOR: f64 = 2.0;

/// A peer says something every five seconds, if nobody has set that otherwise.
const SILENT_FOR: f64 = 12.0;

/// The share of messages that is sent again where nothing is wrong.
const RESENT: f64 = 0.01;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Warning,
    /// Something has ended, or is about to.
    Critical,
}

impl Severity {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Diagnosis {
    pub(super) severity: Severity,
    pub(super) text: String,
    /// The peer that it is about, if it is about one.
    pub(super) peer: Option<String>,
}

impl Diagnosis {
    fn warning(text: String) -> Self {
        Self {
            severity: Severity::Warning,
            text,
            peer: None,
        }
    }

    fn critical(text: String) -> Self {
        Self {
            severity: Severity::Critical,
            ..Self::warning(text)
        }
    }

    fn about(self, peer: &Peer) -> Self {
        Self {
            peer: Some(peer.peer.clone()),
            ..self
        }
    }
}

/// All that is wrong, the worst first.
pub(super) fn diagnose(report: &Report, rates: &Rates) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    found.extend(of_health(report));
    found.extend(report.blocked.iter().map(of_blocked));
    found.extend(report.handlers.iter().filter_map(of_handler));
    found.extend(report.children.iter().filter_map(of_child));
    for peer in &report.peers {
        found.extend(of_full(peer, rates).map(|found| found.about(peer)));
        found.extend(of_silence(peer).map(|found| found.about(peer)));
    }
    found.extend(of_resends(rates));
    found.extend(of_losses(rates));
    found.extend(of_nobody(report));
    found.extend(of_services(report));
    found.sort_by_key(|found| std::cmp::Reverse(found.severity));
    found
}

fn of_health(report: &Report) -> Vec<Diagnosis> {
    let unready = report.unready.iter();
    unready
        .map(|why| {
            if report.live {
                Diagnosis::warning(format!("not ready: {why}"))
            } else {
                Diagnosis::critical(format!("not alive: {why}"))
            }
        })
        .collect()
}

fn of_blocked(blocked: &Blocked) -> Diagnosis {
    let time = seconds(blocked.blocked_for);
    Diagnosis::critical(match (&blocked.actor, &blocked.thread) {
        (Some(actor), _) => {
            let actor = short_type(actor);
            format!("handler {actor}: running for {time}, and it blocks its thread")
        }
        (None, Some(thread)) => format!("the thread {thread} is blocked for {time}"),
        (None, None) => format!("a thread is blocked for {time}"),
    })
}

fn of_handler(handler: &Handler) -> Option<Diagnosis> {
    let time = handler.running_for.filter(|time| *time >= RUNNING_FOR)?;
    let waiting = match handler.waiting {
        0 => String::new(),
        waiting => format!(", {waiting} wait"),
    };
    let actor = short_type(&handler.actor);
    Some(Diagnosis::warning(format!(
        "handler {actor}: running for {}{waiting}",
        seconds(time)
    )))
}

fn of_child(child: &Child) -> Option<Diagnosis> {
    if child.recent_restarts == 0 {
        return None;
    }
    let panic = (child.last_panic.as_ref()).map_or_else(String::new, |text| format!(": {text}"));
    let within = match child.restart_window > 0.0 {
        true => format!("in {}", seconds(child.restart_window)),
        false => "in all".to_owned(),
    };
    let text = format!(
        "{}: restart {} of {} {within}{panic}",
        short_type(&child.name),
        child.recent_restarts,
        child.max_restarts,
    );
    let is_last = child.recent_restarts + 1 >= child.max_restarts;
    Some(match is_last {
        true => Diagnosis::critical(text),
        false => Diagnosis::warning(text),
    })
}

fn of_full(peer: &Peer, rates: &Rates) -> Option<Diagnosis> {
    let time = peer.full_for.filter(|time| *time >= FULL_FOR)?;
    let reads = match rates.of(&peer.peer).sent {
        rate if rate < 0.5 => "it reads nothing".to_owned(),
        rate => format!("it reads {} messages a second", count(rate)),
    };
    Some(Diagnosis::warning(format!(
        "peer {}: link full for {}, {reads}",
        short_peer(&peer.peer),
        seconds(time)
    )))
}

fn of_silence(peer: &Peer) -> Option<Diagnosis> {
    (peer.last_heard >= SILENT_FOR).then(|| {
        Diagnosis::warning(format!(
            "peer {}: nothing heard for {}",
            short_peer(&peer.peer),
            seconds(peer.last_heard)
        ))
    })
}

fn of_resends(rates: &Rates) -> Option<Diagnosis> {
    let share = rates.resent / rates.sent.max(rates.resent);
    (rates.resent > 0.0 && share >= RESENT).then(|| {
        Diagnosis::warning(format!(
            "{:.0} % resent: acknowledgements are late, or handlers fail",
            share * 100.0
        ))
    })
}

fn of_losses(rates: &Rates) -> Option<Diagnosis> {
    if rates.lost.is_empty() {
        return None;
    }
    let reasons: Vec<_> = rates
        .lost
        .iter()
        .map(|(reason, lost)| format!("{lost} {}", reason.replace('_', " ")))
        .collect();
    let reasons = reasons.join(", ");
    Some(Diagnosis::critical(format!("messages are lost: {reasons}")))
}

fn of_nobody(report: &Report) -> Option<Diagnosis> {
    let waiting = report
        .totals
        .get("outbox_messages")
        .copied()
        .unwrap_or_default();
    (report.peers.is_empty() && waiting > 0)
        .then(|| Diagnosis::warning(format!("nobody is connected, and {waiting} messages wait")))
}

fn of_services(report: &Report) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for service in &report.services {
        let ready = service
            .instances
            .iter()
            .any(|instance| instance.status == "ready");
        if !ready {
            found.push(Diagnosis::warning(format!(
                "service {}: no instance is ready",
                service.service
            )));
        }
        for instance in &service.instances {
            if instance.status == "left_out" {
                found.push(Diagnosis::warning(format!(
                    "service {}: {} is left out, because it failed",
                    service.service,
                    short_peer(&instance.instance)
                )));
            }
        }
    }
    found
}

/// `shop::jobs::Jobs<shop::Mail>` is `Jobs<Mail>`.
pub(super) fn short_type(name: &str) -> String {
    let mut short = String::new();
    let mut word = String::new();
    for c in name.chars() {
        match c {
            ':' => word.clear(),
            '<' | '>' | ',' | ' ' | '(' | ')' | '&' => {
                short.push_str(&word);
                word.clear();
                short.push(c);
            }
            c => word.push(c),
        }
    }
    short + &word
}

/// The first digits of an identity.
pub(super) fn short_peer(identity: &str) -> String {
    match identity.char_indices().nth(12) {
        Some((end, _)) if identity.chars().count() > 14 => format!("{}…", &identity[..end]),
        _ => identity.to_owned(),
    }
}

/// A time for people: `0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`.
pub(super) fn seconds(time: f64) -> String {
    match time {
        time if time < 1.0 => format!("{time:.1} s"),
        time if time < 120.0 => format!("{time:.0} s"),
        time if time < 7_200.0 => format!("{:.0} min", time / 60.0),
        time if time < 172_800.0 => format!("{:.0} h", time / 3_600.0),
        time => format!("{:.0} d", time / 86_400.0),
    }
}

/// A number for people: `40`, `1.2k`, `3.4M`.
pub(super) fn count(number: f64) -> String {
    match number {
        number if number < 1e3 => format!("{number:.0}"),
        number if number < 1e6 => format!("{:.1}k", number / 1e3),
        number if number < 1e9 => format!("{:.1}M", number / 1e6),
        number => format!("{:.1}G", number / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use actix_aiomsg::inspection::Followed;

    use super::*;

    const PEER: &str = "00112233445566778899aabbccddeeff";

    fn told(change: impl FnOnce(&mut Report)) -> Vec<String> {
        told_with(Rates::default(), change)
    }

    fn told_with(rates: Rates, change: impl FnOnce(&mut Report)) -> Vec<String> {
        let mut report = Report::default();
        report.live = true;
        change(&mut report);
        let found = diagnose(&report, &rates);
        found.into_iter().map(|found| found.text).collect()
    }

    fn peer(change: impl FnOnce(&mut Peer)) -> Peer {
        let mut peer = Peer::default();
        peer.peer = PEER.to_owned();
        change(&mut peer);
        peer
    }

    #[test]
    fn nothing_is_wrong_with_a_socket_that_works() {
        assert!(told(|_| {}).is_empty());
        let busy = |report: &mut Report| {
            report.peers.push(peer(|peer| {
                peer.full_for = Some(0.9);
                peer.last_heard = 5.3;
            }));
            let mut handler = Handler::default();
            handler.running_for = Some(1.9);
            report.handlers.push(handler);
        };
        assert!(told(busy).is_empty());
    }

    #[test]
    fn a_full_link_is_told_with_what_its_peer_reads() {
        let full = |report: &mut Report| {
            report.peers.push(peer(|peer| peer.full_for = Some(12.2)));
        };
        assert_eq!(
            told(full),
            ["peer 001122334455…: link full for 12 s, it reads nothing"]
        );
        let mut rates = Rates::default();
        rates.peers.entry(PEER.to_owned()).or_default().sent = 40.2;
        assert_eq!(
            told_with(rates, full),
            ["peer 001122334455…: link full for 12 s, it reads 40 messages a second"]
        );
    }

    #[test]
    fn a_stuck_handler_is_told_with_its_time_and_one_that_blocks_is_worse() {
        let told = told(|report| {
            let mut handler = Handler::default();
            handler.actor = "shop::jobs::Jobs".to_owned();
            handler.running_for = Some(4.4);
            report.handlers.push(handler.clone());
            handler.waiting = 7;
            report.handlers.push(handler);
            let mut blocked = Blocked::default();
            blocked.actor = Some("shop::Mail".to_owned());
            blocked.blocked_for = 3.0;
            report.blocked.push(blocked);
        });
        assert_eq!(
            told,
            [
                "handler Mail: running for 3 s, and it blocks its thread",
                "handler Jobs: running for 4 s",
                "handler Jobs: running for 4 s, 7 wait",
            ]
        );
    }

    #[test]
    fn restarts_are_told_with_how_many_are_left() {
        let told = told(|report| {
            let mut child = Child::default();
            child.name = "jobs".to_owned();
            report.children.push(child.clone());
            child.max_restarts = 5;
            child.restart_window = 10.0;
            child.recent_restarts = 2;
            report.children.push(child.clone());
            child.recent_restarts = 4;
            child.last_panic = Some("no database".to_owned());
            report.children.push(child);
        });
        assert_eq!(
            told,
            [
                "jobs: restart 4 of 5 in 10 s: no database",
                "jobs: restart 2 of 5 in 10 s"
            ]
        );
    }

    #[test]
    fn resends_are_told_as_a_share_of_what_is_sent() {
        let rates = |sent, resent| Rates {
            sent,
            resent,
            ..Rates::default()
        };
        assert!(told_with(rates(1_000.0, 5.0), |_| {}).is_empty());
        let told = told_with(rates(1_000.0, 80.0), |_| {});
        assert!(told[0].starts_with("8 % resent"), "{told:?}");
        assert!(told_with(rates(0.0, 3.0), |_| {})[0].starts_with("100 % resent"));
    }

    #[test]
    fn losses_silence_and_absence_are_told() {
        let mut rates = Rates::default();
        rates.lost.insert("resend_limit".to_owned(), 3);
        let told = told_with(rates, |report| {
            report.totals.insert("outbox_messages".to_owned(), 312);
            report.unready.push("draining".to_owned());
            let mut service = Followed::default();
            service.service = "upper".to_owned();
            report.services.push(service);
        });
        assert_eq!(
            told,
            [
                "messages are lost: 3 resend limit",
                "not ready: draining",
                "nobody is connected, and 312 messages wait",
                "service upper: no instance is ready"
            ]
        );
        let silent = |report: &mut Report| {
            report.peers.push(peer(|peer| peer.last_heard = 13.0));
        };
        assert_eq!(
            self::told(silent),
            ["peer 001122334455…: nothing heard for 13 s"]
        );
    }

    #[test]
    fn types_are_short_and_numbers_are_for_people() {
        assert_eq!(
            short_type("shop::jobs::Jobs<shop::Mail, u8>"),
            "Jobs<Mail, u8>"
        );
        assert_eq!(short_type("router"), "router");
        assert_eq!(short_peer("desk"), "desk");
        let times = [0.25, 59.6, 119.0, 150.0, 9_000.0, 200_000.0].map(seconds);
        assert_eq!(times, ["0.2 s", "60 s", "119 s", "2 min", "2 h", "2 d"]);
        assert_eq!([7.0, 1_234.0, 5e6].map(count), ["7", "1.2k", "5.0M"]);
    }
}
