//! Seeds by the thousand.

use std::rc::Rc;

use super::plan::Plan;
use super::runs::{Scenario, simulate, simulate_all};

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
