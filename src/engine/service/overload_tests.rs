//! Providers, consumers and a network in simulated time, put together from the machines of this folder alone.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::{
    AfterTry, AskEnd, AskTries, Candidate, Choice, HandlingRate, Idempotence, Instance,
    InstanceState, LoadLimits, LoadState, RetryBudget, RetryPolicy, ServiceAdmission, ServiceLoad,
    TryOutcome, choose,
};

/// Of each ask.
const BYTES: usize = 100;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 ^ (self.0 >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Up to twice the mean, all as likely.
    fn around(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(2.0 * (self.next() >> 40) as f64 / f64::from(1 << 24))
    }
}

/// One run: so many consumers ask so many providers.
#[derive(Debug, Clone, Copy)]
struct World {
    providers: usize,
    consumers: usize,
    /// One way.
    delay: Duration,
    handling: Duration,
    /// Of each provider, which work at a time.
    handlers: usize,
    limits: LoadLimits,
    timeout: Duration,
    /// Of the rate at which the handlers could work.
    demand: f64,
    lasts: Duration,
}

#[derive(Debug, Default)]
struct Report {
    asked: usize,
    ends: usize,
    answered: usize,
    accepted: usize,
    late: usize,
    busy: usize,
    longest_queue: usize,
    times_handled: HashMap<usize, usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ask {
        consumer: usize,
    },
    Arrives {
        ask: usize,
        provider: usize,
    },
    Handled {
        ask: usize,
        provider: usize,
    },
    Answered {
        ask: usize,
        provider: usize,
    },
    Refused {
        ask: usize,
        provider: usize,
        retry_after: Duration,
    },
    Told {
        provider: usize,
        busy: Option<Duration>,
    },
    Announces {
        provider: usize,
    },
    GivesUp {
        ask: usize,
    },
}

struct Ask {
    consumer: usize,
    tries: AskTries<usize>,
    at: Option<usize>,
    accepted: bool,
}

struct Provider {
    load: ServiceLoad,
    queue: VecDeque<usize>,
    rate: HandlingRate,
    in_hand: HashSet<usize>,
}

impl Provider {
    fn finish(&mut self, now: Instant) {
        if let Some(took) = self.rate.handle_finished(now) {
            self.load.handle_finished(took);
        }
    }
}

struct Consumer {
    /// Each with the asks that wait for its answer.
    instances: Vec<(Instance, usize)>,
    budget: RetryBudget,
}

struct Run {
    world: World,
    random: Random,
    now: Instant,
    events: BinaryHeap<Reverse<(Instant, usize, Event)>>,
    number: usize,
    asks: HashMap<usize, Ask>,
    providers: Vec<Provider>,
    consumers: Vec<Consumer>,
    report: Report,
}

impl World {
    fn run(self) -> Report {
        let now = Instant::now();
        let provider = || Provider {
            load: ServiceLoad::new(self.limits),
            queue: VecDeque::new(),
            rate: HandlingRate::default(),
            in_hand: HashSet::new(),
        };
        let offered = || {
            let mut instance = Instance::new(now);
            instance.handle_offered();
            (instance, 0)
        };
        let consumer = || Consumer {
            instances: (0..self.providers).map(|_| offered()).collect(),
            budget: RetryBudget::new(),
        };
        let mut run = Run {
            world: self,
            random: Random(1),
            now,
            events: BinaryHeap::new(),
            number: 0,
            asks: HashMap::new(),
            providers: (0..self.providers).map(|_| provider()).collect(),
            consumers: (0..self.consumers).map(|_| consumer()).collect(),
            report: Report::default(),
        };
        (0..self.consumers).for_each(|consumer| run.after(Duration::ZERO, Event::Ask { consumer }));
        let end = now + self.lasts;
        while let Some(Reverse((at, _, event))) = run.events.pop() {
            run.now = at;
            // No new asks at the end, so that the others come to theirs.
            if at < end || !matches!(event, Event::Ask { .. }) {
                run.handle(event);
            }
        }
        assert!(run.asks.is_empty(), "an ask has no end");
        run.report
    }

    /// Answers that all providers together could give in the time of the run.
    fn capacity(&self) -> f64 {
        let handlers = (self.providers * self.handlers) as f64;
        handlers * self.lasts.as_secs_f64() / self.handling.as_secs_f64()
    }
}

impl Run {
    fn after(&mut self, delay: Duration, event: Event) {
        self.number += 1;
        self.events
            .push(Reverse((self.now + delay, self.number, event)));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Ask { consumer } => self.ask(consumer),
            Event::Arrives { ask, provider } => self.arrive(ask, provider),
            Event::Handled { ask, provider } => {
                let provider_state = &mut self.providers[provider];
                assert!(provider_state.in_hand.remove(&ask), "it was begun");
                provider_state.finish(self.now);
                self.after(self.world.delay, Event::Answered { ask, provider });
                self.work(provider);
            }
            Event::Answered { ask, provider } => self.end_try(ask, provider, TryOutcome::Answered),
            Event::Refused {
                ask,
                provider,
                retry_after,
            } => {
                if let Some(known) = self.asks.get(&ask) {
                    let (instance, _) = &mut self.consumers[known.consumer].instances[provider];
                    instance.handle_busy(self.now, retry_after);
                }
                self.end_try(ask, provider, TryOutcome::Busy { retry_after });
            }
            Event::Told { provider, busy } => {
                for consumer in &mut self.consumers {
                    let (instance, _) = &mut consumer.instances[provider];
                    match busy {
                        Some(retry_after) => instance.handle_busy(self.now, retry_after),
                        None => instance.handle_ready(),
                    };
                }
            }
            Event::Announces { provider } => {
                let told = match self.providers[provider].load.announce(self.now) {
                    Some(LoadState::Ready) => None,
                    Some(LoadState::Busy { retry_after }) => Some(retry_after),
                    None => return,
                };
                self.after(
                    self.world.delay,
                    Event::Told {
                        provider,
                        busy: told,
                    },
                );
            }
            Event::GivesUp { ask } => {
                if let Some(provider) = self.asks.get(&ask).and_then(|ask| ask.at) {
                    self.end_try(ask, provider, TryOutcome::TimedOut);
                }
            }
        }
    }

    fn ask(&mut self, consumer: usize) {
        let world = self.world;
        let handlers = (world.providers * world.handlers) as f64;
        let interval = world
            .handling
            .mul_f64(world.consumers as f64 / handlers / world.demand);
        let interval = self.random.around(interval);
        self.after(interval, Event::Ask { consumer });
        let policy = RetryPolicy {
            timeout: world.timeout,
            retries: 2,
            idempotence: Idempotence::NotIdempotent,
            try_timeout: None,
        };
        self.consumers[consumer].budget.handle_first_try(self.now);
        let tries = AskTries::new(policy, self.now);
        let ask = self.report.asked;
        self.report.asked += 1;
        self.asks.insert(
            ask,
            Ask {
                consumer,
                tries,
                at: None,
                accepted: false,
            },
        );
        self.after(world.timeout, Event::GivesUp { ask });
        self.choose(ask);
    }

    fn choose(&mut self, number: usize) {
        let random = self.random.next();
        let ask = self.asks.get_mut(&number).expect("it has no end yet");
        let consumer = &mut self.consumers[ask.consumer];
        for (instance, _) in &mut consumer.instances {
            instance.handle_deadline(self.now);
        }
        let choice = choose(consumer.instances.len(), random, |index| {
            let (instance, outstanding) = &consumer.instances[index];
            let outstanding = *outstanding;
            match instance.state() {
                InstanceState::Busy { until } => Candidate::Busy { until },
                _ if !instance.may_be_asked() => Candidate::Closed,
                _ if ask.tries.has_tried(index) => Candidate::Tried { outstanding },
                _ => Candidate::Open { outstanding },
            }
        });
        match choice {
            Choice::Instance(provider) => {
                consumer.instances[provider].1 += 1;
                ask.at = Some(provider);
                self.after(
                    self.world.delay,
                    Event::Arrives {
                        ask: number,
                        provider,
                    },
                );
            }
            Choice::Busy { until } => {
                let retry_after = until - self.now;
                self.end(number, AskEnd::Busy { retry_after });
            }
            Choice::Nobody => panic!("all are offered"),
        }
    }

    fn arrive(&mut self, number: usize, provider: usize) {
        // Counted from its arrival: clocks differ.
        let remaining = self.world.timeout;
        let state = &mut self.providers[provider];
        match state.load.handle_arrival(BYTES, Some(remaining)) {
            ServiceAdmission::Accept => {
                state.rate.handle_arrival(self.now);
                state.queue.push_back(number);
                self.report.accepted += 1;
                self.report.longest_queue = self.report.longest_queue.max(state.queue.len());
                if let Some(ask) = self.asks.get_mut(&number) {
                    ask.accepted = true;
                }
                self.work(provider);
            }
            ServiceAdmission::Busy { retry_after } => {
                let refused = Event::Refused {
                    ask: number,
                    provider,
                    retry_after,
                };
                self.after(self.world.delay, refused);
            }
        }
        self.announce(provider);
    }

    /// Handlers that are free take what waits.
    fn work(&mut self, provider: usize) {
        while self.providers[provider].in_hand.len() < self.world.handlers {
            let state = &mut self.providers[provider];
            let Some(ask) = state.queue.pop_front() else {
                break;
            };
            state.load.handle_taken(BYTES);
            // Asks whose time is over are not handled, and finished.
            if self
                .asks
                .get(&ask)
                .is_some_and(|known| self.now < known.tries.deadline())
            {
                state.in_hand.insert(ask);
                *self.report.times_handled.entry(ask).or_default() += 1;
                let takes = self.random.around(self.world.handling);
                self.after(takes, Event::Handled { ask, provider });
            } else {
                state.finish(self.now);
            }
        }
        self.announce(provider);
    }

    fn announce(&mut self, provider: usize) {
        if let Some(at) = self.providers[provider].load.next_announcement(self.now) {
            self.after(at - self.now, Event::Announces { provider });
        }
    }

    fn end_try(&mut self, number: usize, provider: usize, outcome: TryOutcome) {
        let Some(ask) = self.asks.get_mut(&number) else {
            return;
        };
        let consumer = &mut self.consumers[ask.consumer];
        consumer.instances[provider].1 -= 1;
        ask.at = None;
        match ask
            .tries
            .handle_outcome(self.now, provider, outcome, &mut consumer.budget)
        {
            AfterTry::Again => self.choose(number),
            AfterTry::End(end) => self.end(number, end),
        }
    }

    fn end(&mut self, number: usize, end: AskEnd) {
        let ask = self.asks.remove(&number).expect("it ends once");
        self.report.ends += 1;
        match end {
            AskEnd::Answered => self.report.answered += 1,
            AskEnd::Busy { .. } => self.report.busy += 1,
            AskEnd::Timeout => self.report.late += usize::from(ask.accepted),
            AskEnd::Remote | AskEnd::NoService | AskEnd::PeerGone => panic!("{end:?}"),
        }
    }
}

const OVERLOADED: World = World {
    providers: 1,
    consumers: 8,
    delay: millis(2),
    handling: millis(10),
    handlers: 4,
    limits: LoadLimits {
        max_queued: 1024,
        max_queued_bytes: usize::MAX,
    },
    timeout: millis(500),
    demand: 2.0,
    lasts: Duration::from_secs(30),
};

#[track_caller]
fn assert_holds_its_goodput(world: World) {
    let report = world.run();
    let told = format!(
        "{world:?}: asked {}, answered {} of {:.0}, accepted {}, late {}, busy {}, queue {}",
        report.asked,
        report.answered,
        world.capacity(),
        report.accepted,
        report.late,
        report.busy,
        report.longest_queue
    );
    assert_eq!(report.ends, report.asked, "{told}");
    assert!(
        report.times_handled.values().all(|times| *times == 1),
        "{told}"
    );
    assert!(report.answered as f64 >= 0.9 * world.capacity(), "{told}");
    assert!(report.late * 100 <= report.accepted, "{told}");
    assert!(report.longest_queue <= world.limits.max_queued, "{told}");
}

#[test]
fn a_provider_at_twice_its_capacity_does_nine_tenths_of_it_and_what_it_accepts_is_in_time() {
    assert_holds_its_goodput(OVERLOADED);
}

#[test]
fn overload_is_the_same_for_short_queues_slow_networks_and_several_providers() {
    let short = LoadLimits {
        max_queued: 16,
        ..OVERLOADED.limits
    };
    for world in [
        World {
            limits: short,
            ..OVERLOADED
        },
        World {
            delay: millis(50),
            ..OVERLOADED
        },
        World {
            providers: 3,
            ..OVERLOADED
        },
        World {
            providers: 3,
            demand: 8.0,
            lasts: Duration::from_secs(10),
            ..OVERLOADED
        },
        World {
            timeout: millis(5_000),
            ..OVERLOADED
        },
        World {
            timeout: millis(100),
            ..OVERLOADED
        },
    ] {
        assert_holds_its_goodput(world);
    }
}

#[test]
fn below_its_capacity_a_provider_refuses_nobody() {
    let report = World {
        demand: 0.7,
        ..OVERLOADED
    }
    .run();
    assert_eq!((report.answered, report.busy), (report.asked, 0));
}
