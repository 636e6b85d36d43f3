//! Runs seeds by the thousand, and shows one of them.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;

use super::dice::Dice;
use super::plan::Plan;
use super::world::World;

/// Lines of a trace that are printed, from its end.
const SHOWN: usize = 120;

/// How a plan is made, and the course that its simulation takes.
#[derive(Clone, Copy)]
pub(super) struct Scenario {
    plan: fn(&Dice) -> Plan,
    course: fn(Rc<World>) -> Course,
}

type Course = Pin<Box<dyn Future<Output = ()>>>;

impl Scenario {
    pub(super) const fn new(plan: fn(&Dice) -> Plan, course: fn(Rc<World>) -> Course) -> Self {
        Self { plan, course }
    }

    /// Faults as the plan says, then none, then everything has to come to its end.
    pub(super) const fn usual(plan: fn(&Dice) -> Plan) -> Self {
        Self::new(plan, |world| Box::pin(world.course()))
    }
}

/// What a simulation amounted to: messages, deliveries, and virtual time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    messages: usize,
    deliveries: u64,
    /// Deliveries with metadata.
    pub(super) described: u64,
    lasted: std::time::Duration,
}

pub(super) fn simulate(
    seed: u64,
    scenario: Scenario,
    trace: Option<Rc<RefCell<Vec<String>>>>,
) -> Sum {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let dice = Dice::new(seed);
        let plan = (scenario.plan)(&dice);
        if let Some(trace) = &trace {
            trace.borrow_mut().push(format!("{plan:#?}"));
        }
        let begin = crate::clock::now();
        let world = World::new(plan, dice, trace);
        world.run((scenario.course)(Rc::clone(&world))).await;
        let (messages, deliveries) = world.ledger().totals();
        world.clear();
        Sum {
            messages,
            deliveries,
            described: world.described(),
            lasted: crate::clock::now().saturating_duration_since(begin),
        }
    })
}

/// Runs one seed; if it fails, once more with a trace, the end of which is printed.
fn try_seed(test: &str, seed: u64, scenario: Scenario) -> Sum {
    let ran = catch_unwind(AssertUnwindSafe(|| simulate(seed, scenario, None)));
    ran.unwrap_or_else(|panic| {
        show(test, seed, scenario);
        resume_unwind(panic)
    })
}

fn show(test: &str, seed: u64, scenario: Scenario) {
    let trace = Rc::default();
    let again = Rc::clone(&trace);
    let _ = catch_unwind(AssertUnwindSafe(|| simulate(seed, scenario, Some(again))));
    let trace = trace.borrow();
    println!("{}", trace[0]);
    let shown = match std::env::var("AIOMSG_SEED") {
        Ok(_) => trace.len(),
        Err(_) => SHOWN,
    };
    let from = trace.len().saturating_sub(shown).max(1);
    for line in &trace[from.min(trace.len())..] {
        println!("{line}");
    }
    println!(
        "{test}: this was seed {seed}; again: AIOMSG_SEED={seed} cargo test --lib simulation::{test} -- --nocapture"
    );
}

/// Runs so many seeds, more by `AIOMSG_SCALE` or `AIOMSG_SEEDS`, or the one that `AIOMSG_SEED` names.
pub(super) fn simulate_all(test: &str, seeds: u64, scenario: Scenario) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().expect("a number"))
    };
    if let Some(seed) = number("AIOMSG_SEED") {
        show(test, seed, scenario);
        println!("{:?}", try_seed(test, seed, scenario));
        return;
    }
    let seeds = number("AIOMSG_SEEDS").unwrap_or(seeds * number("AIOMSG_SCALE").unwrap_or(1));
    let first = number("AIOMSG_FIRST_SEED").unwrap_or(0);
    let (mut messages, mut deliveries) = (0, 0);
    for seed in first..first + seeds {
        let sum = try_seed(test, seed, scenario);
        messages += sum.messages;
        deliveries += sum.deliveries;
    }
    println!("{test}: {seeds} seeds, {messages} messages, {deliveries} deliveries");
}
