//! Who gets what: filters, observers, the last value only, groups, and changes at run time.

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::testing::{Probe, TestKit};
use actix_aiomsg::{Receipt, Subscribed, prelude::*, stats::Delivery};
use bytes::Bytes;
use support::panics::print_panics_briefly;
use support::{eventually, within_patience};
use tokio::sync::mpsc;
use tokio::sync::oneshot;

/// Long enough to notice what must not come, and never what a test waits for.
const WHILE: Duration = Duration::from_millis(40);

/// Tells the test what it handles, and hands out its subscription.
struct Listener {
    socket: WeakSocket,
    options: SubscribeOptions,
    told: mpsc::UnboundedSender<String>,
    /// Does this before it returns from its first message.
    first: Option<fn(&Subscribed)>,
    subscribed: Option<Subscribed>,
}

#[derive(Message)]
#[rtype(result = "Option<Subscribed>")]
struct Ask;

#[derive(Message)]
#[rtype(result = "()")]
struct End;

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let options = self.options.clone();
        self.subscribed = self.socket.subscribe_with(ctx, options);
    }
}

impl Handler<Received> for Listener {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Context<Self>) {
        self.told.send(message.text().unwrap().to_owned()).unwrap();
        if let (Some(first), Some(subscribed)) = (self.first.take(), &self.subscribed) {
            first(subscribed);
        }
    }
}

impl Handler<Ask> for Listener {
    type Result = MessageResult<Ask>;

    fn handle(&mut self, _: Ask, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.subscribed.clone())
    }
}

impl Handler<End> for Listener {
    type Result = ();

    fn handle(&mut self, _: End, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

/// A listener, its subscription, and what it tells.
struct Listening {
    actor: Addr<Listener>,
    subscribed: Subscribed,
    told: mpsc::UnboundedReceiver<String>,
}

impl Listening {
    async fn start(socket: &Socket, options: SubscribeOptions) -> Self {
        Self::with(socket, options, None).await
    }

    async fn with(
        socket: &Socket,
        options: SubscribeOptions,
        first: Option<fn(&Subscribed)>,
    ) -> Self {
        let (told, telling) = mpsc::unbounded_channel();
        let listener = Listener {
            socket: socket.downgrade(),
            options,
            told,
            first,
            subscribed: None,
        };
        let actor = listener.start();
        let subscribed = actor.send(Ask).await.unwrap().expect("the socket is open");
        Self {
            actor,
            subscribed,
            told: telling,
        }
    }

    async fn next(&mut self) -> String {
        within_patience("a message", self.told.recv())
            .await
            .unwrap()
    }

    async fn take(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        while all.len() < count {
            all.push(self.next().await);
        }
        all
    }

    fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}

fn options() -> SubscribeOptions {
    SubscribeOptions::default()
}

fn topic(topic: &'static str) -> SubscribeOptions {
    options().filter(Filter::topic(topic))
}

/// A socket that sends and one that is bound.
async fn pair(server: Socket) -> (Socket, Socket) {
    let client = Socket::start().unwrap();
    TestKit::new().connect(&client, &server).await;
    (client, server)
}

#[actix::test]
async fn each_subscription_gets_what_its_filter_takes_and_the_ack_waits_for_all_that_matched() {
    let (client, server) = pair(Socket::start().unwrap()).await;
    let other = Socket::start().unwrap();
    TestKit::new().connect(&other, &server).await;
    let mut fruit = Listening::start(&server, topic("fruit ")).await;
    let mut apples = Listening::start(&server, topic("fruit apple")).await;
    let of_other = options().filter(Filter::peer(other.identity()));
    let mut others = Listening::start(&server, of_other).await;
    let long = Filter::matching("long", |payload: &[u8]| payload.len() > 20);
    let mut long = Listening::start(&server, options().filter(long)).await;

    client
        .send("fruit pear")
        .receipt()
        .await
        .unwrap()
        .await
        .unwrap();
    client
        .send("fruit apple")
        .receipt()
        .await
        .unwrap()
        .await
        .unwrap();
    client.send("fruit of a considerable length").await.unwrap();
    other
        .send("fruit of other")
        .receipt()
        .await
        .unwrap()
        .await
        .unwrap();
    let all = [
        "fruit pear",
        "fruit apple",
        "fruit of a considerable length",
        "fruit of other",
    ];
    let mut seen = fruit.take(4).await;
    seen.sort();
    let mut expected = all.to_vec();
    expected.sort_unstable();
    assert_eq!(seen, expected);
    assert_eq!(apples.next().await, "fruit apple");
    assert_eq!(others.next().await, "fruit of other");
    assert_eq!(long.next().await, "fruit of a considerable length");

    // One that matches and does not handle it keeps the acknowledgement back.
    apples.subscribed.pause();
    let mut receipt = Box::pin(client.send("fruit apple").receipt().await.unwrap());
    assert_eq!(fruit.next().await, "fruit apple");
    assert!(tokio::time::timeout(WHILE, &mut receipt).await.is_err());
    apples.subscribed.resume();
    within_patience("the acknowledgement", receipt)
        .await
        .unwrap();
    assert!(apples.next().await == "fruit apple" && apples.is_empty());
    assert!(others.is_empty() && long.is_empty() && fruit.is_empty());
}

#[actix::test]
async fn an_observer_delays_nobody_and_misses_what_it_has_no_room_for() {
    const COUNT: usize = 5_000;
    let server = Socket::builder()
        .inbox_capacity(100, 16 * 1024)
        .start()
        .unwrap();
    let (client, server) = pair(server).await;
    let observer = Listening::start(&server, options().observe()).await;
    let mut worker = Listening::start(&server, options()).await;
    observer.subscribed.pause();
    for number in 0..COUNT {
        let sending = client.send(number.to_string());
        if number + 1 == COUNT {
            sending.receipt().await.unwrap().await.unwrap();
        } else {
            sending.await.unwrap();
        }
    }
    assert_eq!(worker.take(COUNT).await.len(), COUNT);
    observer.subscribed.resume();
    let report = || {
        let reports = server.subscriptions();
        let report = reports.iter().find(|r| r.delivery == Delivery::Observing);
        report.expect("it subscribes").clone()
    };
    eventually("the observer to be through", || report().waiting == 0).await;
    let seen = report().subscribers[0].taken as usize;
    assert!(report().skipped > 0 && seen > 0);
    assert_eq!(seen + report().skipped as usize, COUNT);
}

#[actix::test]
async fn a_conflating_subscription_has_the_last_value_only_and_the_others_count_as_handled() {
    let (client, server) = pair(Socket::start().unwrap()).await;
    let mut gauge = Listening::start(&server, options().conflate()).await;
    gauge.subscribed.pause();
    assert!(gauge.subscribed.is_paused());
    for number in 0..99 {
        client.send(number.to_string()).receipt().await.unwrap();
    }
    let last = client.send("99").receipt().await.unwrap();
    eventually("all but the last to be acknowledged", || {
        client.stats().acknowledged == 99
    })
    .await;
    assert!(gauge.is_empty());
    gauge.subscribed.resume();
    assert_eq!(gauge.next().await, "99");
    within_patience("the last acknowledgement", last)
        .await
        .unwrap();
    assert_eq!(server.subscriptions()[0].skipped, 99);
    assert!(gauge.is_empty());
}

#[actix::test]
async fn a_handler_that_pauses_or_unsubscribes_gets_nothing_more_from_the_chunk_in_hand() {
    let (client, server) = pair(Socket::start().unwrap()).await;
    for number in 0..10 {
        client.send(number.to_string()).await.unwrap();
    }
    eventually("all are there", || server.stats().inbox_messages == 10).await;
    let mut first = Listening::with(&server, options(), Some(Subscribed::pause)).await;
    assert_eq!(first.next().await, "0");
    tokio::time::sleep(WHILE).await;
    assert!(first.is_empty());
    first.subscribed.resume();
    assert_eq!(first.take(9).await[8], "9");

    first.subscribed.unsubscribe();
    assert!(server.subscriptions().is_empty());
    for number in 10..20 {
        client.send(number.to_string()).await.unwrap();
    }
    eventually("all are there", || server.stats().inbox_messages == 10).await;
    // Nobody subscribes: they wait for whoever comes next.
    let mut second = Listening::with(&server, options(), Some(Subscribed::unsubscribe)).await;
    assert_eq!(second.next().await, "10");
    let mut third = Listening::start(&server, options()).await;
    assert_eq!(
        third.take(9).await,
        (11..20).map(|n| n.to_string()).collect::<Vec<_>>()
    );
    assert!(first.is_empty() && second.is_empty());
}

#[actix::test]
async fn a_subscriber_that_dies_is_reported_and_what_it_had_goes_to_whoever_else_wants_it() {
    let (recipient, mut events) = Probe::recipient();
    let server = Socket::builder()
        .on_socket_event(recipient)
        .start()
        .unwrap();
    let (client, server) = pair(server).await;
    let narrow = Listening::start(&server, topic("a")).await;
    narrow.subscribed.pause();
    let receipt = client.send("a1").receipt().await.unwrap();
    eventually("it is there", || server.stats().inbox_messages == 1).await;
    let mut wide = Listening::start(&server, options()).await;
    assert!(wide.is_empty());
    narrow.actor.do_send(End);
    drop(narrow.actor);
    let (actor, subscription) = events
        .find(|event| match event {
            SocketEvent::SubscriberGone {
                actor,
                subscription,
                ..
            } => Some((actor, subscription)),
            _ => None,
        })
        .await
        .unwrap();
    assert!(actor.contains("Listener"), "{actor}");
    assert!(subscription.contains("topic \"a\""), "{subscription}");
    assert_eq!(wide.next().await, "a1");
    within_patience("the acknowledgement", receipt)
        .await
        .unwrap();
    assert_eq!(server.subscriptions().len(), 1);
}

/// Two subscriptions that have not handled what their socket was sent: "a1" at most once, and "a2", for which the
/// sender waits.
struct Idlers {
    server: Socket,
    both: [Listening; 2],
    dead: Probe<DeadLetter>,
    _client: Socket,
    receipt: Receipt,
}

impl Idlers {
    async fn start() -> Self {
        let (recipient, dead) = Probe::<DeadLetter>::recipient();
        let server = Socket::builder().on_dead_letter(recipient).start().unwrap();
        let (client, server) = pair(server).await;
        let both = [
            Listening::start(&server, options()).await,
            Listening::start(&server, topic("a")).await,
        ];
        both.iter().for_each(|one| one.subscribed.pause());
        client.send("a1").await.unwrap();
        let receipt = client.send("a2").receipt().await.unwrap();
        eventually("both to have both", || server.stats().inbox_messages == 4).await;
        Self {
            server,
            both,
            dead,
            _client: client,
            receipt,
        }
    }
}

#[actix::test]
async fn what_two_subscriptions_leave_unhandled_goes_to_the_next_and_is_acknowledged_only_then() {
    let idlers = Idlers::start().await;
    let mut receipt = Box::pin(idlers.receipt);
    for one in &idlers.both {
        one.subscribed.unsubscribe();
    }
    assert!(tokio::time::timeout(WHILE, &mut receipt).await.is_err());
    let mut next = Listening::start(&idlers.server, options()).await;
    assert_eq!(next.take(2).await, ["a1", "a2"]);
    within_patience("the acknowledgement", receipt)
        .await
        .unwrap();
    assert!(next.is_empty());
}

#[actix::test]
async fn what_one_of_two_subscriptions_has_handled_goes_to_nobody_when_both_have_left() {
    let mut idlers = Idlers::start().await;
    let [handles, leaves] = &mut idlers.both;
    handles.subscribed.resume();
    assert_eq!(handles.take(2).await, ["a1", "a2"]);
    leaves.subscribed.unsubscribe();
    within_patience("the acknowledgement", idlers.receipt)
        .await
        .unwrap();
    handles.subscribed.unsubscribe();
    let next = Listening::start(&idlers.server, options()).await;
    tokio::time::sleep(WHILE).await;
    assert!(next.is_empty() && handles.is_empty());
    let report = idlers.server.close_within(Duration::ZERO).await;
    assert_eq!((report.unhandled, report.returned), (0, 0), "{report:?}");
    assert!(idlers.dead.rest().is_empty());
}

#[actix::test]
async fn what_one_of_two_subscriptions_leaves_and_the_other_has_at_the_end_is_a_dead_letter() {
    let mut idlers = Idlers::start().await;
    idlers.both[0].subscribed.unsubscribe();
    let report = idlers.server.close_within(Duration::ZERO).await;
    assert_eq!((report.unhandled, report.returned), (1, 1), "{report:?}");
    let letter = idlers.dead.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Closed);
    assert_eq!(letter.payload, "a1");
}

#[actix::test]
async fn the_list_says_who_subscribes_to_what() {
    let server = Socket::start().unwrap();
    let one = Listening::start(&server, topic("a")).await;
    let _two = Listening::start(&server, options().group("workers")).await;
    let _three = Listening::start(&server, options().group("workers")).await;
    one.subscribed.pause();
    let list = server.subscriptions();
    assert_eq!(list.len(), 2);
    assert!(list[0].description.contains("topic \"a\""));
    assert!(list[0].subscribers[0].is_paused);
    assert_eq!(list[0].delivery, Delivery::Gating);
    assert_eq!(list[1].group.as_deref(), Some("workers"));
    assert_eq!(list[1].subscribers.len(), 2);
    assert!(
        list[1]
            .subscribers
            .iter()
            .all(|s| s.actor.contains("Listener"))
    );
}

/// What the workers of the pool did, over all their incarnations.
#[derive(Default)]
struct Ledger {
    by_message: HashMap<String, u32>,
    by_worker: HashMap<&'static str, usize>,
}

struct Worker {
    socket: WeakSocket,
    name: &'static str,
    ledger: Arc<Mutex<Ledger>>,
    handled: Arc<AtomicUsize>,
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let subscribed = self.socket.subscribe_with(ctx, options().group("pool"));
        if self.name == "leaver"
            && let Some(subscribed) = subscribed
        {
            let handled = Arc::clone(&self.handled);
            ctx.run_interval(Duration::from_millis(1), move |_, _| {
                if handled.load(Ordering::SeqCst) > 100 {
                    subscribed.unsubscribe();
                }
            });
        }
    }
}

impl Handler<Received> for Worker {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Context<Self>) {
        let text = message.text().unwrap().to_owned();
        if self.name == "slow" {
            std::thread::sleep(Duration::from_millis(1));
        }
        let handled = self.handled.fetch_add(1, Ordering::SeqCst);
        if self.name == "panicking" && handled % 500 == 499 {
            panic!("on demand");
        }
        let mut ledger = self.ledger.lock().unwrap();
        *ledger.by_message.entry(text).or_default() += 1;
        *ledger.by_worker.entry(self.name).or_default() += 1;
    }
}

#[actix::test]
async fn a_group_on_several_arbiters_handles_everything_though_members_fail_dawdle_and_leave() {
    print_panics_briefly();
    let scale: usize = std::env::var("AIOMSG_SCALE").map_or(1, |n| n.parse().unwrap());
    let count = 100_000 * scale;
    let client = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .start()
        .unwrap();
    let server = Socket::start().unwrap();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut arbiters = Vec::new();
    for name in ["steady", "slow", "panicking", "leaver"] {
        let arbiter = Arbiter::new();
        let (socket, ledger) = (server.downgrade(), Arc::clone(&ledger));
        let handled = Arc::new(AtomicUsize::new(0));
        arbiter.spawn_fn(move || {
            let factory = move || Worker {
                socket: socket.clone(),
                name,
                ledger: Arc::clone(&ledger),
                handled: Arc::clone(&handled),
            };
            supervise(factory)
                .intensity(100_000, Duration::from_secs(1))
                .backoff(Backoff::fixed(Duration::ZERO))
                .start();
        });
        arbiters.push(arbiter);
    }
    eventually("four to subscribe", || {
        server
            .subscriptions()
            .first()
            .is_some_and(|pool| pool.subscribers.len() == 4)
    })
    .await;
    TestKit::new().connect(&client, &server).await;
    for number in 0..count {
        client.send(number.to_string()).await.unwrap();
    }
    eventually("all to be acknowledged", || {
        client.stats().acknowledged == count as u64
    })
    .await;
    let ledger = ledger.lock().unwrap();
    assert_eq!(ledger.by_message.len(), count, "all are handled");
    // Nothing was resent, and a panic comes before the entry: each is there once.
    assert_eq!(client.stats().resent, 0);
    assert!(
        ledger.by_message.values().all(|times| *times == 1),
        "none by two"
    );
    let of = |name| ledger.by_worker.get(name).copied().unwrap_or(0);
    let counts = format!("{:?}", ledger.by_worker);
    // Whoever has the least to do gets the next one.
    assert!(of("slow") * 3 < of("steady"), "{counts}");
    assert!(of("slow") > 0 && of("panicking") > 0, "{counts}");
    assert!(
        of("leaver") > 100 && of("leaver") < of("steady"),
        "{counts}"
    );
    let pool = &server.subscriptions()[0];
    assert_eq!(pool.subscribers.len(), 3, "the leaver has left");
    for arbiter in arbiters {
        arbiter.stop();
    }
}

/// Handles nothing before it is let.
struct Gated(Option<oneshot::Receiver<()>>, usize);

impl Actor for Gated {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let gate = self.0.take().expect("it is started once");
        let opened = async move {
            let _ = gate.await;
        };
        ctx.wait(opened.into_actor(self));
    }
}

impl Handler<Received> for Gated {
    type Result = ();

    fn handle(&mut self, _: Received, _: &mut Context<Self>) {
        self.1 += 1;
    }
}

#[actix::test]
async fn an_actor_that_is_known_by_its_address_has_at_most_64_messages_that_it_has_not_handled() {
    const MESSAGES: usize = 200;
    let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    let (open, gate) = oneshot::channel();
    let actor = Gated(Some(gate), 0).start();
    server.subscribe_recipient(actor.recipient());
    let mut receipts = Vec::new();
    for number in 0..MESSAGES {
        receipts.push(client.send(format!("{number}")).receipt().await.unwrap());
    }
    eventually("all of them", || server.stats().received == MESSAGES as u64).await;
    let taken = || server.subscriptions()[0].subscribers[0].taken;
    eventually("those that it may have", || taken() == 64).await;
    assert_eq!(client.stats().acknowledged, 0);
    open.send(()).unwrap();
    for receipt in receipts {
        within_patience("a receipt", receipt).await.unwrap();
    }
    assert_eq!(taken(), MESSAGES as u64);
}

/// Subscribes again whenever it is told to, and counts what it is given.
struct Eager(WeakSocket, Arc<AtomicUsize>);

#[derive(Message)]
#[rtype(result = "()")]
struct Again;

impl Actor for Eager {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.0.subscribe::<Bytes>(ctx);
    }
}

impl Handler<Again> for Eager {
    type Result = ();

    fn handle(&mut self, _: Again, ctx: &mut Context<Self>) {
        self.0.subscribe::<Bytes>(ctx);
    }
}

impl Handler<Received<Bytes>> for Eager {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Received<Bytes>, _: &mut Context<Self>) -> Self::Result {
        self.1.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
    }
}

#[actix::test]
async fn an_actor_that_subscribes_again_before_a_restart_still_gets_one_message_at_a_time() {
    let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    let begun = Arc::new(AtomicUsize::new(0));
    let eager = Eager(server.downgrade(), Arc::clone(&begun)).start();
    for _ in 0..3 {
        eager.send(Again).await.unwrap();
    }
    for _ in 0..8 {
        client.send("one of eight").await.unwrap();
    }
    eventually("all of them", || server.stats().received == 8).await;
    eventually("the first", || begun.load(Ordering::Relaxed) > 0).await;
    eager.send(Again).await.unwrap();
    assert_eq!(begun.load(Ordering::Relaxed), 1);
}
