//! One look, as lines for people or for machines.

use std::fmt::Write;

use serde_json::json;

use super::diagnose::{count, seconds, short_peer, short_type};
use super::peer_row::PeerRow;
use super::state::Watched;
use crate::payload_text::harmless;

/// A socket as a JSON object.
pub(super) fn as_json(watched: &Watched) -> String {
    let rates = &watched.rates;
    let found = watched.diagnoses.iter().map(|found| {
        json!({ "severity": found.severity.name(), "text": found.text, "peer": found.peer })
    });
    let peers = rates.peers.iter().map(|(peer, rates)| {
        let rates = json!({ "sent": rates.sent, "resent": rates.resent, "handled": rates.handled });
        (peer.clone(), rates)
    });
    json!({
        "place": watched.place,
        "diagnoses": found.collect::<Vec<_>>(),
        "rates": {
            "sent": rates.sent,
            "received": rates.received,
            "acknowledged": rates.acknowledged,
            "resent": rates.resent,
            "peers": peers.collect::<serde_json::Map<_, _>>(),
        },
        "report": watched.report,
    })
    .to_string()
}

/// What is wrong, a line each; one line if nothing is.
pub(super) fn diagnoses(watched: &Watched) -> String {
    let place = &watched.place;
    if watched.diagnoses.is_empty() {
        return format!("{place}: nothing is wrong");
    }
    let lines = watched.diagnoses.iter().map(|found| {
        format!(
            "{place}: {}: {}",
            found.severity.name(),
            harmless(&found.text)
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A socket as lines.
pub(super) fn as_text(watched: &Watched) -> String {
    let mut text = String::new();
    // A string takes everything.
    let _ = write_text(&mut text, watched);
    harmless(text.trim_end())
}

fn write_text(text: &mut String, watched: &Watched) -> std::fmt::Result {
    let Some(report) = &watched.report else {
        return Ok(());
    };
    let rates = &watched.rates;
    let total = |name: &str| report.totals.get(name).copied().unwrap_or_default();
    writeln!(
        text,
        "{} {}, process {}, up {}, {}",
        report.name.as_deref().unwrap_or(&watched.place),
        report.identity,
        report.process,
        seconds(report.uptime),
        report.phase
    )?;
    for found in &watched.diagnoses {
        writeln!(text, "{:8} {}", found.severity.name(), found.text)?;
    }
    if watched.diagnoses.is_empty() {
        writeln!(text, "nothing is wrong")?;
    }
    writeln!(
        text,
        "sent     {}/s, received {}/s, resent {}/s",
        count(rates.sent),
        count(rates.received),
        count(rates.resent)
    )?;
    writeln!(
        text,
        "queues   {} queued, {} in flight, {} in the outbox, {} in inboxes, {} asks",
        total("queued_messages"),
        total("unacknowledged"),
        total("outbox_messages"),
        total("inbox_messages"),
        total("asks")
    )?;
    for peer in &report.peers {
        let row = PeerRow::of(peer, rates);
        writeln!(
            text,
            "peer     {} {} {}: heard {} ago, queue {}, {} in flight, sent {}/s, {} resent, handled {}/s",
            row.peer,
            row.address,
            row.transport,
            row.last_heard,
            row.queue,
            row.in_flight,
            row.sent,
            row.resent,
            row.handled
        )?;
    }
    for handler in &report.handlers {
        let running = handler.running_for.map_or_else(String::new, |time| {
            format!(", running for {}", seconds(time))
        });
        writeln!(
            text,
            "handler  {}: {} taken, {} wait{running}",
            short_type(&handler.actor),
            handler.taken,
            handler.waiting
        )?;
    }
    for offer in &report.offers {
        writeln!(
            text,
            "offers   {}: {} wait, {} refused",
            offer.service, offer.waiting, offer.refused
        )?;
    }
    for service in &report.services {
        for instance in &service.instances {
            writeln!(
                text,
                "asks     {}: {} {}, {} wait",
                service.service,
                short_peer(&instance.instance),
                instance.status.replace('_', " "),
                instance.outstanding
            )?;
        }
    }
    for child in report.children.iter().filter(|child| child.restarts > 0) {
        writeln!(
            text,
            "restarts {}: {}, {} in all, {} of {} of late",
            short_type(&child.name),
            child.state,
            child.restarts,
            child.recent_restarts,
            child.max_restarts
        )?;
    }
    for (reason, lost) in &report.dead_letters {
        writeln!(text, "lost     {lost} {}", reason.replace('_', " "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::demo::Demo;
    use super::super::source::Reports;
    use super::*;

    fn watched() -> Watched {
        let mut demo = Demo::without_pauses();
        let mut watched = Watched::new("orders.sock".into());
        for _ in 0..2 {
            watched.handle(demo.next());
        }
        watched
    }

    #[test]
    fn a_look_has_the_diagnoses_first_and_each_peer() {
        let text = as_text(&watched());
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[0].starts_with("orders 5b3a1c9e77d04f6e9a2f0c41d8e6b702, process 4711"),
            "{text}"
        );
        assert!(lines[1].starts_with("warning  "), "{text}");
        let peers = lines
            .iter()
            .filter(|line| line.starts_with("peer "))
            .count();
        assert_eq!(peers, 5);
    }

    #[test]
    fn machines_get_the_report_as_it_came_with_rates_and_diagnoses() {
        let watched = watched();
        let look: serde_json::Value = serde_json::from_str(&as_json(&watched)).unwrap();
        assert_eq!(look["place"], "orders.sock");
        assert_eq!(look["report"]["peers"].as_array().unwrap().len(), 5);
        assert!(look["rates"]["sent"].as_f64().unwrap() > 0.0);
        assert_eq!(look["diagnoses"][0]["severity"], "warning");
    }
}
