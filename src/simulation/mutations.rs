//! What is broken on purpose, to see that the ledger notices.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::dice::Dice;
use super::plan::{Faults, Plan, Policies, Sabotage};
use super::runs::{Scenario, simulate};
use crate::limits::SendMode;

/// Seeds among which a broken socket must be found out.
const SEEDS: u64 = 60;

/// At least once to sockets that promise to dedupe, by connections that are cut all the while.
fn repeating(dice: &Dice) -> Plan {
    let mut plan = Plan::stormy(dice);
    plan.send_mode = SendMode::RoundRobin;
    plan.load.reliable = 100;
    plan.policies = Policies {
        dedupes: true,
        ..Policies::usual()
    };
    plan.faults = Faults {
        last: 10_000,
        apart: 100,
        kills: false,
    };
    plan
}

/// The first seed that fails, and what its panic says.
fn found_out(plan: fn(&Dice) -> Plan) -> Option<(u64, String)> {
    (0..SEEDS).find_map(|seed| {
        let run = || simulate(seed, Scenario::usual(plan), None);
        let panic = catch_unwind(AssertUnwindSafe(run)).err()?;
        let said = panic.downcast_ref::<String>().cloned();
        Some((seed, said.unwrap_or_default()))
    })
}

fn must_be_found_out(plan: fn(&Dice) -> Plan) {
    let (seed, said) = found_out(plan).expect("nobody has noticed");
    println!("seed {seed}: {said}");
    assert!(said.contains("already"), "for another reason: {said}");
}

#[test]
fn sockets_that_dedupe_are_found_in_order() {
    assert_eq!(found_out(repeating), None);
}

#[test]
fn sockets_that_promise_to_dedupe_and_do_not_are_found_out() {
    must_be_found_out(|dice| Plan {
        sabotage: Sabotage::NoMemory,
        ..repeating(dice)
    });
}

#[test]
fn sockets_that_remember_but_the_last_message_are_found_out() {
    must_be_found_out(|dice| Plan {
        sabotage: Sabotage::ShortMemory,
        ..repeating(dice)
    });
}

#[test]
fn sockets_that_remember_but_for_a_moment_are_found_out() {
    must_be_found_out(|dice| Plan {
        sabotage: Sabotage::OfMoments,
        ..repeating(dice)
    });
}
