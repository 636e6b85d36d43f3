//! One peer, looked at closely.

use actix_aiomsg::inspection::Peer;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::diagnose::{count, seconds};
use super::peer_row::queue;
use super::screen::{Theme, draw_sparkline};
use super::state::Watched;
use crate::payload_text::harmless;

/// Draws a peer in place of the table of all.
pub(super) fn draw_peer(
    frame: &mut Frame<'_>,
    area: Rect,
    watched: &Watched,
    identity: &str,
    theme: Theme,
) {
    let block = theme.block(format!("peer {identity}"));
    let mut peers = watched.report.iter().flat_map(|report| &report.peers);
    let Some(peer) = peers.find(|peer| peer.peer == identity) else {
        let text = Paragraph::new("It is not connected any more. Esc goes back.");
        frame.render_widget(text.block(block), area);
        return;
    };
    let [text, bars] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(area);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for found in &watched.diagnoses {
        if found.peer.as_deref() == Some(identity) {
            let style = theme.of(found.severity);
            lines.push(Line::styled(format!("● {}", harmless(&found.text)), style));
        }
    }
    lines.extend(facts(peer, watched).map(|fact| Line::from(harmless(&fact))));
    frame.render_widget(Paragraph::new(lines).block(block), text);
    let rate = watched.rates.of(identity).sent;
    let block = theme.block(format!("sent {}/s", count(rate)));
    draw_sparkline(
        frame,
        bars,
        block,
        watched.peers.get(identity).into_iter().flatten(),
        theme,
    );
}

fn facts(peer: &Peer, watched: &Watched) -> impl Iterator<Item = String> {
    let rates = watched.rates.of(&peer.peer);
    let end = match &*peer.role {
        "bind" => "it dialled us from",
        _ => "we dialled it at",
    };
    [
        format!(
            "{end} {} over {}, {} ago",
            peer.address,
            peer.transport,
            seconds(peer.uptime)
        ),
        format!("last heard {} ago", seconds(peer.last_heard)),
        format!(
            "queue: {} of {} messages, {} of {} bytes",
            queue(peer),
            peer.queue_bound,
            peer.queued_bytes,
            peer.queue_bound_bytes
        ),
        format!(
            "in flight: {} messages, {} bytes",
            peer.in_flight, peer.in_flight_bytes
        ),
        format!("sent {}, {}/s", peer.sent, count(rates.sent)),
        format!(
            "acknowledged {}, resent {}, {}/s",
            peer.acknowledged,
            peer.resent,
            count(rates.resent)
        ),
        format!(
            "handled of its messages: {}, {}/s",
            peer.handled,
            count(rates.handled)
        ),
        format!(
            "published messages have waited for it for {} in all",
            seconds(peer.waited)
        ),
    ]
    .into_iter()
}
