//! Seeds by the thousand.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::dice::Dice;
use super::plan::Plan;
use super::runs::{Scenario, simulate, simulate_all};
use crate::limits::SendMode;

#[test]
fn without_faults_everything_arrives_once_in_order_and_in_fair_shares() {
    simulate_all(
        "tests::without_faults_everything_arrives_once_in_order_and_in_fair_shares",
        800,
        Scenario::usual(Plan::calm),
    );
}

#[test]
fn whatever_goes_wrong_every_message_comes_to_one_end() {
    simulate_all(
        "tests::whatever_goes_wrong_every_message_comes_to_one_end",
        700,
        Scenario::usual(Plan::stormy),
    );
}

#[test]
fn whoever_dies_every_message_of_the_others_comes_to_one_end() {
    simulate_all(
        "tests::whoever_dies_every_message_of_the_others_comes_to_one_end",
        600,
        Scenario::usual(Plan::deadly),
    );
}

#[test]
fn what_one_peer_cannot_take_is_found_out_and_costs_no_other_message() {
    simulate_all(
        "tests::what_one_peer_cannot_take_is_found_out_and_costs_no_other_message",
        40,
        Scenario::usual(Plan::narrow),
    );
}

#[test]
fn metadata_goes_along_to_those_who_read_it() {
    let described = |seed| simulate(seed, Scenario::usual(Plan::stormy), None).described;
    assert!((0..20).map(described).sum::<u64>() > 100);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = |seed| {
        let trace = Rc::default();
        simulate(seed, Scenario::usual(Plan::stormy), Some(Rc::clone(&trace)));
        trace.take()
    };
    for seed in 0..10 {
        assert_eq!(story(seed), story(seed), "{seed}");
    }
}

#[test]
fn the_seeds_try_every_send_mode_with_every_number_of_sockets() {
    let mut tried = BTreeSet::new();
    for seed in 0..400 {
        let plans: [fn(&Dice) -> Plan; 3] = [Plan::calm, Plan::stormy, Plan::deadly];
        for (kind, plan) in plans.into_iter().enumerate() {
            let plan = plan(&Dice::new(seed));
            let publishes = plan.send_mode == SendMode::Publish;
            tried.insert((kind, publishes, plan.sockets));
        }
    }
    assert_eq!(tried.len(), 3 * 2 * 4, "{tried:?}");
}
