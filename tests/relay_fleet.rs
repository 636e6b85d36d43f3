//! Relays with many peers: several in parallel, of which one is killed, and what many peers send at a time.

mod support;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::relay::{Relay, RelayHandle};
use support::actors::answer_each;
use support::again;
use support::each::each;
use support::process::Process;
use support::{PATIENCE, scale, within_patience};

/// Plays a relay: says where it is, and goes on until it is killed, or its parent is gone.
fn be_relay() -> ! {
    System::new().block_on(async {
        let (front, back) = (Socket::start().unwrap(), Socket::start().unwrap());
        let _relay = Relay::new(&front, &back).start().unwrap();
        let at_back = back.bind("127.0.0.1:0").await.unwrap();
        let at_front = front.bind("127.0.0.1:0").await.unwrap();
        eprintln!("back {}", at_back.port().unwrap());
        eprintln!("front {}", at_front.port().unwrap());
        while again::order().await.is_some() {}
    });
    std::process::exit(0)
}

/// A relay that is a process of its own.
struct RelayProcess {
    process: Process,
    front: u16,
    back: u16,
}

impl RelayProcess {
    async fn start(test: &str) -> Self {
        let mut process = again::start(test, "relay");
        let back = again::told_number(&mut process, "back ").await;
        let front = again::told_number(&mut process, "front ").await;
        Self {
            process,
            front: front.try_into().unwrap(),
            back: back.try_into().unwrap(),
        }
    }
}

/// Notes how often each message was handled.
type Handled = Rc<RefCell<HashMap<String, u32>>>;

async fn worker(relays: &[RelayProcess], handled: &Handled) -> Socket {
    let socket = Socket::start().unwrap();
    let handled = Rc::clone(handled);
    each(&socket, move |message: Received| {
        let text = message.text().unwrap().to_owned();
        *handled.borrow_mut().entry(text).or_default() += 1;
    });
    for relay in relays {
        let place = ("127.0.0.1", relay.back);
        socket.connect(place).await.unwrap();
    }
    socket
}

#[test]
fn through_three_relays_of_which_one_is_killed_nothing_at_least_once_is_lost() {
    const TEST: &str = "through_three_relays_of_which_one_is_killed_nothing_at_least_once_is_lost";
    const SENDERS: u64 = 4;
    if again::part().is_some() {
        be_relay();
    }
    System::new().block_on(async {
        let mut relays = Vec::new();
        for _ in 0..3 {
            relays.push(RelayProcess::start(TEST).await);
        }
        let handled = Handled::default();
        let count = || handled.borrow().len() as u64;
        let mut workers = Vec::new();
        for _ in 0..3 {
            workers.push(worker(&relays, &handled).await);
        }
        let of_each = scale::of(100_000) / SENDERS;
        let all = of_each * SENDERS;
        let mut senders = Vec::new();
        let mut sending = Vec::new();
        for sender in 0..SENDERS {
            let socket = Socket::builder()
                .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
                .start()
                .unwrap();
            for relay in &relays {
                let place = ("127.0.0.1", relay.front);
                socket.connect(place).await.unwrap();
            }
            within_patience("the relays", socket.wait_for_peers(3))
                .await
                .unwrap();
            senders.push(socket.clone());
            sending.push(actix::spawn(async move {
                for number in 0..of_each {
                    socket.send(format!("{sender} {number}")).await.unwrap();
                }
            }));
        }
        scale::reaches("messages", all / 3, count).await;
        relays[0].process.kill();
        // A worker leaves, and another one comes.
        scale::reaches("messages", all / 2, count).await;
        workers.remove(0).close_within(PATIENCE).await;
        workers.push(worker(&relays[1..], &handled).await);
        scale::reaches("messages", all, count).await;
        for sending in sending {
            sending.await.unwrap();
        }
        for sender in senders {
            let report = sender.close_within(PATIENCE).await;
            assert_eq!((report.unsent, report.unacknowledged), (0, 0));
        }
        let handled = handled.borrow();
        let twice = handled.values().filter(|times| **times > 1).count();
        assert_eq!(handled.len() as u64, all);
        println!("{all} messages through three relays, one killed: 0 lost, {twice} handled twice");
    });
}

/// Messages in a second from so many senders to as many receivers, each pair of which is connected as `connect` says.
async fn rate(peers: u64, of_each: u64, ends: impl AsyncFn(&Socket, &Socket)) -> f64 {
    let received = Rc::new(Cell::new(0_u64));
    let mut senders = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..peers {
        let (sender, receiver) = (Socket::start().unwrap(), Socket::start().unwrap());
        let received = Rc::clone(&received);
        each(&receiver, move |_: Received| {
            received.set(received.get() + 1)
        });
        ends(&sender, &receiver).await;
        senders.push(sender);
        receivers.push(receiver);
    }
    for socket in senders.iter().chain(&receivers) {
        within_patience("a peer", socket.wait_for_peers(1))
            .await
            .unwrap();
    }
    let began = Instant::now();
    for sender in &senders {
        let sender = sender.clone();
        actix::spawn(async move {
            for _ in 0..of_each {
                sender.send(vec![b'x'; 100]).await.unwrap();
            }
        });
    }
    scale::reaches("messages", peers * of_each, || received.get()).await;
    (peers * of_each) as f64 / began.elapsed().as_secs_f64()
}

#[test]
fn many_peers_on_each_side_of_a_relay_get_all_of_it_and_the_rate_beside_direct_ones_is_reported() {
    const TEST: &str = "many_peers_on_each_side_of_a_relay_get_all_of_it_and_the_rate_beside_direct_ones_is_reported";
    if again::part().is_some() {
        be_relay();
    }
    System::new().block_on(async {
        // 200 on each side at full size.
        let (peers, of_each) = (scale::of(200), 5_000);
        let direct = rate(peers, of_each, async |sender, receiver| {
            let endpoint = receiver.bind("127.0.0.1:0").await.unwrap();
            sender.connect(endpoint).await.unwrap();
        });
        let direct = direct.await;
        let relay = RelayProcess::start(TEST).await;
        let relayed = rate(peers, of_each, async |sender, receiver| {
            let (front, back) = (("127.0.0.1", relay.front), ("127.0.0.1", relay.back));
            receiver.connect(back).await.unwrap();
            sender.connect(front).await.unwrap();
        });
        let relayed = relayed.await;
        println!(
            "{peers} senders and {peers} receivers, 100 bytes: {direct:.0} a second in pairs, {relayed:.0} through a relay ({:.2})",
            relayed / direct
        );
    });
}

/// Two relays that pass both ways, back to back, and a peer in front of each.
async fn facing() -> ([Socket; 2], Vec<RelayHandle>) {
    let narrow = || {
        let socket = Socket::builder().link_capacity(8, 16 * 1024);
        let socket = socket.inbox_capacity(16, 16 * 1024);
        socket.outbox_capacity(8, 16 * 1024).start().unwrap()
    };
    let (mut backs, mut relays) = (Vec::new(), Vec::new());
    let mut peers = Vec::new();
    for _ in 0..2 {
        let (front, back, peer) = (narrow(), narrow(), narrow());
        let relay = Relay::new(&front, &back).both_ways().start();
        relays.push(relay.unwrap());
        let place = front.bind("127.0.0.1:0").await.unwrap();
        peer.connect(place).await.unwrap();
        within_patience("the relay", peer.wait_for_peers(1))
            .await
            .unwrap();
        backs.push(back);
        peers.push(peer);
    }
    let place = backs[0].bind("127.0.0.1:0").await.unwrap();
    backs[1].connect(place).await.unwrap();
    within_patience("each other", backs[1].wait_for_peers(1))
        .await
        .unwrap();
    (peers.try_into().unwrap_or_else(|_| panic!("two")), relays)
}

#[actix::test]
async fn two_relays_that_face_each_other_flood_each_other_and_neither_stands_still() {
    let (peers, relays) = facing().await;
    let names = ["left", "right"];
    let all = scale::of(40_000);
    let handled: Vec<_> = peers
        .iter()
        .map(|socket| {
            let handled = Rc::new(Cell::new(0_u64));
            let counted = Rc::clone(&handled);
            each(socket, move |message: Received| {
                let number: u64 = message.text().unwrap().trim().parse().unwrap();
                assert_eq!(number, counted.get());
                counted.set(number + 1);
            });
            handled
        })
        .collect();
    for (peer, name) in peers.iter().zip(names) {
        answer_each(peer, move |ask| format!("{name}: {}", **ask));
        let sender = peer.clone();
        actix::spawn(async move {
            for number in 0..all {
                sender.send(format!("{number:>100}")).await.unwrap();
            }
        });
    }
    let asking: Vec<_> = peers
        .iter()
        .zip(["right", "left"])
        .map(|(peer, other)| {
            let peer = peer.clone();
            actix::spawn(async move {
                for number in 0..scale::of(2_000) {
                    let question = format!("question {number}");
                    let ask = peer.ask(Whom::Any, &question).timeout(PATIENCE);
                    assert_eq!(ask.await.unwrap(), format!("{other}: {question}"));
                }
            })
        })
        .collect();
    for handled in &handled {
        scale::reaches("messages", all, || handled.get()).await;
    }
    for asking in asking {
        asking.await.unwrap();
    }
    for relay in relays {
        let back = relay.reverse_stats().unwrap();
        assert_eq!((relay.stats().forwarded, back.forwarded), (all, all));
        assert_eq!((relay.stats().dropped, back.dropped), Default::default());
    }
}

#[actix::test]
async fn a_peer_that_takes_no_answers_stops_neither_messages_nor_the_answers_of_others() {
    use support::raw_peer::RawPeer;
    use support::{aside, eventually};

    let front = Socket::builder()
        .link_capacity(8, 64 * 1024)
        .start()
        .unwrap();
    let back = Socket::start().unwrap();
    let relay = Relay::new(&front, &back).start().unwrap();
    let (at_front, at_back) = (front.bind("127.0.0.1:0"), back.bind("127.0.0.1:0"));
    let (at_front, at_back) = (at_front.await.unwrap(), at_back.await.unwrap());
    let to = Socket::start().unwrap();
    // It answers with much.
    answer_each(&to, |ask| ask.repeat(16 * 1024));
    let messages = Rc::new(Cell::new(0));
    let counted = Rc::clone(&messages);
    each(&to, move |_: Received| counted.set(counted.get() + 1));
    to.connect(at_back).await.unwrap();
    within_patience("the relay", to.wait_for_peers(1))
        .await
        .unwrap();

    let address = std::net::SocketAddr::from(([127, 0, 0, 1], at_front.port().unwrap()));
    let _greedy = aside(move || {
        let mut greedy = RawPeer::introduced(address, [9; 16]);
        for id in 0..1_000_u16 {
            let mut ask = b"\xa1ASK\x01\x00".to_vec();
            ask.extend_from_slice(&[9; 14]);
            ask.extend_from_slice(&id.to_be_bytes());
            ask.extend_from_slice(&60_000_u32.to_be_bytes());
            ask.extend_from_slice(b"abcd");
            // It may not be read any further, once it owes us so much.
            if !greedy.try_say(&support::raw_peer::frame(3, &ask)) {
                break;
            }
        }
        greedy
    })
    .await;
    eventually("a full way back", || relay.stats().dropped.asker_full > 0).await;
    let from = Socket::start().unwrap();
    from.connect(at_front).await.unwrap();
    within_patience("the relay", from.wait_for_peers(1))
        .await
        .unwrap();
    for round in 0..20 {
        from.send("work").await.unwrap();
        let question = format!("{round:04}");
        let ask = from.ask(Whom::Any, &question).timeout(PATIENCE);
        let answer = within_patience("the answer", ask).await.unwrap();
        assert!(answer == question.repeat(16 * 1024), "of another");
    }
    eventually("the messages", || messages.get() == 20).await;
    assert_eq!(relay.stats().dropped.unasked, 0);
    assert!(relay.stats().dropped.asker_full > 0);
}
