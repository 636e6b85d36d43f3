//! The cycles in which sockets could wait for each other for ever, each by its name.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::dice::Dice;
use super::plan::{Echo, Plan, Shape};
use super::runs::{Scenario, simulate_all};
use super::world::World;
use crate::limits::{Capacity, DeliveryGuarantee, SendMode};

/// Two sockets that both send, with little room anywhere.
fn narrow(dice: &Dice) -> Plan {
    let room = Capacity {
        messages: dice.between(1, 8) as usize,
        bytes: dice.between(200, 2_000) as usize,
    };
    let mut plan = Plan::calm(dice);
    plan.calm = false;
    plan.sockets = 2;
    plan.shape = Shape::Star;
    plan.all_send = true;
    plan.send_mode = SendMode::RoundRobin;
    (plan.link, plan.unacknowledged, plan.outbox) = (room, room, room);
    plan.inbox = Capacity {
        messages: dice.between(1, 8) as usize,
        bytes: 100,
    };
    plan.quality.capacity = dice.one_of(&[200, 1_000]);
    plan.quality.latency = (0, 1);
    plan.load.named = 0;
    plan.load.large = 0;
    plan.load.pause = 0;
    plan.load.waits_for_peers = false;
    plan.load.messages = 40;
    plan.patience = Duration::from_secs(3_600);
    plan
}

fn reliable(mut plan: Plan) -> Plan {
    plan.guarantee = DeliveryGuarantee::AtLeastOnce;
    plan.load.reliable = 100;
    plan
}

#[test]
fn two_sockets_at_least_once_whose_handlers_both_await_a_send_go_on() {
    let plan = |dice: &Dice| {
        let mut plan = reliable(narrow(dice));
        plan.manners.takes = Some(0);
        plan.manners.echo = Echo::Awaits;
        plan.load.waits_for_peers = true;
        plan.load.hops = 2;
        // It takes over when a connection ends because both stood still.
        plan.outbox = Capacity {
            messages: 10_000,
            bytes: 1 << 20,
        };
        plan
    };
    simulate_all(
        "cycles::two_sockets_at_least_once_whose_handlers_both_await_a_send_go_on",
        40,
        Scenario::usual(plan),
    );
}

#[test]
fn echo_floods_both_ways_end() {
    let plan = |dice: &Dice| {
        let mut plan = narrow(dice);
        if dice.percent(50) {
            plan = reliable(plan);
        }
        plan.load.reliable = dice.one_of(&[0, 100]);
        plan.manners.echo = Echo::Replies;
        plan.load.hops = 4;
        plan
    };
    simulate_all(
        "cycles::echo_floods_both_ways_end",
        60,
        Scenario::usual(plan),
    );
}

#[test]
fn requests_with_large_replies_end() {
    let plan = |dice: &Dice| {
        let mut plan = narrow(dice);
        if dice.percent(50) {
            plan = reliable(plan);
        }
        plan.quality.capacity = 4_000;
        plan.manners.takes = dice.one_of(&[None, Some(100)]);
        plan.manners.echo = Echo::Replies;
        plan.load.large_replies = true;
        plan.load.hops = 1;
        plan
    };
    simulate_all(
        "cycles::requests_with_large_replies_end",
        30,
        Scenario::usual(plan),
    );
}

#[test]
fn a_paused_subscription_under_flood_loses_neither_messages_nor_its_peer() {
    let plan = |dice: &Dice| {
        let mut plan = narrow(dice);
        plan.calm = true;
        plan.all_send = false;
        plan.manners.asleep = Duration::from_secs(dice.between(30, 120));
        plan
    };
    async fn course(world: Rc<World>) {
        world.start_all().await;
        world.rest().await;
        for life in world.alive() {
            assert_eq!(life.core.stats().joins, 1);
        }
        world.end().await;
    }
    simulate_all(
        "cycles::a_paused_subscription_under_flood_loses_neither_messages_nor_its_peer",
        40,
        Scenario::new(plan, |world| Box::pin(course(world))),
    );
}

#[test]
fn two_sockets_that_bind_and_connect_to_each_other_converge_on_one_connection() {
    /// How many pairs there were, and how many of them gave up a connection and made another one.
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static AGAIN: AtomicUsize = AtomicUsize::new(0);
    let plan = |dice: &Dice| {
        let mut plan = narrow(dice);
        plan.shape = Shape::Mutual;
        plan.quality.latency = dice.one_of(&[(0, 0), (0, 20), (20, 20), (100, 300), (300, 300)]);
        plan
    };
    async fn course(world: Rc<World>) {
        world.start_all().await;
        sleep(Duration::from_secs(30)).await;
        let joins = || {
            let count = |life: &Rc<_>| one_connection(life);
            world.alive().iter().map(count).collect::<Vec<_>>()
        };
        let before = joins();
        RUNS.fetch_add(1, Ordering::Relaxed);
        AGAIN.fetch_add(usize::from(before != [1, 1]), Ordering::Relaxed);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(joins(), before, "they have found no rest");
        world.rest().await;
        world.end().await;
    }
    /// How often a socket with one peer has got it.
    fn one_connection(life: &Rc<super::socket::Life>) -> u64 {
        let stats = life.core.stats();
        assert_eq!(stats.peers, 1);
        stats.joins
    }
    simulate_all(
        "cycles::two_sockets_that_bind_and_connect_to_each_other_converge_on_one_connection",
        60,
        Scenario::new(plan, |world| Box::pin(course(world))),
    );
    // Mostly neither end gives up what the other keeps.
    let (runs, again) = (RUNS.load(Ordering::Relaxed), AGAIN.load(Ordering::Relaxed));
    assert!(again * 8 <= runs, "{again} of {runs} came together twice");
}

#[test]
fn a_joiner_that_never_reads_delays_nobody_when_the_outbox_was_full() {
    let plan = |dice: &Dice| {
        let mut plan = narrow(dice);
        plan.sockets = 3;
        plan.all_send = false;
        plan.send_mode = dice.one_of(&[SendMode::RoundRobin, SendMode::Publish]);
        plan.outbox = Capacity {
            messages: 10,
            bytes: 2_000,
        };
        plan.load.reliable = 0;
        plan.load.messages = 100;
        plan.load.pause = 100;
        plan.manners.asleep = Duration::from_secs(150);
        plan.manners.asleep_at = Some(1);
        plan
    };
    async fn course(world: Rc<World>) {
        world.give_life(0, 0);
        let sender = world.life(0).expect("it lives");
        sleep(Duration::from_secs(1)).await;
        let full = sender.core.stats();
        assert!(full.outbox_messages >= 1 && sender.sending.get() > 0);
        // Its handler is asleep, so that soon it does not read.
        world.give_life(1, 0);
        if world.plan.send_mode == SendMode::RoundRobin {
            sleep(Duration::from_secs(60)).await;
        }
        world.give_life(2, 0);
        let begin = crate::clock::now();
        while sender.sending.get() > 0 {
            assert!(
                crate::clock::now().saturating_duration_since(begin) < Duration::from_secs(120),
                "it is delayed"
            );
            sleep(Duration::from_millis(50)).await;
        }
        let reader = world.life(2).expect("it lives");
        let reached = world.ledger().delivered_to(reader.owner);
        let least = match world.plan.send_mode {
            SendMode::RoundRobin => world.plan.load.messages as usize / 2,
            SendMode::Publish => 5,
        };
        assert!(reached >= least, "it got {reached}");
        world.rest().await;
        world.end().await;
    }
    simulate_all(
        "cycles::a_joiner_that_never_reads_delays_nobody_when_the_outbox_was_full",
        15,
        Scenario::new(plan, |world| Box::pin(course(world))),
    );
}

#[test]
fn a_slower_subscriber_loses_nothing_of_what_is_published() {
    let plan = |dice: &Dice| {
        let mut plan = narrow(dice);
        plan.calm = true;
        plan.sockets = 2 + dice.below(3);
        plan.all_send = false;
        plan.send_mode = SendMode::Publish;
        plan.load.reliable = 0;
        plan.load.waits_for_peers = true;
        // In each second it handles some, and reads nothing for longer.
        plan.manners.takes = Some(dice.one_of(&[200, 500]));
        plan.inbox.messages = dice.between(10, 30) as usize;
        plan
    };
    simulate_all(
        "cycles::a_slower_subscriber_loses_nothing_of_what_is_published",
        30,
        Scenario::usual(plan),
    );
}
