//! What happens to a socket, told on standard error while a command runs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::rc::Rc;
use std::time::Instant;

use actix::prelude::*;
use actix_aiomsg::event::{Party, RefusalReason};
use actix_aiomsg::{PeerEvent, Role, SocketEvent};
use anstyle::{AnsiColor, Style};
use indicatif::ProgressBar;

use crate::line_limit::LineLimit;
use crate::payload_text::harmless;

/// Why nobody is connected: the last failure at each endpoint that is dialled.
pub(crate) type Troubles = Rc<RefCell<BTreeMap<String, String>>>;

/// How often peers have ended their connections to us, and why the last one did.
pub(crate) type PeerEnds = Rc<RefCell<(usize, String)>>;

/// Tells of failed attempts and failures of the socket, each once until it changes, and of refused peers.
///
/// Refusals are what strangers can cause, and limited. Peers that come and go are for people, and told on a terminal alone.
pub(crate) struct Notices {
    quiet: bool,
    is_terminal: bool,
    troubles: Troubles,
    peer_ends: PeerEnds,
    /// By the host and the reason.
    refusals: LineLimit,
    bar: Option<ProgressBar>,
}

impl Notices {
    pub(crate) fn new(
        quiet: bool,
        (troubles, peer_ends): (Troubles, PeerEnds),
        bar: Option<ProgressBar>,
    ) -> Self {
        Self {
            quiet,
            is_terminal: std::io::stderr().is_terminal(),
            troubles,
            peer_ends,
            refusals: LineLimit::default(),
            bar,
        }
    }

    fn tell_people(&self, text: &str) {
        if self.is_terminal {
            self.tell(text);
        }
    }

    fn tell_refusal(&mut self, address: &str, reason: &RefusalReason) {
        // Each attempt of a peer comes from another port.
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let permit = self
            .refusals
            .permit(&format!("{host}: {reason}"), Instant::now());
        match permit {
            None => {}
            Some(0) => self.tell(&format!("refused {address}: {reason}")),
            Some(left_out) => self.tell(&format!(
                "refused {address}: {reason}; {left_out} more refusals were not told"
            )),
        }
    }

    fn tell(&self, text: &str) {
        if self.quiet {
            return;
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| notice(text)),
            None => notice(text),
        }
    }
}

/// A line about the socket on standard error.
pub(crate) fn notice(text: &str) {
    let style = Style::new().fg_color(Some(AnsiColor::BrightBlack.into()));
    anstream::eprintln!("{style}aiomsg: {}{style:#}", harmless(text));
}

impl Actor for Notices {
    type Context = Context<Self>;
}

impl Handler<SocketEvent> for Notices {
    type Result = ();

    fn handle(&mut self, event: SocketEvent, _: &mut Self::Context) {
        match event {
            SocketEvent::DialFailed {
                endpoint, reason, ..
            } => {
                let (endpoint, reason) = (endpoint.to_string(), reason.to_string());
                let text = match reason.contains(&endpoint) {
                    true => reason,
                    false => format!("{endpoint}: {reason}"),
                };
                let told = self.troubles.borrow_mut().insert(endpoint, text.clone());
                if told.as_ref() != Some(&text) {
                    self.tell(&format!("{text}; trying again"));
                }
            }
            SocketEvent::HandshakeRefused {
                role: Role::BindEnd,
                reason: RefusalReason::Ended { received: 0 } | RefusalReason::Itself,
                ..
            } => {
                // A probe that says nothing is no trouble, and the dialer tells that it has met its own socket.
            }
            SocketEvent::HandshakeRefused {
                address, reason, ..
            } => self.tell_refusal(&address.to_string(), &reason),
            SocketEvent::Overloaded { limit, .. } => {
                self.tell(&format!(
                    "a connection was closed, the limit is reached: {limit:?}"
                ));
            }
            SocketEvent::ListenerFailed {
                endpoint, reason, ..
            }
            | SocketEvent::DialerFailed {
                endpoint, reason, ..
            } => self.tell(&format!("{endpoint} is given up: {reason}")),
            _ => {}
        }
    }
}

impl Handler<PeerEvent> for Notices {
    type Result = ();

    fn handle(&mut self, event: PeerEvent, _: &mut Self::Context) {
        match event {
            PeerEvent::Up { peer, address, .. } => {
                self.troubles.borrow_mut().clear();
                self.tell_people(&format!("{peer} is connected from {address}"));
            }
            PeerEvent::Down {
                peer, reason, by, ..
            } => {
                self.tell_people(&format!("{peer} is gone: {reason}"));
                if by == Party::Peer {
                    let mut ends = self.peer_ends.borrow_mut();
                    *ends = (ends.0 + 1, reason.to_string());
                }
            }
            PeerEvent::Slow {
                peer,
                gave_up: true,
                ..
            } => self.tell(&format!(
                "{peer} does not read: messages for it are dropped until it does"
            )),
            PeerEvent::Slow { peer, waited, .. } => {
                self.tell(&format!("{peer} is slow: it was waited for {waited:.1?}"));
            }
            _ => {}
        }
    }
}
