//! What happens to a socket, told on standard error while a command runs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::rc::Rc;

use actix::prelude::*;
use actix_aiomsg::event::Party;
use actix_aiomsg::{PeerEvent, SocketEvent};
use anstyle::{AnsiColor, Style};
use indicatif::ProgressBar;

use crate::payload_text::harmless;

/// Why nobody is connected: the last failure at each endpoint that is dialled.
pub(crate) type Troubles = Rc<RefCell<BTreeMap<String, String>>>;

/// How often peers have ended their connections to us, and why the last one did.
pub(crate) type PeerEnds = Rc<RefCell<(usize, String)>>;

/// Tells of failed attempts, refused peers, and failures of the socket; each once until it changes.
///
/// Peers that come and go are for people, and told on a terminal alone.
pub(crate) struct Notices {
    quiet: bool,
    is_terminal: bool,
    troubles: Troubles,
    peer_ends: PeerEnds,
    /// The last refusal that was told, by the host and the reason.
    refused: Option<String>,
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
            refused: None,
            bar,
        }
    }

    fn tell_people(&self, text: &str) {
        if self.is_terminal {
            self.tell(text);
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
                address, reason, ..
            } => {
                let address = address.to_string();
                // Each attempt of a peer comes from another port.
                let host = address.rsplit_once(':').map_or(&*address, |(host, _)| host);
                let refusal = format!("{host}: {reason}");
                if self.refused.as_ref() != Some(&refusal) {
                    self.tell(&format!("refused {address}: {reason}"));
                    self.refused = Some(refusal);
                }
            }
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
                self.refused = None;
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
