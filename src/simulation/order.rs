//! The order that docs/GUARANTEES.md promises, and nothing beyond it.

use std::collections::HashMap;

use super::executor::Owner;
use super::ledger::{Number, Route};

/// Messages of one task to one recipient among which order is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Stream {
    sender: Owner,
    task: u16,
    to: Owner,
    /// Route and guarantee, unless no connection ever ends.
    kind: Option<(Route, bool)>,
}

/// When a message was accepted, and how often and when last it was written to a connection.
#[derive(Debug, Clone, Copy)]
struct Passage {
    accepted: u64,
    written: u64,
    writes: u32,
}

/// A peer has left, and what it had not been sent waits for others.
#[derive(Debug, Clone, Copy)]
struct Departure {
    at: u64,
    peer: Owner,
    others: Others,
}

/// Who else there was when a peer left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    Nobody,
    /// Peers whose connections were about to end, so that they got nothing any more.
    Leaving,
    /// Peers that were connected.
    Connected,
}

/// Watches the order of first deliveries.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Counts events: the time, as far as order is concerned.
    now: u64,
    passages: HashMap<Number, Passage>,
    /// Peers that left, by whom they left.
    departures: HashMap<Owner, Vec<Departure>>,
    delivered: HashMap<Stream, Vec<Number>>,
    /// No connection ends: what one task sends to one peer is in order, however it is sent.
    pub(super) calm: bool,
}

impl Order {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    /// A message was accepted.
    pub(super) fn accept(&mut self, number: Number) {
        let accepted = self.tick();
        self.passage(number).accepted = accepted;
    }

    /// Its first byte was written to a connection.
    pub(super) fn write(&mut self, number: Number) {
        let written = self.tick();
        let passage = self.passage(number);
        passage.written = written;
        passage.writes += 1;
    }

    /// A peer has left.
    pub(super) fn depart(&mut self, sender: Owner, peer: Owner, others: Others) {
        let at = self.tick();
        let departure = Departure { at, peer, others };
        self.departures.entry(sender).or_default().push(departure);
    }

    /// A handler has got a message for the first time.
    pub(super) fn deliver(&mut self, number: Number, route: Route, reliable: bool, to: Owner) {
        let stream = Stream {
            sender: number.sender,
            task: number.task,
            to,
            kind: (!self.calm).then_some((route, reliable)),
        };
        let before = self.delivered.entry(stream).or_default();
        before.push(number);
        let later = before.iter().filter(|before| before.index > number.index);
        for later in later.copied().collect::<Vec<_>>() {
            let excused = !self.calm
                && (reliable && self.was_resent(number)
                    || self.was_moved(number, later, |departure| match route {
                        Route::Named => false,
                        // Messages may have moved to one that was about to leave.
                        Route::RoundRobin => departure.others != Others::Nobody,
                        Route::Publish => {
                            departure.others != Others::Connected && departure.peer != to
                        }
                    }));
            assert!(excused, "{number:?} came to {to} after {later:?}");
        }
    }

    /// It was written more than once, for want of an acknowledgement.
    fn was_resent(&self, number: Number) -> bool {
        self.passages[&number].writes > 1
    }

    /// It may have waited for a peer that departed like this, and `later` was accepted by then.
    fn was_moved(&self, this: Number, later: Number, how: impl Fn(&Departure) -> bool) -> bool {
        let (this_one, later) = (self.passages[&this], self.passages[&later]);
        let waited = |departure: &Departure| {
            (this_one.accepted..this_one.written).contains(&departure.at)
                && later.accepted < departure.at
        };
        let departures = self.departures.get(&this.sender).into_iter().flatten();
        departures.filter(|&departure| how(departure)).any(waited)
    }

    fn passage(&mut self, number: Number) -> &mut Passage {
        self.passages.entry(number).or_insert(Passage {
            accepted: u64::MAX,
            written: u64::MAX,
            writes: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Owner = 1;
    const RECIPIENT: Owner = 2;
    const OTHER: Owner = 3;

    const fn number(index: u32) -> Number {
        Number {
            sender: SENDER,
            task: 0,
            index,
            hops: 0,
        }
    }

    /// Two messages that are accepted, and then what `course` says.
    fn is_noticed(course: impl FnOnce(&mut Order)) -> bool {
        let mut order = Order::default();
        (0..2).for_each(|index| order.accept(number(index)));
        let course = std::panic::AssertUnwindSafe(|| course(&mut order));
        std::panic::catch_unwind(course).is_err()
    }

    /// The second comes first, when `departure` says so of a peer that left in between.
    fn is_inversion_noticed(route: Route, departure: Option<(Owner, Others)>) -> bool {
        is_noticed(|order| {
            order.write(number(1));
            if let Some((peer, others)) = departure {
                order.depart(SENDER, peer, others);
            }
            order.write(number(0));
            order.deliver(number(1), route, false, RECIPIENT);
            order.deliver(number(0), route, false, RECIPIENT);
        })
    }

    #[test]
    fn an_inversion_is_noticed_in_every_send_mode() {
        for route in [Route::RoundRobin, Route::Publish, Route::Named] {
            assert!(is_inversion_noticed(route, None), "{route:?}");
        }
    }

    #[test]
    fn it_is_excused_only_by_a_departure_after_which_the_older_message_moves() {
        use Others::{Connected, Leaving, Nobody};

        for (route, peer, others, noticed) in [
            (Route::Named, OTHER, Connected, true),
            (Route::Named, OTHER, Nobody, true),
            (Route::RoundRobin, OTHER, Connected, false),
            (Route::RoundRobin, OTHER, Leaving, false),
            (Route::RoundRobin, RECIPIENT, Nobody, true),
            (Route::Publish, OTHER, Connected, true),
            (Route::Publish, OTHER, Leaving, false),
            (Route::Publish, OTHER, Nobody, false),
            (Route::Publish, RECIPIENT, Nobody, true),
        ] {
            let noticing = is_inversion_noticed(route, Some((peer, others)));
            assert_eq!(noticing, noticed, "{route:?} {peer} {others:?}");
        }
    }

    #[test]
    fn what_is_sent_after_a_departure_comes_behind_what_it_moves() {
        assert!(is_noticed(|order| {
            order.depart(SENDER, OTHER, Others::Connected);
            order.accept(number(2));
            for index in [2, 0] {
                order.write(number(index));
                order.deliver(number(index), Route::RoundRobin, false, RECIPIENT);
            }
        }));
    }

    #[test]
    fn at_least_once_an_inversion_is_excused_by_a_repetition_alone() {
        for (writes, noticed) in [(1, true), (2, false)] {
            let noticing = is_noticed(|order| {
                (0..writes).for_each(|_| order.write(number(0)));
                order.write(number(1));
                order.deliver(number(1), Route::Named, true, RECIPIENT);
                order.deliver(number(0), Route::Named, true, RECIPIENT);
            });
            assert_eq!(noticing, noticed, "{writes}");
        }
    }
}
