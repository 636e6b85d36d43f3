//! What is delivered while connections are cut, receivers are killed and the socket's own actors
//! crash, counted message by message. In full with `just soak`.
#![cfg(unix)]

mod support;

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_aiomsg::prelude::*;
use actix_aiomsg::{
    Dedupe,
    testing::{Part, Probe},
};
use support::agent;
use support::each::each;
use support::panics::print_panics_briefly;
use support::process::Process;
use support::proxy::{Fault, FaultProxy, Side};
use support::scale;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// An actor of a socket may be restarted five times in ten seconds.
const BETWEEN_CRASHES: Duration = Duration::from_millis(2200);

/// How often each message came.
#[derive(Default)]
struct Tally {
    times: Vec<u8>,
    misplaced: Option<usize>,
    last: Option<usize>,
}

impl Tally {
    fn note(&mut self, number: usize) {
        if self.times.len() <= number {
            self.times.resize(number + 1, 0);
        }
        self.times[number] = self.times[number].saturating_add(1);
        if self.last.is_some_and(|last| last >= number) {
            self.misplaced.get_or_insert(number);
        }
        self.last = Some(number);
    }

    /// Different messages.
    fn different(&self) -> u64 {
        self.times.iter().filter(|times| **times > 0).count() as u64
    }

    /// Messages that came again.
    fn duplicates(&self) -> u64 {
        let again = |times: &u8| u64::from(times.saturating_sub(1));
        self.times.iter().map(again).sum()
    }
}

type Shared = Arc<Mutex<Tally>>;

/// Message `number`, ended so that a line that was cut short by a kill is not taken for another.
fn payload(number: u64) -> String {
    format!("{number}.")
}

fn number(line: &[u8]) -> Option<usize> {
    let line = std::str::from_utf8(line).ok()?;
    line.strip_suffix('.')?.parse().ok()
}

/// A process that receives, behind a proxy. It is killed and started again at will.
struct Receiver {
    proxy: FaultProxy,
    /// Where it connects to; it binds if there is none.
    connects: Option<u16>,
    process: Process,
    tally: Shared,
    readers: Vec<JoinHandle<()>>,
}

impl Receiver {
    /// One that connects to `address` through its proxy.
    async fn connecting(address: SocketAddr, tally: &Shared) -> Self {
        let proxy = FaultProxy::start(address);
        let connects = Some(proxy.address().port());
        Self::start(proxy, connects, tally).await
    }

    /// One that binds, with its proxy in front of it.
    async fn binding(tally: &Shared) -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        Self::start(FaultProxy::start(nowhere), None, tally).await
    }

    async fn start(proxy: FaultProxy, connects: Option<u16>, tally: &Shared) -> Self {
        let (process, reader) = incarnation(&proxy, connects, tally).await;
        Self {
            proxy,
            connects,
            process,
            tally: Arc::clone(tally),
            readers: vec![reader],
        }
    }

    async fn restart(&mut self) {
        self.process.kill();
        let (process, reader) = incarnation(&self.proxy, self.connects, &self.tally).await;
        self.process = process;
        self.readers.push(reader);
    }

    /// Ends it and waits until all that it printed is counted.
    async fn end(mut self) {
        self.process.kill();
        for reader in self.readers {
            reader.await.expect("every line is counted");
        }
    }
}

async fn incarnation(
    proxy: &FaultProxy,
    connects: Option<u16>,
    tally: &Shared,
) -> (Process, JoinHandle<()>) {
    let options = "--behavior sink --count 1000000000";
    let mut process = match connects {
        Some(port) => agent::start(&format!("--role connect --port {port} {options}")),
        None => {
            let (process, port) = agent::bind(options).await;
            proxy.retarget(([127, 0, 0, 1], port).into());
            process
        }
    };
    let printed = process.stdout.take().expect("it is read");
    let tally = Arc::clone(tally);
    let reader = actix::spawn(printed.for_each(move |line| {
        if let Some(number) = number(line.as_bytes()) {
            tally.lock().unwrap().note(number);
        }
    }));
    (process, reader)
}

/// Sends numbered messages, as many as `permits` allows.
fn send_permitted(socket: &Socket, total: u64, permits: &Arc<Semaphore>) -> JoinHandle<()> {
    let (socket, permits) = (socket.clone(), Arc::clone(permits));
    actix::spawn(async move {
        for number in 0..total {
            permits.acquire().await.expect("it stays open").forget();
            socket.send(payload(number)).await.expect("it is accepted");
        }
    })
}

/// Which of `whole` equal parts of `total` messages is the one of this round.
fn share(total: u64, round: u64, whole: u64) -> usize {
    let Range { start, end } = total * round / whole..total * (round + 1) / whole;
    usize::try_from(end - start).expect("it fits")
}

fn restarts(events: &mut Probe<SocketEvent>, count: &mut (u64, u64)) {
    for event in events.rest() {
        match event {
            SocketEvent::Restarted { actor, .. } if actor == "listener" => count.0 += 1,
            SocketEvent::Restarted { actor, .. } if actor == "dialer" => count.1 += 1,
            _ => {}
        }
    }
}

#[actix::test]
async fn at_least_once_survives_cuts_killed_receivers_and_crashed_actors_without_a_loss() {
    print_panics_briefly();
    let total = scale::of(100_000);
    let (cuts, kills, crashes) = (scale::of(200), scale::of(50), scale::of(50));
    let (recipient, mut events) = Probe::recipient();
    let sender = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .reconnect(quickly())
        .on_socket_event(recipient)
        .start()
        .unwrap();
    let endpoint = sender.bind("127.0.0.1:0").await.unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port().unwrap()));
    let tally = Shared::default();
    let mut receivers = [
        Receiver::connecting(address, &tally).await,
        Receiver::binding(&tally).await,
    ];
    let dialled = format!("tcp://{}", receivers[1].proxy.address());
    sender.connect(dialled).await.unwrap();
    sender.wait_for_peers(2).await.unwrap();

    let permits = Arc::new(Semaphore::new(0));
    let sending = send_permitted(&sender, total, &permits);
    let (mut restarted, mut last_crash) = ((0, 0), None::<Instant>);
    for round in 0..cuts {
        let due = |times: u64| share(times, round, cuts) > 0;
        if due(crashes) {
            let next = last_crash.map_or(Duration::ZERO, |last| {
                BETWEEN_CRASHES.saturating_sub(last.elapsed())
            });
            tokio::time::sleep(next).await;
        }
        let joins = sender.stats().joins;
        permits.add_permits(share(total, round, cuts));
        let unlucky = &mut receivers[usize::try_from(round % 2).unwrap()];
        unlucky.proxy.cut();
        if due(crashes) {
            sender.crash(Part::Listener);
            sender.crash(Part::Dialer);
            last_crash = Some(Instant::now());
        }
        if due(kills) {
            unlucky.restart().await;
        }
        scale::reaches(
            "the messages to be accepted, and the peer to be back",
            1,
            || {
                let stats = sender.stats();
                let back = stats.joins > joins && stats.peers == 2;
                u64::from(permits.available_permits() == 0 && back)
            },
        )
        .await;
        restarts(&mut events, &mut restarted);
    }
    sending.await.unwrap();
    scale::reaches("acknowledgements", total, || sender.stats().acknowledged).await;

    let stats = sender.stats();
    assert_eq!(
        (stats.acknowledged, stats.unacknowledged),
        (total, 0),
        "each is acknowledged once"
    );
    assert_eq!((stats.dead_letters, stats.outbox_messages), (0, 0));
    for receiver in receivers {
        receiver.end().await;
    }
    // Nothing else waits for the last of them.
    scale::reaches("the last restarts", 2 * crashes, || {
        restarts(&mut events, &mut restarted);
        restarted.0 + restarted.1
    })
    .await;
    assert_eq!(restarted, (crashes, crashes), "(listener, dialer)");
    let tally = tally.lock().unwrap();
    println!(
        "{total} messages, {cuts} cuts, {kills} kills, {crashes} crashes each of listener and dialer: {} lost, {} duplicates, {} joins",
        total - tally.different(),
        tally.duplicates(),
        stats.joins
    );
    assert_eq!(tally.different(), total, "none is lost");
    assert!(stats.joins >= 2 + cuts, "each cut ended a connection");
}

/// A socket that handles what comes, which is counted.
fn counting(builder: SocketBuilder, tally: &Shared) -> Socket {
    let socket = builder.start().unwrap();
    let tally = Arc::clone(tally);
    each(&socket, move |message| {
        let number = number(message.payload()).expect("a whole message");
        tally.lock().unwrap().note(number);
    });
    socket
}

fn quickly() -> Backoff {
    Backoff::exponential(Duration::from_millis(1), Duration::from_millis(20))
}

/// At least once to one receiver that lives all the while and remembers what it has had.
async fn exactly_once(receiver_binds: bool) {
    let total = scale::of(50_000);
    let (cuts, crashes) = (scale::of(100), scale::of(20));
    let tally = Shared::default();
    let dedupe = Dedupe::within(10_000, Duration::from_secs(3600));
    let receiver = counting(
        Socket::builder().dedupe(dedupe).reconnect(quickly()),
        &tally,
    );
    let sender = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .reconnect(quickly())
        .start()
        .unwrap();
    let (binds, connects) = match receiver_binds {
        true => (&receiver, &sender),
        false => (&sender, &receiver),
    };
    let endpoint = binds.bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(([127, 0, 0, 1], endpoint.port().unwrap()).into());
    let through = format!("tcp://{}", proxy.address());
    connects.connect(through).await.unwrap();
    sender.wait_for_peers(1).await.unwrap();

    let permits = Arc::new(Semaphore::new(0));
    let sending = send_permitted(&sender, total, &permits);
    let mute = match receiver_binds {
        true => Side::Server,
        false => Side::Client,
    };
    let mut last_crash = None::<Instant>;
    let mut permitted = 0;
    for round in 0..cuts {
        let crash = share(crashes, round, cuts) > 0;
        if crash {
            let next = last_crash.map_or(Duration::ZERO, |last| {
                BETWEEN_CRASHES.saturating_sub(last.elapsed())
            });
            tokio::time::sleep(next).await;
        }
        let so_far = sender.stats();
        let messages = share(total, round, cuts);
        let before = messages / 2;
        permits.add_permits(before);
        let goal = so_far.acknowledged + before as u64 / 2;
        scale::reaches("acknowledgements", goal, || sender.stats().acknowledged).await;
        // What comes now is received, and its acknowledgements are lost: it will come again.
        proxy.inflict(Fault::Mute(mute));
        permits.add_permits(messages - before);
        permitted += messages;
        let different = || receiver.stats().received - receiver.stats().duplicates;
        scale::reaches("the messages", permitted as u64, different).await;
        proxy.cut();
        proxy.heal();
        if crash {
            sender.crash(Part::Listener);
            sender.crash(Part::Dialer);
            last_crash = Some(Instant::now());
        }
        let back = || sender.stats().joins;
        scale::reaches("the peer to be back", so_far.joins + 1, back).await;
    }
    sending.await.unwrap();
    scale::reaches("acknowledgements", total, || sender.stats().acknowledged).await;
    let stats = sender.stats();
    assert_eq!((stats.acknowledged, stats.unacknowledged), (total, 0));
    let absorbed = receiver.stats().received - total;
    assert!(absorbed > total / 4, "{absorbed} repetitions came");
    let tally = tally.lock().unwrap();
    println!(
        "{total} messages, {cuts} cuts, {crashes} crashes: {} lost, {} duplicates, {absorbed} absorbed",
        total - tally.different(),
        tally.duplicates()
    );
    assert_eq!((tally.different(), tally.duplicates()), (total, 0));
}

#[actix::test]
async fn at_least_once_to_a_receiver_that_lives_and_remembers_repeats_nothing() {
    print_panics_briefly();
    exactly_once(true).await;
    exactly_once(false).await;
}

/// A connection says nothing but what it is told to, so that no byte is lost to a reset.
fn quiet() -> SocketBuilder {
    Socket::builder()
        .heartbeat_interval(Duration::from_secs(3600))
        .heartbeat_timeout(Duration::from_secs(7200))
        .reconnect(Backoff::exponential(
            Duration::from_millis(1),
            Duration::from_millis(5),
        ))
}

/// The messages in what a client said: the numbers of whole DATA frames, and the rest behind them.
fn messages(mut said: &[u8]) -> (Vec<usize>, usize) {
    const DATA: u8 = 3;
    let mut numbers = Vec::new();
    while let Some((prefix, behind)) = said.split_first_chunk() {
        let length = u32::from_be_bytes(*prefix) as usize;
        let Some((frame, behind)) = behind.split_at_checked(length) else {
            break;
        };
        if frame[0] == DATA {
            numbers.push(number(&frame[1..]).expect("a message"));
        }
        said = behind;
    }
    (numbers, said.len())
}

#[actix::test]
async fn at_most_once_loses_through_cuts_only_what_the_kernel_had_and_repeats_nothing() {
    let (total, cuts) = (scale::of(400_000), scale::of(200));
    let tally = Shared::default();
    let receiver = counting(quiet(), &tally);
    let endpoint = receiver.bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(([127, 0, 0, 1], endpoint.port().unwrap()).into());
    proxy.record();
    let sender = quiet().start().unwrap();
    let through = format!("tcp://{}", proxy.address());
    sender.connect(through).await.unwrap();

    let permits = Arc::new(Semaphore::new(0));
    let sending = send_permitted(&sender, total, &permits);
    for round in 0..cuts {
        permits.add_permits(share(total, round, cuts));
        let goal = total * round / cuts + total / cuts / 2;
        scale::reaches("messages to be sent", goal, || {
            let stats = sender.stats();
            stats.sent + stats.queued_messages as u64
        })
        .await;
        let joins = sender.stats().joins;
        proxy.swallow();
        scale::reaches("the peer to be back", joins + 1, || sender.stats().joins).await;
    }
    sending.await.unwrap();
    sender.flush().await.unwrap();
    let stats = sender.stats();
    let cut_off = stats.losses.half_written;
    assert_eq!((stats.sent + cut_off, stats.dead_letters), (total, cut_off));
    assert_eq!((stats.outbox_messages, stats.queued_messages), (0, 0));
    assert!(stats.joins > cuts, "each cut ended a connection");
    sender.close().await;
    receiver.close().await;
    scale::reaches("the end of all connections", 1, || {
        u64::from(proxy.unfinished() == 0)
    })
    .await;

    let mut handed_over = Tally::default();
    let mut half_written = 0;
    for said in proxy.recorded() {
        let (numbers, rest) = messages(&said);
        numbers.into_iter().for_each(|n| handed_over.note(n));
        half_written += u64::from(rest > 0);
    }
    let tally = tally.lock().unwrap();
    println!(
        "{total} messages, {cuts} cuts: {} were handed over whole and {half_written} in part, {} arrived",
        handed_over.different(),
        tally.different()
    );
    assert_eq!(
        handed_over.different() + half_written,
        total,
        "each message was handed to the kernel"
    );
    assert_eq!((handed_over.duplicates(), handed_over.misplaced), (0, None));
    assert_eq!((tally.duplicates(), tally.misplaced), (0, None));
    let arrived = tally.times.iter().enumerate().filter(|(_, n)| **n > 0);
    for (number, _) in arrived {
        assert_eq!(handed_over.times[number], 1, "{number} went that way");
    }
}
