//! A dedupe window that outlives its socket: what was committed as handled is not delivered again, and what was in hand is, marked.
#![cfg(unix)]

mod support;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::error::StoreError;
use actix_aiomsg::outbox::{Change, Outbox, OutboxStore, Table};
use actix_aiomsg::prelude::*;
use actix_aiomsg::{AckPolicy, Dedupe, MessageId};
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use support::each::each;
use support::folder::Folder;
use support::process::Process;
use support::raw_peer::{ACK, DATA, DATA_REQ, RawPeer, frame};
use support::{again, aside, eventually, scale, within_patience};

const PEER: [u8; 16] = [7; 16];
const HOUR: Duration = Duration::from_secs(3600);

fn builder(outbox: &Path, dedupe: Dedupe) -> SocketBuilder {
    Socket::builder().dedupe(dedupe).outbox(outbox)
}

/// A socket that has its window in a file, and a peer that is connected to it.
async fn receiver(outbox: &Path, dedupe: Dedupe) -> (Socket, RawPeer) {
    let socket = builder(outbox, dedupe).start().unwrap();
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = ([127, 0, 0, 1], endpoint.port().unwrap()).into();
    let peer = aside(move || RawPeer::introduced(address, PEER)).await;
    (socket, peer)
}

async fn says(mut peer: RawPeer, ids: &[u8]) -> RawPeer {
    let frames: Vec<u8> = ids
        .iter()
        .flat_map(|&id| frame(DATA_REQ, &[&[id; 16][..], &[id][..]].concat()))
        .collect();
    aside(move || {
        peer.say(&frames);
        peer
    })
    .await
}

/// The peer hears these acknowledgements, in any order.
async fn hears(mut peer: RawPeer, ids: &[u8]) -> RawPeer {
    let mut expected: BTreeSet<Vec<u8>> = ids.iter().map(|&id| vec![id; 16]).collect();
    aside(move || {
        while !expected.is_empty() {
            let heard = peer.next();
            if heard.kind == ACK {
                assert!(expected.remove(&heard.body), "{heard:?}");
            }
        }
        peer
    })
    .await
}

async fn message(socket: &Socket) -> Received {
    within_patience("a message", socket.recv()).await.unwrap()
}

#[actix::test]
async fn what_was_handled_is_not_delivered_to_the_next_start_and_what_was_not_is() {
    let folder = Folder::new("window");
    let dedupe = Dedupe::within(100, HOUR);
    let (socket, peer) = receiver(&folder.file("outbox"), dedupe).await;
    let peer = says(peer, &[1, 2, 3]).await;
    assert_eq!(message(&socket).await.payload()[..], [1]);
    message(&socket).await.reject();
    let third = message(&socket).await;
    assert!(!third.is_redelivered());
    let origin = (Identity::from_bytes(PEER), MessageId::from_bytes([3; 16]));
    assert_eq!(third.origin(), Some(origin));
    // The first is acknowledged because it was dropped, the second refused. The third is in hand for ever.
    let peer = hears(peer, &[1, 2]).await;
    assert_eq!(socket.stats().dedupe_messages, 3);
    std::mem::forget(third);
    drop(peer);
    socket.close_within(Duration::ZERO).await;

    let (socket, peer) = receiver(&folder.file("outbox"), dedupe).await;
    assert_eq!(socket.stats().dedupe_messages, 3);
    let peer = says(peer, &[1, 2, 3, 4]).await;
    let third = message(&socket).await;
    assert_eq!((third.payload()[0], third.is_redelivered()), (3, true));
    let fourth = message(&socket).await;
    assert_eq!((fourth.payload()[0], fourth.is_redelivered()), (4, false));
    drop((third, fourth));
    hears(peer, &[1, 2, 3, 4]).await;
    assert_eq!(socket.stats().duplicates, 2);
    socket.close().await;
}

#[actix::test]
async fn a_peer_of_another_identity_is_not_taken_for_one_that_is_remembered() {
    let folder = Folder::new("window");
    let dedupe = Dedupe::within(100, HOUR);
    let (socket, peer) = receiver(&folder.file("outbox"), dedupe).await;
    let peer = says(peer, &[1]).await;
    drop(message(&socket).await);
    drop(hears(peer, &[1]).await);
    socket.close().await;
    let socket = builder(&folder.file("outbox"), dedupe).start().unwrap();
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = ([127, 0, 0, 1], endpoint.port().unwrap()).into();
    let other = aside(move || RawPeer::introduced(address, [8; 16])).await;
    let other = says(other, &[1]).await;
    assert_eq!(message(&socket).await.payload()[..], [1]);
    hears(other, &[1]).await;
    socket.close().await;
}

#[actix::test]
async fn the_window_in_the_store_is_bounded_by_count_and_by_age() {
    let folder = Folder::new("window");
    let (socket, peer) = receiver(&folder.file("outbox"), Dedupe::within(3, HOUR)).await;
    let ids: Vec<u8> = (1..=20).collect();
    let peer = says(peer, &ids).await;
    for _ in &ids {
        drop(message(&socket).await);
    }
    drop(hears(peer, &ids).await);
    assert_eq!(socket.stats().dedupe_messages, 3);
    socket.close().await;
    let kept = finished(&folder.file("outbox"));
    let last: BTreeSet<_> = (18..=20)
        .map(|id| MessageId::from_bytes([id; 16]))
        .collect();
    assert_eq!(kept, last);
    // What is older than the window of the next start is not remembered, and leaves the store.
    let short = Dedupe::within(3, Duration::from_millis(1));
    let socket = builder(&folder.file("outbox"), short).start().unwrap();
    assert_eq!(socket.stats().dedupe_messages, 0);
    socket.close().await;
    assert_eq!(finished(&folder.file("outbox")), BTreeSet::new());
}

#[actix::test]
async fn on_receipt_what_was_acknowledged_is_known_to_the_next_start() {
    let folder = Folder::new("window");
    let dedupe = Dedupe::within(100, HOUR);
    let socket = builder(&folder.file("outbox"), dedupe)
        .ack_policy(AckPolicy::OnReceipt)
        .start()
        .unwrap();
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = ([127, 0, 0, 1], endpoint.port().unwrap()).into();
    let peer = aside(move || RawPeer::introduced(address, PEER)).await;
    let peer = says(peer, &[1]).await;
    drop(hears(peer, &[1]).await);
    drop(message(&socket).await);
    socket.close().await;
    let (socket, peer) = receiver(&folder.file("outbox"), dedupe).await;
    let peer = says(peer, &[1]).await;
    hears(peer, &[1]).await;
    assert_eq!(socket.stats().duplicates, 1);
    socket.close().await;
}

#[actix::test]
async fn a_message_whose_handler_failed_is_redelivered_on_any_socket() {
    let socket = Socket::start().unwrap();
    let got = Rc::<Cell<Vec<bool>>>::default();
    let told = Rc::clone(&got);
    each(&socket, move |message: Received| {
        let mut got = told.take();
        got.push(message.is_redelivered());
        let fails = got.len() == 1;
        told.set(got);
        Handled::from(match fails {
            true => Err("not yet"),
            false => Ok(()),
        })
    });
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = ([127, 0, 0, 1], endpoint.port().unwrap()).into();
    let peer = aside(move || RawPeer::introduced(address, PEER)).await;
    let peer = says(peer, &[1]).await;
    hears(peer, &[1]).await;
    assert_eq!(got.take(), [false, true]);
    socket.close().await;
}

#[actix::test]
async fn a_message_that_was_put_off_is_redelivered_whether_its_handler_returned_or_its_future() {
    for at_once in [true, false] {
        let socket = Socket::start().unwrap();
        let got = Rc::<Cell<Vec<bool>>>::default();
        let told = Rc::clone(&got);
        let decide = move |message: Received| {
            let mut got = told.take();
            got.push(message.is_redelivered());
            // Put off more often than it may fail.
            if got.len() < 6 {
                message.nack(Duration::ZERO);
            }
            told.set(got);
        };
        each(&socket, move |message: Received| {
            if at_once {
                decide(message);
                return Handled::from(Ok::<_, Infallible>(()));
            }
            let decide = decide.clone();
            Handled::future(async move {
                decide(message);
                Ok::<_, Infallible>(())
            })
        });
        let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = ([127, 0, 0, 1], endpoint.port().unwrap()).into();
        let peer = aside(move || RawPeer::introduced(address, PEER)).await;
        let peer = says(peer, &[1]).await;
        hears(peer, &[1]).await;
        assert_eq!(got.take(), [false, true, true, true, true, true]);
        socket.close().await;
    }
}

#[actix::test]
async fn a_copy_of_an_earlier_day_is_sent_again_with_the_ids_that_it_had() {
    send_copy_of_an_earlier_day(Dedupe::within(100, HOUR), false).await;
}

#[actix::test]
async fn a_copy_that_is_older_than_the_window_of_a_receiver_is_delivered_again_with_its_origin() {
    send_copy_of_an_earlier_day(Dedupe::within(100, Duration::from_millis(1)), true).await;
}

/// Whether a receiver with this window is given a message again, of which it was in a copy that the sender's file was restored from.
async fn send_copy_of_an_earlier_day(dedupe: Dedupe, again: bool) {
    let folder = Folder::new("window");
    let (path, backup) = (folder.file("outbox"), folder.file("backup"));
    let sender = || {
        let socket = Socket::builder()
            .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
            .outbox(&path)
            .start();
        socket.unwrap()
    };
    let socket = sender();
    socket.send("ten apples").await.unwrap();
    socket.close_within(Duration::ZERO).await;
    std::fs::copy(&path, &backup).unwrap();

    let receiver = Socket::builder().dedupe(dedupe).start().unwrap();
    let endpoint = receiver.bind("tcp://127.0.0.1:0").await.unwrap();
    let deliver = async || {
        let socket = sender();
        socket.connect(endpoint.clone()).await.unwrap();
        eventually("it to be acknowledged", || {
            socket.stats().stored_messages == 0
        })
        .await;
        socket.close().await;
    };
    let (delivery, first) = tokio::join!(deliver(), async {
        let first = message(&receiver).await;
        first.origin()
    });
    let () = delivery;
    assert!(first.is_some());
    std::fs::copy(&backup, &path).unwrap();
    if again {
        let forgets = || receiver.stats().dedupe_messages == 0;
        eventually("the window to be over", forgets).await;
        let (delivery, second) = tokio::join!(deliver(), async {
            let second = message(&receiver).await;
            second.origin()
        });
        let () = delivery;
        assert_eq!(second, first);
    } else {
        // The receiver knows it by its id.
        deliver().await;
    }
    assert_eq!(receiver.stats().duplicates, u64::from(!again));
    receiver.close().await;
}

/// Values by table and key.
type Tables = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// A store that fails while it is told to.
#[derive(Clone, Default)]
struct Faulty {
    fails: Arc<AtomicBool>,
    tables: Arc<Mutex<Tables>>,
}

impl OutboxStore for Faulty {
    fn commit(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::new("the disk is full"));
        }
        let mut tables = self.tables.lock().unwrap();
        for change in changes {
            match *change {
                Change::Put { table, key, value } => {
                    drop(tables.insert((table, key.to_vec()), value.to_vec()));
                }
                Change::Remove { table, key } => drop(tables.remove(&(table, key.to_vec()))),
            }
        }
        Ok(())
    }

    fn read(
        &mut self,
        table: Table,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let tables = self.tables.lock().unwrap();
        let wanted = |(name, key): &(Table, Vec<u8>)| *name == table && key[..] >= *from;
        for ((_, key), value) in tables.iter().filter(|(key, _)| wanted(key)) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A receiver over a store that fails on demand, and a peer that is connected to it.
async fn over_faulty() -> (Socket, Faulty, RawPeer) {
    let store = Faulty::default();
    let socket = Socket::builder()
        .dedupe(Dedupe::within(100, HOUR))
        .outbox_with(Outbox::with_store("faulty", store.clone()))
        .start()
        .unwrap();
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = ([127, 0, 0, 1], endpoint.port().unwrap()).into();
    let peer = aside(move || RawPeer::introduced(address, PEER)).await;
    (socket, store, peer)
}

#[actix::test]
async fn while_the_store_fails_a_receiver_takes_and_acknowledges_nothing() {
    let (socket, store, peer) = over_faulty().await;
    let peer = says(peer, &[1]).await;
    let first = message(&socket).await;
    store.fails.store(true, Ordering::SeqCst);
    // This one is handled, and cannot be acknowledged; the others cannot even be noted.
    drop(first);
    eventually("the failure", || socket.stats().store_failing).await;
    let peer = says(peer, &[2, 3]).await;
    let peer = aside(move || {
        let mut peer = peer;
        assert!(peer.is_silent_for(Duration::from_millis(40)));
        peer
    })
    .await;
    assert_eq!(socket.stats().inbox_messages, 0);
    store.fails.store(false, Ordering::SeqCst);
    let peer = hears(peer, &[1]).await;
    for id in [2, 3] {
        assert_eq!(message(&socket).await.payload()[..], [id]);
    }
    hears(peer, &[2, 3]).await;
    assert!(!socket.stats().store_failing);
    socket.close().await;
}

#[actix::test]
async fn what_was_read_is_delivered_once_it_is_noted_also_if_its_connection_has_ended() {
    let (socket, store, peer) = over_faulty().await;
    store.fails.store(true, Ordering::SeqCst);
    let peer = says(peer, &[1]).await;
    // Its note has failed, so that it was read.
    eventually("the failure", || socket.stats().store_failing).await;
    drop(peer);
    eventually("the end of the connection", || socket.stats().peers == 0).await;
    assert_eq!(socket.stats().inbox_messages, 0);
    store.fails.store(false, Ordering::SeqCst);
    let first = message(&socket).await;
    assert_eq!(
        (&first.payload()[..], first.is_redelivered()),
        (&[1][..], false)
    );
    let tables = store.tables.lock().unwrap();
    let is_noted =
        |(table, key): &(Table, Vec<u8>)| *table == Table::Window && key[16..] == [1; 16];
    assert!(tables.keys().any(is_noted));
}

#[actix::test]
async fn what_waits_for_its_note_when_the_socket_closes_is_given_up_and_what_wants_no_acknowledgement_a_dead_letter()
 {
    let (socket, store, peer) = over_faulty().await;
    store.fails.store(true, Ordering::SeqCst);
    let peer = aside(move || {
        let mut peer = peer;
        let wants = frame(DATA_REQ, &[&[1; 16][..], b"sent again"].concat());
        peer.say(&[wants, frame(DATA, b"not sent again")].concat());
        peer
    });
    let peer = peer.await;
    eventually("the failure", || socket.stats().store_failing).await;
    drop(peer);
    eventually("the end of the connection", || socket.stats().peers == 0).await;
    socket.close_within(Duration::ZERO).await;
    eventually("one of them to be lost", || {
        socket.stats().losses.closed == 1
    })
    .await;
}

#[actix::test]
async fn metadata_is_taken_out_of_what_waited_for_its_note() {
    let folder = Folder::new("window");
    let builder = builder(&folder.file("outbox"), Dedupe::within(100, HOUR));
    let receiver = builder.read_metadata(true).start().unwrap();
    let endpoint = receiver.bind("tcp://127.0.0.1:0").await.unwrap();
    let sender = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .start()
        .unwrap();
    sender.connect(endpoint).await.unwrap();
    let sending = sender.send("ten apples").header("tenant", "a");
    let receipt = sending.receipt().await.unwrap();
    let order = message(&receiver).await;
    assert_eq!(order.payload(), "ten apples");
    assert_eq!(order.header("tenant"), Some("a"));
    drop(order);
    within_patience("the receipt", receipt).await.unwrap();
}

/// The messages that are committed as finished, by what stands in the file.
fn finished(outbox: &Path) -> BTreeSet<MessageId> {
    let window: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("window");
    let database = redb::Database::open(outbox).expect("the file of a dead socket");
    let transaction = database.begin_read().unwrap();
    let Ok(table) = transaction.open_table(window) else {
        return BTreeSet::new();
    };
    let entries = table.iter().unwrap().map(|entry| entry.unwrap());
    let done = entries.filter(|(_, value)| value.value()[0] & 0xF == 1);
    let ids = done.map(|(key, _)| MessageId::try_from(&key.value()[16..]).unwrap());
    ids.collect()
}

/// Says of each message which one it is and whether it comes again, and handles it for a while.
struct Worker(Socket);

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let options = SubscribeOptions::default().max_in_flight(16);
        self.0.subscribe_with(ctx, options);
    }
}

impl Handler<Received> for Worker {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: Received, _: &mut Context<Self>) -> ResponseFuture<()> {
        let (_, id) = message.origin().expect("all have an id here");
        eprintln!("handles {id} {}.", message.is_redelivered());
        Box::pin(async move {
            let pause = u64::from(id.as_bytes()[15] % 8);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        })
    }
}

async fn play_receiver() {
    let orders = again::order().await.expect("what to do");
    let (path, port) = orders.split_once(' ').expect("two words");
    let socket = builder(Path::new(path), Dedupe::within(100_000, HOUR))
        .start()
        .unwrap();
    Worker(socket.clone()).start();
    socket
        .connect(format!("tcp://127.0.0.1:{port}"))
        .await
        .unwrap();
    again::order().await;
    socket.close().await;
    eprintln!("closed");
}

/// What a child has said from this line on up to its end: each message that it got, and whether it knew it.
async fn handled(first: String, receiver: &mut Process) -> Vec<(MessageId, bool)> {
    let lines = receiver.stderr.rest().await;
    let mut all = Vec::new();
    for line in std::iter::once(first).chain(lines) {
        assert!(!line.contains("panicked"), "{line}");
        // A line that the kill has cut says nothing.
        let words = line
            .strip_prefix("handles ")
            .and_then(|rest| rest.strip_suffix('.'))
            .and_then(|rest| rest.split_once(' '));
        if let Some((id, again)) = words {
            all.push((id.parse().unwrap(), again == "true"));
        }
    }
    all
}

#[actix::test]
async fn a_receiver_that_is_killed_is_given_nothing_again_after_its_commit_and_the_rest_as_redelivered()
 {
    const TEST: &str = "a_receiver_that_is_killed_is_given_nothing_again_after_its_commit_and_the_rest_as_redelivered";
    if again::part().is_some() {
        return play_receiver().await;
    }
    let folder = Folder::new("window");
    let path = folder.file("outbox");
    let sender = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .resend_timeout(Duration::from_millis(300))
        .start()
        .unwrap();
    let port = sender.bind("127.0.0.1:0").await.unwrap().port().unwrap();
    let stop = Rc::new(Cell::new(false));
    let load = {
        let (sender, stop) = (sender.clone(), Rc::clone(&stop));
        actix::spawn(async move {
            let mut sent = 0_u64;
            while !stop.get() {
                sender.send(sent.to_string()).await.unwrap();
                sent += 1;
                if sent.is_multiple_of(16) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            sent
        })
    };
    let kills = scale::of(100);
    let (mut committed, mut seen) = (BTreeSet::new(), BTreeMap::<MessageId, u64>::new());
    let (mut deliveries, mut again_known) = (0_u64, 0_u64);
    for round in 0..=kills {
        stop.set(round == kills);
        let mut receiver = again::start(TEST, "receiver");
        receiver.say(&format!("{} {port}", path.display()));
        let first = (receiver.stderr)
            .find(|line| line.starts_with("handles"))
            .await;
        if round < kills {
            let [random, ..] = *MessageId::random().as_bytes();
            tokio::time::sleep(Duration::from_micros(u64::from(random) * 1000)).await;
            receiver.kill();
        } else {
            eventually("all to be acknowledged", || {
                sender.stats().unacknowledged + sender.stats().outbox_messages == 0
            })
            .await;
            receiver.say("close");
        }
        for (id, again) in handled(first, &mut receiver).await {
            deliveries += 1;
            assert!(
                !committed.contains(&id),
                "round {round}: {id} was committed and comes again"
            );
            let before = seen.insert(id, round);
            if let Some(before) = before.filter(|before| *before != round) {
                assert!(again, "round {round}: {id} was in hand in round {before}");
                again_known += 1;
            }
        }
        if round < kills {
            committed = finished(&path);
        }
    }
    let sent = load.await.unwrap();
    println!(
        "{kills} kills: {sent} sent, {deliveries} deliveries, {} committed before the last start, {again_known} known as \
         delivered before",
        committed.len()
    );
    assert!(again_known > 0 && !committed.is_empty());
    sender.close().await;
}
