//! What a handler's panic costs the messages that its socket feeds it with.

mod support;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::error::ReceiptError;
use actix_aiomsg::prelude::*;
use actix_aiomsg::supervise::{Child, ChildState, supervise};
use actix_aiomsg::testing::Probe;
use support::panics::print_panics_briefly;
use support::{eventually, within_patience};
use tokio::sync::Semaphore;

/// What the incarnations of the handlers of one test did.
#[derive(Default)]
struct Log {
    handled: Vec<String>,
    tries: HashMap<String, u32>,
    running: usize,
    most_running: usize,
}

type Shared = Rc<RefCell<Log>>;

/// Whether to panic on a message, and at which delivery of it.
type Panics = Rc<dyn Fn(&str, u32) -> bool>;

/// Handles synchronously; panics on a message as often as `panics` says, before it is handled.
struct Worker {
    socket: WeakSocket,
    options: SubscribeOptions,
    log: Shared,
    panics: Panics,
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let socket = self.socket.upgrade().expect("the socket is open");
        socket.subscribe_with(ctx, self.options.clone());
    }
}

impl Handler<Received> for Worker {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Context<Self>) {
        let text = message.text().unwrap().to_owned();
        let mut log = self.log.borrow_mut();
        let tries = log.tries.entry(text.clone()).or_default();
        *tries += 1;
        let panics = (self.panics)(&text, *tries);
        if panics {
            drop(log);
            panic!("on demand");
        }
        log.handled.push(text);
    }
}

/// Panics outside of the pump.
#[derive(Message)]
#[rtype(result = "()")]
struct PanicInMailbox;

impl Handler<PanicInMailbox> for Worker {
    type Result = ();

    fn handle(&mut self, _: PanicInMailbox, ctx: &mut Context<Self>) {
        // The next panic is in a timer.
        ctx.run_later(Duration::ZERO, |_, _| panic!("on demand"));
    }
}

fn worker(
    socket: &Socket,
    options: SubscribeOptions,
    log: &Shared,
    backoff: Backoff,
    panics: impl Fn(&str, u32) -> bool + 'static,
) -> Child<Worker> {
    let (socket, log) = (socket.downgrade(), Rc::clone(log));
    let panics: Panics = Rc::new(panics);
    let factory = move || Worker {
        socket: socket.clone(),
        options: options.clone(),
        log: Rc::clone(&log),
        panics: Rc::clone(&panics),
    };
    supervise(factory)
        .backoff(backoff)
        .intensity(u32::MAX, Duration::from_secs(1))
        .spawn()
}

fn at_once() -> Backoff {
    Backoff::fixed(Duration::ZERO)
}

async fn pair(server: SocketBuilder) -> (Socket, Socket) {
    print_panics_briefly();
    let (server, client) = (server.start().unwrap(), Socket::start().unwrap());
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    within_patience("a peer", client.wait_for_peers(1))
        .await
        .unwrap();
    (server, client)
}

async fn send_numbers(client: &Socket, count: usize, guarantee: DeliveryGuarantee) {
    for n in 0..count {
        let sending = client.send(n.to_string()).guarantee(guarantee);
        sending.await.unwrap();
    }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

async fn handled(log: &Shared, count: usize) {
    eventually("the messages", || log.borrow().handled.len() >= count).await;
}

async fn is_empty(socket: &Socket) {
    let empty = || {
        let stats = socket.stats();
        (stats.inbox_messages, stats.inbox_bytes) == (0, 0)
    };
    eventually("the inbox to be empty", empty).await;
}

#[actix::test]
async fn what_a_dead_handler_had_not_handled_comes_in_order_and_only_the_message_in_hand_is_lost() {
    let (dead_letters, mut letters) = Probe::recipient();
    let (server, client) = pair(Socket::builder().on_dead_letter(dead_letters)).await;
    let log = Shared::default();
    send_numbers(&client, 1_000, DeliveryGuarantee::AtMostOnce).await;
    worker(
        &server,
        SubscribeOptions::default(),
        &log,
        at_once(),
        |text, _| text == "500",
    );
    handled(&log, 999).await;
    let expected = [numbers(0..500), numbers(501..1_000)].concat();
    assert_eq!(log.borrow().handled, expected);
    let letter: DeadLetter = letters.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Poison);
    assert_eq!(letter.payload, "500");
    assert_eq!(letter.peer, Some(client.identity()));
    is_empty(&server).await;
}

#[actix::test]
async fn a_message_in_hand_that_wants_an_acknowledgement_is_delivered_again_in_its_place() {
    let (server, client) = pair(Socket::builder()).await;
    let log = Shared::default();
    let panics = |text: &str, tries| text == "50" && tries < 3;
    worker(
        &server,
        SubscribeOptions::default(),
        &log,
        at_once(),
        panics,
    );
    send_numbers(&client, 100, DeliveryGuarantee::AtLeastOnce).await;
    handled(&log, 100).await;
    assert_eq!(log.borrow().handled, numbers(0..100));
    assert_eq!(log.borrow().tries["50"], 3);
    eventually("every acknowledgement", || {
        client.stats().acknowledged == 100
    })
    .await;
    is_empty(&server).await;
}

#[actix::test]
async fn a_message_that_always_makes_its_handler_panic_is_poison_and_refused() {
    let (dead_letters, mut letters) = Probe::recipient();
    let builder = Socket::builder().max_delivery_attempts(5);
    let (server, client) = pair(builder.on_dead_letter(dead_letters)).await;
    let log = Shared::default();
    worker(
        &server,
        SubscribeOptions::default(),
        &log,
        at_once(),
        |text, _| text == "poison",
    );
    let receipt = client.send("poison").receipt().await.unwrap();
    client.send("fine").await.unwrap();
    let refused = within_patience("the refusal", receipt).await;
    assert_eq!(refused, Err(ReceiptError::Poison));
    let letter: DeadLetter = letters.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Poison);
    handled(&log, 1).await;
    assert_eq!(log.borrow().tries["poison"], 5);
    is_empty(&server).await;
}

#[actix::test]
async fn other_members_of_a_group_go_on_while_one_waits_for_its_restart() {
    let (server, client) = pair(Socket::builder()).await;
    let group = SubscribeOptions::default().group("workers");
    let (dead, alive) = (Shared::default(), Shared::default());
    let never = Backoff::fixed(Duration::from_secs(3_600));
    // A chunk is waiting, of which the first member has the first message in hand.
    send_numbers(&client, 1_000, DeliveryGuarantee::AtLeastOnce).await;
    eventually("the messages", || server.stats().inbox_messages == 1_000).await;
    let member = worker(&server, group.clone(), &dead, never, |_, _| true);
    eventually("the backoff", || {
        member.inspect().state == ChildState::BackingOff
    })
    .await;
    worker(&server, group, &alive, at_once(), |_, _| false);
    handled(&alive, 1_000).await;
    assert_eq!(alive.borrow().handled, numbers(0..1_000));
    assert_eq!(dead.borrow().tries.len(), 1);
    eventually("every acknowledgement", || {
        client.stats().acknowledged == 1_000
    })
    .await;
    is_empty(&server).await;
}

#[actix::test]
async fn a_panic_outside_of_the_pump_loses_nothing_that_waits() {
    let (server, client) = pair(Socket::builder()).await;
    let log = Shared::default();
    let child = worker(
        &server,
        SubscribeOptions::default(),
        &log,
        at_once(),
        |_, _| false,
    );
    let sending = actix::spawn(async move {
        send_numbers(&client, 20_000, DeliveryGuarantee::AtMostOnce).await;
        client
    });
    for restarts in 1..=10 {
        child.addr().do_send(PanicInMailbox);
        eventually("a restart", || child.inspect().restarts >= restarts).await;
    }
    handled(&log, 20_000).await;
    assert_eq!(log.borrow().handled, numbers(0..20_000));
    sending.await.unwrap();
    is_empty(&server).await;
}

#[actix::test]
async fn of_a_hundred_thousand_messages_only_those_in_hand_at_a_random_panic_are_lost() {
    const MESSAGES: usize = 100_000;
    let (server, client) = pair(Socket::builder()).await;
    let log = Shared::default();
    // A fixed scramble of the number stands for chance.
    let chosen = |text: &str| {
        let n: u64 = text.parse().expect("a number");
        (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 0xffff < 131
    };
    let panics = move |text: &str, _| chosen(text);
    let child = worker(
        &server,
        SubscribeOptions::default(),
        &log,
        at_once(),
        panics,
    );
    let sending = actix::spawn(async move {
        send_numbers(&client, MESSAGES, DeliveryGuarantee::AtMostOnce).await;
        client
    });
    let expected: Vec<_> = numbers(0..MESSAGES)
        .into_iter()
        .filter(|text| !chosen(text))
        .collect();
    let panicked = MESSAGES - expected.len();
    assert!((150..250).contains(&panicked), "{panicked} panics");
    handled(&log, expected.len()).await;
    assert!(log.borrow().handled == expected, "in order, each once");
    assert!(log.borrow().tries.values().all(|tries| *tries == 1));
    assert_eq!(child.inspect().restarts, panicked as u64);
    sending.await.unwrap();
    is_empty(&server).await;
    assert_eq!(server.stats().dead_letters, panicked as u64);
}

/// Handles asynchronously in its own context, once a gate lets it.
struct Slow {
    socket: WeakSocket,
    options: SubscribeOptions,
    log: Shared,
    gate: Rc<Semaphore>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct PanicNow;

impl Actor for Slow {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let socket = self.socket.upgrade().expect("the socket is open");
        socket.subscribe_with(ctx, self.options.clone());
    }
}

impl Handler<PanicNow> for Slow {
    type Result = ();

    fn handle(&mut self, _: PanicNow, _: &mut Context<Self>) {
        panic!("on demand");
    }
}

/// One run of an asynchronous handler, until it is dropped.
struct Run(Shared);

impl Run {
    fn begin(log: &Shared, text: &str) -> Self {
        let mut shared = log.borrow_mut();
        *shared.tries.entry(text.to_owned()).or_default() += 1;
        shared.running += 1;
        shared.most_running = shared.most_running.max(shared.running);
        Self(Rc::clone(log))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.0.borrow_mut().running -= 1;
    }
}

impl Handler<Received> for Slow {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, message: Received, _: &mut Context<Self>) -> Self::Result {
        let text = message.text().unwrap().to_owned();
        let (log, gate) = (Rc::clone(&self.log), Rc::clone(&self.gate));
        let run = Run::begin(&log, &text);
        let work = async move {
            let _run = run;
            gate.acquire().await.expect("the gate stays").forget();
            log.borrow_mut().handled.push(text);
        };
        Box::pin(work.into_actor(self))
    }
}

/// The same, but a task of its own that outlives its actor.
struct Detached(Slow);

impl Actor for Detached {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.0.socket.subscribe(ctx);
    }
}

impl Handler<PanicNow> for Detached {
    type Result = ();

    fn handle(&mut self, _: PanicNow, _: &mut Context<Self>) {
        panic!("on demand");
    }
}

impl Handler<Received> for Detached {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: Received, _: &mut Context<Self>) -> Self::Result {
        let text = message.text().unwrap().to_owned();
        let (log, gate) = (Rc::clone(&self.0.log), Rc::clone(&self.0.gate));
        let first = !log.borrow().tries.contains_key(&text);
        let run = Run::begin(&log, &text);
        Box::pin(async move {
            let _run = run;
            gate.acquire().await.expect("the gate stays").forget();
            assert!(!first, "on demand");
            log.borrow_mut().handled.push(text);
        })
    }
}

fn slow(socket: &Socket, max_in_flight: usize) -> (Child<Slow>, Shared, Rc<Semaphore>) {
    let (log, gate) = (Shared::default(), Rc::new(Semaphore::new(0)));
    let (held, key) = (Rc::clone(&log), Rc::clone(&gate));
    let socket = socket.downgrade();
    let child = supervise(move || Slow {
        socket: socket.clone(),
        options: SubscribeOptions::default().max_in_flight(max_in_flight),
        log: Rc::clone(&held),
        gate: Rc::clone(&key),
    })
    .backoff(at_once())
    .spawn();
    (child, log, gate)
}

#[actix::test]
async fn a_future_that_its_actor_s_panic_drops_is_followed_by_a_redelivery_in_order() {
    for max_in_flight in [1, 3] {
        let (server, client) = pair(Socket::builder()).await;
        let (child, log, gate) = slow(&server, max_in_flight);
        send_numbers(&client, 10, DeliveryGuarantee::AtLeastOnce).await;
        eventually("the first", || log.borrow().running == max_in_flight).await;
        child.addr().do_send(PanicNow);
        eventually("the restart", || child.inspect().restarts == 1).await;
        eventually("the first again", || log.borrow().running == max_in_flight).await;
        assert_eq!(log.borrow().tries["0"], 2);
        gate.add_permits(10);
        handled(&log, 10).await;
        is_empty(&server).await;
        if max_in_flight > 1 {
            log.borrow_mut().handled.sort();
        }
        assert_eq!(log.borrow().handled, numbers(0..10));
        eventually("every acknowledgement", || {
            client.stats().acknowledged == 10
        })
        .await;
        is_empty(&server).await;
    }
}

#[actix::test]
async fn no_more_results_are_awaited_at_a_time_than_were_asked_for() {
    for max_in_flight in [1, 4] {
        let (server, client) = pair(Socket::builder()).await;
        let (_child, log, gate) = slow(&server, max_in_flight);
        send_numbers(&client, 100, DeliveryGuarantee::AtMostOnce).await;
        for done in 0..100 {
            let running = max_in_flight.min(100 - done);
            eventually("the next", || log.borrow().running == running).await;
            gate.add_permits(1);
            handled(&log, done + 1).await;
        }
        assert_eq!(log.borrow().most_running, max_in_flight);
        assert_eq!(log.borrow().handled, numbers(0..100));
        is_empty(&server).await;
    }
}

#[actix::test]
async fn a_detached_future_of_a_dead_actor_never_runs_beside_its_redelivery() {
    let (server, client) = pair(Socket::builder()).await;
    let (log, gate) = (Shared::default(), Rc::new(Semaphore::new(0)));
    let (held, key, socket) = (Rc::clone(&log), Rc::clone(&gate), server.downgrade());
    let child = supervise(move || {
        Detached(Slow {
            socket: socket.clone(),
            options: SubscribeOptions::default(),
            log: Rc::clone(&held),
            gate: Rc::clone(&key),
        })
    })
    .backoff(at_once())
    .spawn();
    let receipt = client.send("once at a time").receipt().await.unwrap();
    eventually("the first run", || log.borrow().running == 1).await;
    child.addr().do_send(PanicNow);
    eventually("the restart", || child.inspect().restarts == 1).await;
    assert_eq!(log.borrow().tries["once at a time"], 1);
    // The detached future fails, and only now there is a second run.
    gate.add_permits(1);
    eventually("the second run", || {
        log.borrow().tries["once at a time"] == 2
    })
    .await;
    gate.add_permits(1);
    within_patience("the acknowledgement", receipt)
        .await
        .unwrap();
    assert_eq!(log.borrow().most_running, 1);
    assert_eq!(log.borrow().handled, ["once at a time"]);
}

/// Spawns into its context for each message.
struct Spawner(WeakSocket);

impl Actor for Spawner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.0.subscribe(ctx);
    }
}

impl Handler<Received> for Spawner {
    type Result = ();

    fn handle(&mut self, _: Received, ctx: &mut Context<Self>) {
        ctx.spawn(async {}.into_actor(self));
    }
}

fn thread_time() -> Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    nix::time::clock_gettime(clock).unwrap().into()
}

#[actix::test]
async fn a_flooded_handler_that_spawns_lets_the_timers_of_its_arbiter_run() {
    let (server, client) = pair(Socket::builder()).await;
    let socket = server.downgrade();
    let child = supervise(move || Spawner(socket.clone())).spawn();
    let flood = actix::spawn(async move {
        loop {
            client.send("drop").await.unwrap();
        }
    });
    let (mut longest, mut longest_run) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..200 {
        let (before, ran) = (Instant::now(), thread_time());
        tokio::time::sleep(Duration::from_millis(1)).await;
        longest = longest.max(before.elapsed());
        longest_run = longest_run.max(thread_time() - ran);
    }
    flood.abort();
    child.stop().await;
    println!("longest gap of a 1 ms ticker: {longest:?}, in which this thread ran {longest_run:?}");
    assert!(server.stats().received > 1_000);
    // What other programs took of the machine is no fault of ours.
    assert!(longest_run < Duration::from_secs(1), "{longest_run:?}");
}

#[actix::test]
async fn a_handler_whose_address_is_dropped_survives_panics_until_its_intensity_is_exceeded() {
    let (server, client) = pair(Socket::builder()).await;
    let (log, socket) = (Shared::default(), server.downgrade());
    let (given_up, escalated) = tokio::sync::oneshot::channel();
    let shared = Rc::clone(&log);
    let addr = supervise(move || Worker {
        socket: socket.clone(),
        options: SubscribeOptions::default(),
        log: Rc::clone(&shared),
        panics: Rc::new(|text, _| text == "panic"),
    })
    .backoff(at_once())
    .intensity(1_000, Duration::from_secs(3_600))
    .on_escalate(move |escalation| drop(given_up.send(escalation)))
    .start();
    drop(addr);
    for n in 0..1_000 {
        client.send("panic").await.unwrap();
        client.send(n.to_string()).await.unwrap();
    }
    handled(&log, 1_000).await;
    assert_eq!(log.borrow().handled, numbers(0..1_000));
    client.send("panic").await.unwrap();
    let escalation = within_patience("the escalation", escalated).await.unwrap();
    assert_eq!(escalation.panic().unwrap().restarts(), 1_000);
}
