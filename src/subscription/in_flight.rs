//! Messages that asynchronous handlers have not finished. A poll costs as much as have
//! finished, and not as many as there are.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_core::Stream;
use futures_util::stream::FuturesUnordered;

/// True if a handler has finished, false if it has let go of its message.
pub(crate) type Finished = bool;

/// A result that is awaited, with what it is about.
struct InFlight<F> {
    number: u64,
    begun: Instant,
    /// Absent once it has ended.
    content: Option<F>,
}

/// Results that are awaited at a time.
pub(crate) struct InFlightSet<F> {
    /// The only one, as a rule: it needs no list. It is older than all others.
    first: Option<InFlight<F>>,
    others: FuturesUnordered<InFlight<F>>,
    /// When each of the others began, by its number.
    begun: BTreeMap<u64, Instant>,
    /// The number of the next one.
    next: u64,
}

/// Something that ends.
pub(crate) trait PollEnd: Unpin {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Finished>;
}

impl<F: PollEnd> InFlightSet<F> {
    pub(crate) fn new() -> Self {
        Self {
            first: None,
            others: FuturesUnordered::new(),
            begun: BTreeMap::new(),
            next: 0,
        }
    }

    pub(crate) fn push(&mut self, content: F, now: Instant) {
        let number = self.next;
        self.next += 1;
        let result = InFlight {
            number,
            begun: now,
            content: Some(content),
        };
        if self.first.is_none() && self.others.is_empty() {
            self.first = Some(result);
        } else {
            self.begun.insert(number, now);
            self.others.push(result);
        }
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the oldest of them began.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let first = self.first.as_ref().map(|first| first.begun);
        first.or_else(|| self.begun.values().next().copied())
    }

    /// A result that has ended, if any has. The task is woken when another does.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Ended<F>> {
        if let Some(result) = &mut self.first
            && let Poll::Ready((_, ended)) = Pin::new(result).poll(cx)
        {
            self.first = None;
            return Poll::Ready(ended);
        }
        if !self.others.is_empty()
            && let Poll::Ready(Some((number, ended))) = Pin::new(&mut self.others).poll_next(cx)
        {
            self.begun.remove(&number);
            return Poll::Ready(ended);
        }
        Poll::Pending
    }

    /// Takes all of them, in the order in which they were added.
    pub(crate) fn take_all(&mut self) -> Vec<F> {
        let others = std::mem::take(&mut self.others);
        self.begun.clear();
        let mut all: Vec<_> = self.first.take().into_iter().chain(others).collect();
        all.sort_unstable_by_key(|result| result.number);
        all.into_iter()
            .filter_map(|result| result.content)
            .collect()
    }
}

/// What has become of a result that has ended, and when it began.
pub(crate) type Ended<F> = (F, Finished, Instant);

impl<F: PollEnd> Future for InFlight<F> {
    /// With its number.
    type Output = (u64, Ended<F>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(content) = &mut self.content else {
            return Poll::Pending;
        };
        let Poll::Ready(finished) = content.poll_end(cx) else {
            return Poll::Pending;
        };
        match self.content.take() {
            Some(content) => Poll::Ready((self.number, (content, finished, self.begun))),
            None => Poll::Pending,
        }
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::task::Waker;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    struct TestFlight {
        name: usize,
        end: oneshot::Receiver<()>,
        polls: Rc<Cell<usize>>,
    }

    impl PollEnd for TestFlight {
        fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
            self.polls.set(self.polls.get() + 1);
            Pin::new(&mut self.end).poll(cx).map(|end| end.is_ok())
        }
    }

    struct Tower {
        flights: InFlightSet<TestFlight>,
        ends: Vec<Option<oneshot::Sender<()>>>,
        polls: Rc<Cell<usize>>,
        start: Instant,
    }

    fn secs(n: usize) -> Duration {
        Duration::from_secs(n as u64)
    }

    impl Tower {
        fn new() -> Self {
            Self {
                start: Instant::now(),
                flights: InFlightSet::new(),
                ends: Vec::new(),
                polls: Rc::default(),
            }
        }

        fn start(&mut self) {
            let (sender, end) = oneshot::channel();
            let polls = Rc::clone(&self.polls);
            let name = self.ends.len();
            self.ends.push(Some(sender));
            let flight = TestFlight { name, end, polls };
            self.flights.push(flight, self.start + secs(name));
        }

        fn land(&mut self, name: usize) {
            self.ends[name].take().unwrap().send(()).unwrap();
        }

        fn ended(&mut self) -> Vec<(usize, Finished)> {
            let mut cx = Context::from_waker(Waker::noop());
            let mut all = Vec::new();
            while let Poll::Ready((probe, finished, _)) = self.flights.poll_ended(&mut cx) {
                all.push((probe.name, finished));
            }
            all
        }
    }

    #[test]
    fn each_is_polled_when_it_departs_and_when_it_lands_and_no_more() {
        let mut tower = Tower::new();
        for name in 0..1_000 {
            tower.start();
            assert_eq!(tower.ended(), []);
            // Those in the air at this time are about five hundred.
            if name >= 500 {
                tower.land(name - 499);
                assert_eq!(tower.ended(), [(name - 499, true)]);
            }
        }
        // The one that departed first is looked at each time.
        let first = 1_000 + 500 + 500;
        assert!(tower.polls.get() <= first + 2 * 1_000, "{:?}", tower.polls);
        assert_eq!(tower.flights.len(), 500);
    }

    #[test]
    fn the_oldest_is_known_in_whatever_order_they_end() {
        let mut tower = Tower::new();
        for _ in 0..4 {
            tower.start();
        }
        let oldest = |tower: &Tower| tower.flights.oldest().map(|begun| begun - tower.start);
        for (lands, left) in [(1, Some(0)), (0, Some(2)), (3, Some(2)), (2, None)] {
            tower.land(lands);
            assert_eq!(tower.ended(), [(lands, true)]);
            assert_eq!(oldest(&tower), left.map(secs));
        }
        tower.start();
        assert_eq!(oldest(&tower), Some(secs(4)));
        assert_eq!(tower.flights.take_all().len(), 1);
        assert_eq!(oldest(&tower), None);
    }

    #[test]
    fn nothing_is_kept_of_those_that_have_ended_behind_one_that_does_not() {
        let mut tower = Tower::new();
        tower.start();
        for name in 1..=1_000 {
            tower.start();
            tower.land(name);
            assert_eq!(tower.ended(), [(name, true)]);
        }
        assert_eq!(tower.flights.len(), 1);
        assert!(
            tower.flights.begun.len() <= 1,
            "{}",
            tower.flights.begun.len()
        );
        assert_eq!(tower.flights.oldest(), Some(tower.start));
    }

    #[test]
    fn one_whose_handler_lets_go_has_not_finished() {
        let mut tower = Tower::new();
        tower.start();
        tower.start();
        tower.ends.clear();
        assert_eq!(tower.ended(), [(0, false), (1, false)]);
        assert!(tower.flights.is_empty());
    }

    #[test]
    fn what_is_taken_out_is_in_the_order_of_departure() {
        let mut tower = Tower::new();
        for _ in 0..5 {
            tower.start();
        }
        tower.land(0);
        tower.land(3);
        assert_eq!(tower.ended(), [(0, true), (3, true)]);
        tower.start();
        let names: Vec<_> = tower.flights.take_all().iter().map(|p| p.name).collect();
        assert_eq!(names, [1, 2, 4, 5]);
        assert!(tower.flights.is_empty());
    }
}
