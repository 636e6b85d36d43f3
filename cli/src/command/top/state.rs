//! What the live view shows and what keys do to it; nothing here draws.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};

use actix_aiomsg::inspection::{Peer, Report};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::diagnose::{Diagnosis, diagnose};
use super::rates::Rates;

/// Reports whose rates are kept for the sparklines.
const KEPT: usize = 240;

/// One socket, as it was seen last.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Where it is looked at.
    pub(super) place: String,
    pub(super) report: Option<Report>,
    pub(super) rates: Rates,
    pub(super) diagnoses: Vec<Diagnosis>,
    /// Why there are no reports, if there are none any more.
    pub(super) gone: Option<String>,
    pub(super) sent: VecDeque<u64>,
    pub(super) received: VecDeque<u64>,
    /// What each peer was sent a second.
    pub(super) peers: HashMap<String, VecDeque<u64>>,
}

impl Watched {
    pub(super) fn new(place: String) -> Self {
        Self {
            place,
            ..Self::default()
        }
    }

    /// A report has come, or why none does.
    pub(super) fn handle(&mut self, report: Result<Report, String>) {
        let report = match report {
            Ok(report) => report,
            Err(why) => {
                self.gone = Some(why);
                return;
            }
        };
        self.gone = None;
        let first = Report::default();
        self.rates = Rates::between(self.report.as_ref().unwrap_or(&first), &report);
        if self.report.is_some() {
            keep(&mut self.sent, self.rates.sent);
            keep(&mut self.received, self.rates.received);
            self.peers
                .retain(|peer, _| self.rates.peers.contains_key(peer));
            for (peer, rates) in &self.rates.peers {
                keep(self.peers.entry(peer.clone()).or_default(), rates.sent);
            }
        }
        self.diagnoses = diagnose(&report, &self.rates);
        self.report = Some(report);
    }
}

fn keep(kept: &mut VecDeque<u64>, rate: f64) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is not negative, and a bar need not be exact"
    )]
    kept.push_back(rate.round() as u64);
}

/// The column that peers are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sort {
    /// The order in which they came.
    #[default]
    Came,
    Queue,
    InFlight,
    Sent,
    Resent,
    Heard,
}

impl Sort {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Came => "order",
            Self::Queue => "queue",
            Self::InFlight => "in flight",
            Self::Sent => "sent",
            Self::Resent => "resent",
            Self::Heard => "heard",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Came => Self::Queue,
            Self::Queue => Self::InFlight,
            Self::InFlight => Self::Sent,
            Self::Sent => Self::Resent,
            Self::Resent => Self::Heard,
            Self::Heard => Self::Came,
        }
    }
}

/// The live view.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) watched: Vec<Watched>,
    /// The socket that is shown.
    pub(super) shown: usize,
    pub(super) sort: Sort,
    pub(super) reversed: bool,
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) typing: bool,
    pub(super) paused: bool,
    pub(super) help: bool,
    /// The selected peer, by its place among those that are shown.
    pub(super) selected: usize,
    /// The peer that is looked at closely.
    pub(super) peer: Option<String>,
}

/// Whether the view goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    Quit,
}

impl State {
    /// The socket that is shown.
    pub(super) fn current(&self) -> &Watched {
        &self.watched[self.shown]
    }

    /// The peers that are shown: filtered and sorted.
    pub(super) fn peers(&self) -> Vec<&Peer> {
        let current = self.current();
        let Some(report) = &current.report else {
            return Vec::new();
        };
        let wanted = self.filter.to_lowercase();
        let fits = |peer: &&Peer| {
            [&peer.peer, &peer.address, &peer.transport, &peer.role]
                .iter()
                .any(|text| text.to_lowercase().contains(&wanted))
        };
        let mut peers: Vec<_> = report.peers.iter().filter(fits).collect();
        let rates = &current.rates;
        // The largest first; what they have in common stays in the order in which it came.
        match self.sort {
            Sort::Came => {}
            Sort::Queue => peers.sort_by_key(|peer| Reverse((peer.queued, peer.queued_bytes))),
            Sort::InFlight => peers.sort_by_key(|peer| Reverse(peer.in_flight)),
            Sort::Sent => {
                peers.sort_by(|a, b| rates.of(&b.peer).sent.total_cmp(&rates.of(&a.peer).sent));
            }
            Sort::Resent => peers.sort_by_key(|peer| Reverse(peer.resent)),
            Sort::Heard => peers.sort_by(|a, b| b.last_heard.total_cmp(&a.last_heard)),
        }
        if self.reversed {
            peers.reverse();
        }
        peers
    }

    /// A report has come for a socket, or why none does. While it is paused, nothing changes.
    pub(super) fn handle_report(&mut self, socket: usize, report: Result<Report, String>) {
        if !self.paused {
            self.watched[socket].handle(report);
            self.selected = self.selected.min(self.peers().len().saturating_sub(1));
        }
    }

    /// A key was pressed.
    pub(super) fn handle_key(&mut self, key: KeyEvent) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Next::Quit;
        }
        if self.typing {
            self.handle_typing(key.code);
            return Next::GoOn;
        }
        if self.help {
            self.help = false;
            return Next::GoOn;
        }
        let last = self.peers().len().saturating_sub(1);
        match key.code {
            KeyCode::Char('q') => return Next::Quit,
            KeyCode::Esc => match () {
                () if self.peer.take().is_some() => {}
                () if !self.filter.is_empty() => self.filter.clear(),
                () => return Next::Quit,
            },
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.help = true,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Tab => self.show((self.shown + 1) % self.watched.len()),
            KeyCode::BackTab => {
                self.show((self.shown + self.watched.len() - 1) % self.watched.len());
            }
            KeyCode::Down | KeyCode::Char('j') => self.selected = (self.selected + 1).min(last),
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::PageDown => self.selected = (self.selected + 10).min(last),
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(10),
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.selected = last,
            KeyCode::Enter => {
                let peer = self
                    .peers()
                    .get(self.selected)
                    .map(|peer| peer.peer.clone());
                self.peer = if self.peer.is_some() { None } else { peer };
            }
            _ => {}
        }
        Next::GoOn
    }

    fn handle_typing(&mut self, key: KeyCode) {
        self.selected = 0;
        match key {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(c) => self.filter.push(c),
            _ => {}
        }
    }

    fn show(&mut self, socket: usize) {
        (self.shown, self.selected, self.peer) = (socket, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::demo::Demo;
    use super::super::source::Reports;
    use super::*;

    fn state() -> State {
        let mut demo = Demo::without_pauses();
        let watched = vec![Watched::new("one".into()), Watched::new("two".into())];
        let mut state = State {
            watched,
            ..State::default()
        };
        state.handle_report(0, demo.next());
        state
    }

    fn press(state: &mut State, keys: &str) -> Next {
        let mut next = Next::GoOn;
        for key in keys.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\x1b' => KeyCode::Esc,
                '\t' => KeyCode::Tab,
                '\x08' => KeyCode::Backspace,
                c => KeyCode::Char(c),
            };
            next = state.handle_key(code.into());
        }
        next
    }

    #[test]
    fn peers_are_sorted_by_a_column_and_reversed() {
        let mut state = state();
        let first = |state: &State| state.peers()[0].address.clone();
        let came = first(&state);
        press(&mut state, "s");
        assert_eq!(
            (state.sort, &*first(&state)),
            (Sort::Queue, "10.0.4.21:40466")
        );
        press(&mut state, "r");
        assert_ne!(first(&state), "10.0.4.21:40466");
        press(&mut state, "rsssss");
        assert_eq!((state.sort, first(&state)), (Sort::Came, came));
    }

    #[test]
    fn a_filter_is_typed_and_escape_clears_it_before_it_quits() {
        let mut state = state();
        press(&mut state, "/TLx\x08S\n");
        assert_eq!((state.peers().len(), state.typing), (1, false));
        assert_eq!(press(&mut state, "\x1b"), Next::GoOn);
        assert_eq!(state.peers().len(), 5);
        assert_eq!(press(&mut state, "\x1b"), Next::Quit);
    }

    #[test]
    fn the_selection_stays_within_the_peers_and_enter_looks_closely() {
        let mut state = state();
        press(&mut state, "jjjjjjjjj");
        assert_eq!(state.selected, 4);
        press(&mut state, "k\n");
        let peer = state.peer.clone().unwrap();
        assert_eq!(peer, state.peers()[3].peer);
        assert_eq!(press(&mut state, "\x1b"), Next::GoOn);
        assert_eq!(state.peer, None);
        press(&mut state, "/10.0.4.17\n");
        let mut demo = Demo::without_pauses();
        state.handle_report(0, demo.next());
        assert_eq!(state.selected, 0);
    }

    #[test]
    fn nothing_changes_while_it_is_paused_and_help_is_left_by_any_key() {
        let mut state = state();
        press(&mut state, "p");
        state.handle_report(0, Err("it is gone".into()));
        assert_eq!(state.current().gone, None);
        press(&mut state, "p?");
        assert!(state.help);
        assert_eq!(press(&mut state, "q"), Next::GoOn);
        assert!(!state.help);
        state.handle_report(0, Err("it is gone".into()));
        assert!(state.current().gone.is_some() && state.current().report.is_some());
    }

    #[test]
    fn tab_shows_the_next_socket_and_ctrl_c_quits_always() {
        let mut state = state();
        press(&mut state, "\t");
        assert_eq!(state.current().place, "two");
        assert!(state.peers().is_empty());
        press(&mut state, "\t/");
        let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(state.handle_key(ctrl_c), Next::Quit);
    }
}
