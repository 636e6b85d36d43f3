//! The last events of a socket, as lines for people.

use std::collections::VecDeque;

use super::peer::PeerEvent;
use super::socket::SocketEvent;
use crate::clock;
use crate::excerpt::shortened;
use crate::sync::Mutex;

/// Lines that are kept.
const LINES: usize = 50;

/// Bytes of a line: texts of peers and of panics may be long.
const LINE_BYTES: usize = 200;

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct HistoryLine {
    /// Milliseconds since 1970.
    pub(crate) at: u64,
    pub(crate) text: String,
}

/// The last events of a socket.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<VecDeque<HistoryLine>>);

impl History {
    pub(crate) fn note_socket(&self, event: &SocketEvent) {
        if let Some(text) = of_socket(event) {
            self.add(text);
        }
    }

    pub(crate) fn note_peer(&self, event: &PeerEvent) {
        self.add(of_peer(event));
    }

    /// The oldest first.
    pub(crate) fn lines(&self) -> Vec<HistoryLine> {
        self.0.lock().iter().cloned().collect()
    }

    fn add(&self, text: String) {
        let text = shortened(text, LINE_BYTES);
        let at = clock::wall();
        let mut lines = self.0.lock();
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(HistoryLine { at, text });
    }
}

/// Single attempts to dial are no line; their failures are.
fn of_socket(event: &SocketEvent) -> Option<String> {
    Some(match event {
        SocketEvent::Listening { endpoint } => format!("listening on {endpoint}"),
        SocketEvent::Dialling { .. } => return None,
        SocketEvent::DialFailed {
            endpoint,
            attempt,
            reason,
            ..
        } => format!("cannot reach {endpoint}, attempt {attempt}: {reason}"),
        SocketEvent::HandshakeRefused {
            address, reason, ..
        } => format!("no handshake with {address}: {reason}"),
        SocketEvent::Overloaded { limit } => format!("overloaded, limit of {limit:?}"),
        SocketEvent::ListenerFailed { endpoint, reason } => {
            format!("the listener of {endpoint} was given up: {reason}")
        }
        SocketEvent::DialerFailed { endpoint, reason } => {
            format!("the dialer of {endpoint} was given up: {reason}")
        }
        SocketEvent::ConnectionFailed {
            address, reason, ..
        } => format!("the connection with {address} panicked: {reason}"),
        SocketEvent::ListenerStopped { endpoint } => {
            format!("not listening on {endpoint} any more")
        }
        SocketEvent::DialerStopped { endpoint } => format!("not dialling {endpoint} any more"),
        SocketEvent::Discovered {
            source,
            found,
            new,
            gone,
        } => format!("{source}: {found} peers, {new} of them new, {gone} gone"),
        SocketEvent::DiscoveryFailed { source, reason, .. } => {
            format!("{source} does not say who is there: {reason}")
        }
        SocketEvent::DiscoveryGivenUp { source, reason } => {
            format!("the discovery of {source} was given up: {reason}")
        }
        SocketEvent::Restarted { actor, reason } => format!("{actor} was restarted: {reason}"),
        SocketEvent::SubscriberGone {
            actor,
            subscription,
        } => format!("{actor} is gone, a subscriber of {subscription}"),
        SocketEvent::LettersDiscarded { count } => {
            format!("{count} dead letters were not kept, for want of room or for their age")
        }
        SocketEvent::OutboxFailing { error } => format!("the outbox cannot store: {error}"),
        SocketEvent::OutboxRecovered => "the outbox stores again".to_owned(),
        SocketEvent::OutboxCopied { endpoint, .. } => {
            format!("{endpoint} refuses us as connected already: copied outbox?")
        }
        SocketEvent::Closed { reason } => format!("closed: {reason}"),
        SocketEvent::Lagged(skipped) => format!("{skipped} events were skipped"),
    })
}

fn of_peer(event: &PeerEvent) -> String {
    match event {
        PeerEvent::Up {
            peer,
            address,
            transport,
            ..
        } => format!("peer {peer} up, {address} over {transport}"),
        PeerEvent::Down { peer, reason, .. } => format!("peer {peer} down: {reason}"),
        PeerEvent::Slow {
            peer,
            waited,
            gave_up,
        } => {
            let end = if *gave_up { ", and was given up" } else { "" };
            format!("peer {peer} is slow: messages waited {waited:.1?} for it{end}")
        }
        PeerEvent::Lagged(skipped) => format!("{skipped} events of peers were skipped"),
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_long_ones_are_cut() {
        let history = History::default();
        for number in 0..LINES + 3 {
            history.note_socket(&SocketEvent::Closed {
                reason: number.to_string(),
            });
        }
        let lines = history.lines();
        assert_eq!((lines.len(), &*lines[0].text), (LINES, "closed: 3"));
        history.note_socket(&SocketEvent::Closed {
            reason: "ä".repeat(LINE_BYTES),
        });
        let last = history.lines().pop().unwrap();
        assert!(last.text.len() < LINE_BYTES + 4 && last.text.ends_with("ä…"));
    }

    #[test]
    fn an_attempt_to_dial_is_no_line() {
        let history = History::default();
        history.note_socket(&SocketEvent::Dialling {
            endpoint: "tcp://h:1".parse().unwrap(),
            attempt: 1,
        });
        assert!(history.lines().is_empty());
    }
}
