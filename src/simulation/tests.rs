//! Seeds by the thousand, and how one of them is shown.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use super::dice::Dice;
use super::plan::Plan;
use super::world::World;

/// Lines of a trace that are printed, from its end.
const SHOWN: usize = 120;

/// How a plan is made.
type Planner = fn(&Dice) -> Plan;

/// What a simulation amounted to: messages, deliveries, and virtual time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sum {
    messages: usize,
    deliveries: u64,
    lasted: std::time::Duration,
}

fn simulate(seed: u64, planner: Planner, trace: Option<Rc<RefCell<Vec<String>>>>) -> Sum {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let dice = Dice::new(seed);
        let plan = planner(&dice);
        if let Some(trace) = &trace {
            trace.borrow_mut().push(format!("{plan:#?}"));
        }
        let begin = tokio::time::Instant::now();
        let world = World::new(plan, dice, trace);
        world.run(Rc::clone(&world).course()).await;
        let (messages, deliveries) = world.ledger().totals();
        world.clear();
        Sum {
            messages,
            deliveries,
            lasted: begin.elapsed(),
        }
    })
}

/// Runs one seed; if it fails, once more with a trace, the end of which is printed.
fn try_seed(test: &str, seed: u64, planner: Planner) -> Sum {
    let ran = catch_unwind(AssertUnwindSafe(|| simulate(seed, planner, None)));
    ran.unwrap_or_else(|panic| {
        show(test, seed, planner);
        resume_unwind(panic)
    })
}

fn show(test: &str, seed: u64, planner: Planner) {
    let trace = Rc::default();
    let again = Rc::clone(&trace);
    let _ = catch_unwind(AssertUnwindSafe(|| simulate(seed, planner, Some(again))));
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
        "{test}: seed {seed} fails; again: AIOMSG_SEED={seed} cargo test --lib simulation::tests::{test} -- --nocapture"
    );
}

/// Runs so many seeds, more by `AIOMSG_SCALE` or `AIOMSG_SEEDS`, or the one that `AIOMSG_SEED` names.
fn simulate_all(test: &str, seeds: u64, planner: Planner) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().expect("a number"))
    };
    if let Some(seed) = number("AIOMSG_SEED") {
        show(test, seed, planner);
        println!("{:?}", try_seed(test, seed, planner));
        return;
    }
    let seeds = number("AIOMSG_SEEDS").unwrap_or(seeds * number("AIOMSG_SCALE").unwrap_or(1));
    let first = number("AIOMSG_FIRST_SEED").unwrap_or(0);
    let (mut messages, mut deliveries) = (0, 0);
    for seed in first..first + seeds {
        let sum = try_seed(test, seed, planner);
        messages += sum.messages;
        deliveries += sum.deliveries;
    }
    println!("{test}: {seeds} seeds, {messages} messages, {deliveries} deliveries");
}

#[test]
fn without_faults_everything_arrives_once_in_order_and_in_fair_shares() {
    simulate_all(
        "without_faults_everything_arrives_once_in_order_and_in_fair_shares",
        300,
        Plan::calm,
    );
}

#[test]
fn whatever_goes_wrong_every_message_comes_to_one_end() {
    simulate_all(
        "whatever_goes_wrong_every_message_comes_to_one_end",
        400,
        Plan::stormy,
    );
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = |seed| {
        let trace = Rc::default();
        simulate(seed, Plan::stormy, Some(Rc::clone(&trace)));
        trace.take()
    };
    for seed in 0..10 {
        assert_eq!(story(seed), story(seed), "{seed}");
    }
}
