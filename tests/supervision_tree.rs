//! Trees: who is restarted, in which order, and what becomes of a failure.

mod actors;

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::supervise::{
    Backoff, ChildState, Decision, Down, EscalationReason, ExitReason, RestartPolicy, Strategy,
    SupervisionTree, TreeEnded, link, monitor, supervise,
};
use actors::{at_once, run, until};

/// Writes what happens to it into a log.
struct Part {
    name: &'static str,
    log: Log,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, name: &str, what: &str) {
        self.0.lock().unwrap().push(format!("{name} {what}"));
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn part(&self, name: &'static str) -> impl FnMut() -> Part + use<> {
        let log = self.clone();
        move || Part {
            name,
            log: log.clone(),
        }
    }
}

impl Actor for Part {
    type Context = Context<Self>;
    fn started(&mut self, _: &mut Self::Context) {
        self.log.note(self.name, "up");
    }
    fn stopped(&mut self, _: &mut Self::Context) {
        self.log.note(self.name, "down");
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Panic;

impl Handler<Panic> for Part {
    type Result = ();
    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("on demand");
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

impl Handler<Stop> for Part {
    type Result = ();
    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Ping;

impl Handler<Ping> for Part {
    type Result = ();
    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

/// Blocks the thread until the other end is dropped.
#[derive(Message)]
#[rtype(result = "()")]
struct Block(mpsc::Receiver<()>);

impl Handler<Block> for Part {
    type Result = ();
    fn handle(&mut self, Block(end): Block, _: &mut Self::Context) {
        self.log.note(self.name, "blocks");
        let _ = end.recv_timeout(Duration::from_secs(60));
    }
}

/// Blocks the thread of `there` until what this yields is dropped.
async fn blocked(there: &Addr<Part>, log: &Log) -> mpsc::Sender<()> {
    let (go_on, end) = mpsc::channel();
    there.do_send(Block(end));
    let blocks = "there blocks".to_owned();
    until(|| log.0.lock().unwrap().contains(&blocks)).await;
    go_on
}

/// A tree of a, b and c, where b has panicked once.
async fn after_a_panic_of_b(strategy: Strategy) -> Vec<String> {
    let log = Log::default();
    let mut tree = SupervisionTree::new(strategy);
    let part = |name| supervise(log.part(name)).name(name).backoff(at_once());
    let _a = tree.child(part("a"));
    let b = tree.child(part("b"));
    let _c = tree.child(part("c"));
    let tree = tree.start();
    until(|| tree.inspect().state == ChildState::Running).await;
    assert_eq!(log.take(), ["a up", "b up", "c up"]);
    b.do_send(Panic);
    b.send(Ping).await.unwrap();
    until(|| {
        tree.inspect()
            .children
            .iter()
            .all(|child| child.state == ChildState::Running)
    })
    .await;
    let restart = log.take();
    tree.stop().await;
    assert_eq!(log.take(), ["c down", "b down", "a down"]);
    assert_eq!(tree.inspect().state, ChildState::Ended);
    restart
}

#[test]
fn one_for_one_restarts_the_child_that_failed() {
    run(async {
        let restart = after_a_panic_of_b(Strategy::OneForOne).await;
        assert_eq!(restart, ["b down", "b up"]);
    });
}

#[test]
fn one_for_all_halts_the_others_in_reverse_order_and_starts_all_in_order() {
    run(async {
        let restart = after_a_panic_of_b(Strategy::OneForAll).await;
        assert_eq!(
            restart,
            ["b down", "c down", "a down", "a up", "b up", "c up"]
        );
    });
}

#[test]
fn rest_for_one_restarts_the_child_and_those_after_it() {
    run(async {
        let restart = after_a_panic_of_b(Strategy::RestForOne).await;
        assert_eq!(restart, ["b down", "c down", "b up", "c up"]);
    });
}

#[test]
fn a_sibling_that_is_restarted_too_keeps_its_address_and_its_queue() {
    run(async {
        let log = Log::default();
        let mut tree = SupervisionTree::one_for_all();
        let backoff = Backoff::fixed(Duration::from_millis(5));
        let a = tree.child(supervise(log.part("a")).backoff(backoff.clone()));
        let b = tree.child(supervise(log.part("b")).backoff(backoff));
        let tree = tree.start();
        a.send(Ping).await.unwrap();
        b.do_send(Panic);
        until(|| tree.inspect().children[1].last_panic.is_some()).await;
        until(|| tree.inspect().children[0].state != ChildState::Running).await;
        a.send(Ping).await.unwrap();
        b.send(Ping).await.unwrap();
        assert_eq!(tree.inspect().children[0].restarts, 1);
    });
}

#[test]
fn too_many_failures_of_all_children_together_give_the_tree_up() {
    run(async {
        let log = Log::default();
        let (told, escalation) = actors::tell();
        let mut tree = SupervisionTree::one_for_one()
            .name("root")
            .intensity(2, Duration::from_secs(3_600))
            .on_escalate(told);
        let a = tree.child(supervise(log.part("a")).name("a").backoff(at_once()));
        let b = tree.child(supervise(log.part("b")).name("b").backoff(at_once()));
        let tree = tree.start();
        for addr in [&a, &b] {
            addr.do_send(Panic);
            addr.send(Ping).await.unwrap();
        }
        let down = monitor(&a);
        a.do_send(Panic);
        let escalation = escalation.await.unwrap();
        assert_eq!(escalation.child(), "a");
        let window = Duration::from_secs(3_600);
        assert_eq!(
            escalation.reason(),
            EscalationReason::TooManyRestarts {
                max_restarts: 2,
                window
            }
        );
        let reason = ExitReason::Escalated(escalation);
        assert_eq!(
            down.await,
            Down {
                actor: "a".into(),
                reason
            }
        );
        tree.ended().await;
        assert!(!a.connected() && !b.connected());
    });
}

#[test]
fn a_nested_tree_that_gives_up_is_restarted_by_its_parent_which_gives_up_in_turn() {
    run(async {
        let log = Log::default();
        let (told, escalation) = actors::tell();
        let mut inner = SupervisionTree::one_for_one()
            .name("inner")
            .intensity(0, Duration::from_secs(1))
            .backoff(at_once());
        let a = inner.child(supervise(log.part("a")).name("a"));
        let mut outer = SupervisionTree::rest_for_one()
            .name("outer")
            .intensity(1, Duration::from_secs(3_600))
            .on_escalate(told);
        let _first = outer.child(supervise(log.part("first")).name("first"));
        outer.nest(inner);
        let _last = outer.child(supervise(log.part("last")).name("last"));
        let outer = outer.start();
        a.send(Ping).await.unwrap();
        until(|| outer.inspect().state == ChildState::Running).await;
        assert_eq!(log.take(), ["first up", "a up", "last up"]);

        a.do_send(Panic);
        a.send(Ping).await.unwrap();
        until(|| outer.inspect().child("last").unwrap().state == ChildState::Running).await;
        assert_eq!(log.take(), ["a down", "last down", "a up", "last up"]);
        let report = outer.inspect();
        assert_eq!(report.child("inner").unwrap().restarts, 1);
        let of_a = report.child("a").unwrap();
        assert_eq!((of_a.restarts, of_a.state), (1, ChildState::Running));
        assert_eq!(of_a.last_panic.as_ref().unwrap().message(), "on demand");
        assert!(of_a.uptime.is_some());

        a.do_send(Panic);
        let escalation = escalation.await.unwrap();
        assert_eq!(escalation.child(), "inner");
        assert_eq!(escalation.panic().unwrap().actor(), "a");
        outer.ended().await;
        assert_eq!(log.take(), ["a down", "last down", "first down"]);
        assert!(outer.inspect().children.is_empty());
    });
}

#[test]
fn linked_siblings_that_fail_together_are_both_restarted() {
    run(async {
        let log = Log::default();
        let part = |name| supervise(log.part(name)).name(name).backoff(at_once());
        let mut tree = SupervisionTree::one_for_all();
        let (a, b) = (tree.child(part("a")), tree.child(part("b")));
        let tree = tree.start();
        until(|| tree.inspect().state == ChildState::Running).await;
        link(&a, &b).unwrap();
        b.do_send(Panic);
        b.send(Ping).await.unwrap();
        a.send(Ping).await.unwrap();
        assert_eq!(tree.inspect().children.len(), 2);
        let restart = ["a up", "b up", "b down", "a down", "a up", "b up"];
        assert_eq!(log.take(), restart);
    });
}

#[test]
fn a_child_that_ends_by_its_policy_leaves_the_tree_and_the_others_alone() {
    run(async {
        let log = Log::default();
        let mut tree = SupervisionTree::one_for_all();
        let a = tree.child(supervise(log.part("a")).name("a"));
        let transient = supervise(log.part("t"))
            .name("t")
            .restart(RestartPolicy::Transient);
        let t = tree.child(transient);
        let temporary = supervise(log.part("u"))
            .name("u")
            .restart(RestartPolicy::Temporary);
        let u = tree.child(temporary);
        let tree = tree.start();
        t.do_send(Stop);
        u.do_send(Panic);
        until(|| tree.inspect().children.len() == 1).await;
        assert!(!t.connected() && !u.connected());
        a.send(Ping).await.unwrap();
        assert_eq!(tree.inspect().children[0].restarts, 0);
    });
}

#[test]
fn a_temporary_sibling_is_ended_when_the_group_restarts() {
    run(async {
        let log = Log::default();
        let mut tree = SupervisionTree::one_for_all();
        let a = tree.child(supervise(log.part("a")).backoff(at_once()));
        let temporary = supervise(log.part("t")).restart(RestartPolicy::Temporary);
        let t = tree.child(temporary);
        let tree = tree.start();
        t.send(Ping).await.unwrap();
        a.do_send(Panic);
        a.send(Ping).await.unwrap();
        until(|| !t.connected()).await;
        until(|| tree.inspect().children.len() == 1).await;
    });
}

#[test]
fn a_tree_that_was_given_up_at_the_top_stops_the_system() {
    let system = System::new();
    system.block_on(async {
        let mut tree = SupervisionTree::one_for_one();
        let log = Log::default();
        let a = tree.child(supervise(log.part("a")).on_panic(|_| Decision::Escalate));
        tree.start();
        a.do_send(Panic);
    });
    assert_eq!(system.run_with_code().unwrap(), 1);
}

#[test]
fn a_running_tree_takes_children_until_it_has_ended() {
    run(async {
        let log = Log::default();
        let tree = SupervisionTree::one_for_one().start();
        let late = tree.add(supervise(log.part("late")).name("late")).unwrap();
        late.send(Ping).await.unwrap();
        assert!(tree.inspect().child("late").is_some());
        tree.stop().await;
        assert!(!late.connected());
        let refused = tree.add(supervise(log.part("later")));
        assert_eq!(refused.unwrap_err(), TreeEnded);
    });
}

#[test]
fn children_in_other_arbiters_restart_with_their_siblings() {
    run(async {
        let log = Log::default();
        let arbiter = Arbiter::new();
        let mut tree = SupervisionTree::one_for_all();
        let here = tree.child(supervise(log.part("here")).backoff(at_once()));
        let there = supervise(log.part("there")).backoff(at_once());
        let there = tree.child_in_arbiter(&arbiter.handle(), there);
        let tree = tree.start();
        until(|| tree.inspect().state == ChildState::Running).await;
        there.do_send(Panic);
        there.send(Ping).await.unwrap();
        here.send(Ping).await.unwrap();
        let restart = [
            "here up",
            "there up",
            "there down",
            "here down",
            "here up",
            "there up",
        ];
        assert_eq!(log.take(), restart);
        // An arbiter that ends takes its children out of the tree, which can still stop.
        arbiter.stop();
        until(|| tree.inspect().children.len() == 1).await;
        tree.stop().await;
        assert!(!here.connected());
        arbiter.join().unwrap();
    });
}

#[test]
fn a_tree_stops_although_a_child_that_its_siblings_wait_for_blocks_its_thread() {
    run(async {
        let log = Log::default();
        let arbiter = Arbiter::new();
        let mut tree = SupervisionTree::one_for_all();
        let here = tree.child(supervise(log.part("here")).backoff(at_once()));
        let there = supervise(log.part("there")).shutdown(Duration::from_millis(10));
        let there = tree.child_in_arbiter(&arbiter.handle(), there);
        let tree = tree.start();
        until(|| tree.inspect().state == ChildState::Running).await;
        let go_on = blocked(&there, &log).await;
        here.do_send(Panic);
        // Long enough for the child to be late while its siblings wait for it.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let stopped = tokio::time::timeout(Duration::from_secs(30), tree.stop()).await;
        assert!(stopped.is_ok(), "it waits for a thread that is blocked");
        drop(go_on);
        arbiter.stop();
        arbiter.join().unwrap();
    });
}

#[test]
fn a_nested_tree_that_was_left_by_a_child_is_given_up_instead_of_started_without_it() {
    run(async {
        let log = Log::default();
        let arbiter = Arbiter::new();
        let mut inner = SupervisionTree::one_for_one().name("inner");
        let there = supervise(log.part("there")).name("there");
        let there = there.shutdown(Duration::from_millis(10));
        let there = inner.child_in_arbiter(&arbiter.handle(), there);
        let (told, escalation) = actors::tell();
        let mut outer = SupervisionTree::one_for_all()
            .intensity(u32::MAX, Duration::from_secs(1))
            .on_escalate(told);
        let here = outer.child(supervise(log.part("here")).backoff(at_once()));
        outer.nest(inner);
        let outer = outer.start();
        until(|| outer.inspect().state == ChildState::Running).await;
        let go_on = blocked(&there, &log).await;
        here.do_send(Panic);
        let escalation = escalation.await.unwrap();
        assert_eq!(
            (escalation.child(), escalation.reason()),
            ("inner", EscalationReason::LeftBehind)
        );
        drop(go_on);
        outer.stop().await;
        arbiter.stop();
        arbiter.join().unwrap();
    });
}

#[test]
fn a_child_that_fails_while_it_starts_does_not_keep_the_tree_from_stopping() {
    run(async {
        let mut tree = SupervisionTree::rest_for_one().intensity(u32::MAX, Duration::from_secs(1));
        let log = Log::default();
        tree.child(supervise(log.part("a")));
        let failing = || -> Part { panic!("never made") };
        tree.child(supervise(failing).name("b").backoff(at_once()));
        tree.child(supervise(log.part("c")));
        let tree = tree.start();
        until(|| tree.inspect().child("b").unwrap().restarts > 10).await;
        assert_eq!(tree.inspect().state, ChildState::Starting);
        tree.stop().await;
        assert_eq!(log.take(), ["a up", "a down"]);
    });
}

#[test]
fn a_tree_draws_itself() {
    run(async {
        let log = Log::default();
        let mut inner = SupervisionTree::one_for_all().name("inner");
        inner.child(supervise(log.part("a")).name("a"));
        let mut outer = SupervisionTree::rest_for_one().name("outer");
        outer.nest(inner);
        let b = outer.child(supervise(log.part("b")).name("b").backoff(at_once()));
        let outer = outer.start();
        b.do_send(Panic);
        b.send(Ping).await.unwrap();
        until(|| outer.inspect().children[1].state == ChildState::Running).await;
        let expected = "\
outer [running] rest-for-one
├─ inner [running] one-for-all
│  └─ a [running]
└─ b [running] restarts 1, last panic \"on demand\" in a message handler";
        assert_eq!(outer.inspect().to_string(), expected);
    });
}
