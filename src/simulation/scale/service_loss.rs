//! A service of many instances of which some stop answering, and one consumer that asks on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use super::super::dice::Dice;
use super::storm::STEP;
use crate::clock;
use crate::engine::service::{
    AfterTry, AskTries, Candidate, Choice, Instance, InstanceEffect, RetryBudget, RetryPolicy,
    Silence, TryOutcome, choose,
};

/// After so long the heartbeats of a silent peer are missed, and its connection ends.
const FOUND_DEAD_AFTER: Duration = Duration::from_secs(15);

/// What happens to the service, and how it is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServiceLoss {
    pub(super) instances: usize,
    /// Those that are silent from [`at`](Self::at) on.
    pub(super) lost: usize,
    pub(super) at: Duration,
    pub(super) lasts: Duration,
    pub(super) asks_per_second: u32,
    /// How long a handler takes.
    pub(super) takes: Duration,
    pub(super) policy: RetryPolicy,
}

/// What became of the asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ServiceCurve {
    pub(super) asked: u64,
    /// Tries that nobody answered in time.
    pub(super) silent_tries: u64,
    /// Asks that failed, and when they did, for each step.
    pub(super) failed: u64,
    pub(super) failed_by_step: Vec<u64>,
    /// The longest that an ask took which was answered.
    pub(super) longest: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Ask,
    /// A try of an ask has ended, at an instance.
    Ended {
        ask: u64,
        instance: usize,
        answered: bool,
    },
    /// A deadline of an instance has come.
    Deadline(usize),
    /// The connections of those that are silent end.
    FoundDead,
}

struct Ask {
    began: Instant,
    tries: AskTries<usize>,
}

/// One run.
pub(super) struct Consumer {
    plan: ServiceLoss,
    dice: Dice,
    start: Instant,
    now: Instant,
    instances: Vec<(Instance, usize)>,
    budget: RetryBudget,
    asks: BTreeMap<u64, Ask>,
    next: BinaryHeap<Reverse<(Instant, u64, Happening)>>,
    serial: u64,
    curve: ServiceCurve,
}

impl Consumer {
    pub(super) fn new(plan: ServiceLoss) -> Self {
        let start = clock::now();
        let offered = |_| {
            let mut instance = Instance::new(start);
            instance.handle_offered();
            (instance, 0)
        };
        Self {
            plan,
            dice: Dice::new(7),
            start,
            now: start,
            instances: (0..plan.instances).map(offered).collect(),
            budget: RetryBudget::new(),
            asks: BTreeMap::new(),
            next: BinaryHeap::new(),
            serial: 0,
            curve: ServiceCurve::default(),
        }
    }

    pub(super) fn run(mut self) -> ServiceCurve {
        let steps = self.plan.lasts.as_millis() / STEP.as_millis();
        self.curve.failed_by_step = vec![0; steps as usize + 1];
        let died = self.start + self.plan.at;
        self.at(self.start, Happening::Ask);
        self.at(died + FOUND_DEAD_AFTER, Happening::FoundDead);
        while let Some(Reverse((time, _, happening))) = self.next.pop() {
            self.now = time;
            match happening {
                Happening::Ask => self.ask(),
                Happening::Ended {
                    ask,
                    instance,
                    answered,
                } => self.ended(ask, instance, answered),
                Happening::Deadline(instance) => self.deadline(instance),
                Happening::FoundDead => {
                    for (instance, _) in &mut self.instances[..self.plan.lost] {
                        instance.handle_disconnected(time);
                    }
                }
            }
        }
        self.curve
    }

    fn at(&mut self, time: Instant, happening: Happening) {
        self.serial += 1;
        self.next.push(Reverse((time, self.serial, happening)));
    }

    fn ask(&mut self) {
        let id = self.curve.asked;
        self.curve.asked += 1;
        self.budget.handle_first_try(self.now);
        let tries = AskTries::new(self.plan.policy, self.now);
        let began = self.now;
        self.asks.insert(id, Ask { began, tries });
        self.try_once(id);
        let next = self.now + Duration::from_secs(1) / self.plan.asks_per_second;
        if next < self.start + self.plan.lasts {
            self.at(next, Happening::Ask);
        }
    }

    fn try_once(&mut self, id: u64) {
        let random = self.dice.next();
        let (instances, ask) = (&self.instances, &self.asks[&id]);
        let candidate = |index: usize| {
            let (instance, outstanding) = &instances[index];
            let outstanding = *outstanding;
            match (instance.may_be_asked(), ask.tries.has_tried(index)) {
                (false, _) => Candidate::Closed,
                (true, true) => Candidate::Tried { outstanding },
                (true, false) => Candidate::Open { outstanding },
            }
        };
        let Choice::Instance(index) = choose(instances.len(), random, candidate) else {
            panic!("nine of ten are there");
        };
        let answered_at = self.now + self.plan.takes;
        let is_silent = index < self.plan.lost && answered_at > self.start + self.plan.at;
        let until = match is_silent {
            true => ask.tries.try_deadline(self.now),
            false => answered_at,
        };
        let (instance, outstanding) = &mut self.instances[index];
        *outstanding += 1;
        instance.handle_asked();
        let ended = Happening::Ended {
            ask: id,
            instance: index,
            answered: !is_silent,
        };
        self.at(until, ended);
    }

    fn ended(&mut self, id: u64, index: usize, answered: bool) {
        let (instance, outstanding) = &mut self.instances[index];
        *outstanding -= 1;
        let outcome = match answered {
            true => {
                instance.handle_answered();
                TryOutcome::Answered
            }
            false => {
                self.curve.silent_tries += 1;
                instance.handle_timeout(self.now, Silence::Silent);
                TryOutcome::TimedOut
            }
        };
        if let Some(deadline) = instance.next_deadline().filter(|_| !answered) {
            self.at(deadline, Happening::Deadline(index));
        }
        let Some(ask) = self.asks.get_mut(&id) else {
            return;
        };
        let after = (ask.tries).handle_outcome(self.now, index, outcome, &mut self.budget);
        if after == AfterTry::Again {
            return self.try_once(id);
        }
        let took = self.now - ask.began;
        self.asks.remove(&id);
        if answered {
            self.curve.longest = self.curve.longest.max(took);
        } else {
            self.curve.failed += 1;
            let step = (self.now - self.start).as_millis() / STEP.as_millis();
            let last = self.curve.failed_by_step.len() - 1;
            self.curve.failed_by_step[(step as usize).min(last)] += 1;
        }
    }

    /// It is time for a probe, which nobody hears.
    fn deadline(&mut self, index: usize) {
        let (instance, _) = &mut self.instances[index];
        let due = instance.next_deadline().filter(|due| *due <= self.now);
        if due.is_none() {
            return;
        }
        let effect = instance.handle_deadline(self.now);
        assert!(
            matches!(effect, Some(InstanceEffect::Probe)),
            "{effect:?} of a silent one"
        );
        if let Some(next) = instance.next_deadline() {
            self.at(next, Happening::Deadline(index));
        }
    }
}
