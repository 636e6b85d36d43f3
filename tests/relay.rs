//! Relays: what is passed on, what returns, what is refused, and what a relay tells of itself.

mod support;

use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::error::{AskError, ReceiptError, SendError};
use actix_aiomsg::prelude::*;
use actix_aiomsg::relay::{Relay, RelayDrop, RelayError, RelayEvent, RelayHandle};
use actix_aiomsg::testing::Probe;
use bytes::Bytes;
use support::actors::{answer_each, collect};
use support::each::each;
use support::raw_peer::RawPeer;
use support::{aside, eventually, within_patience};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// A relay whose two sockets listen.
struct Place {
    relay: RelayHandle,
    front: Endpoint,
    back: Endpoint,
    sockets: (Socket, Socket),
}

impl Place {
    async fn new() -> Self {
        Self::with(Socket::builder(), |relay| relay).await
    }

    async fn with(back: SocketBuilder, relay: impl FnOnce(Relay) -> Relay) -> Self {
        Self::of(Socket::builder().start().unwrap(), back, relay).await
    }

    async fn of(front: Socket, back: SocketBuilder, relay: impl FnOnce(Relay) -> Relay) -> Self {
        let back = back.start().unwrap();
        let relay = relay(Relay::new(&front, &back)).start().unwrap();
        Self {
            relay,
            front: front.bind("tcp://127.0.0.1:0").await.unwrap(),
            back: back.bind("tcp://127.0.0.1:0").await.unwrap(),
            sockets: (front, back),
        }
    }

    async fn peer(&self, endpoint: &Endpoint) -> Socket {
        let socket = Socket::start().unwrap();
        socket.connect(endpoint.clone()).await.unwrap();
        within_patience("the relay", socket.wait_for_peers(1))
            .await
            .unwrap();
        socket
    }

    async fn at_front(&self) -> Socket {
        self.peer(&self.front).await
    }

    async fn at_back(&self) -> Socket {
        self.peer(&self.back).await
    }
}

/// Answers each ask by its own text in capitals.
fn loud(socket: &Socket) {
    answer_each(socket, |ask| ask.to_uppercase());
}

/// Takes asks, and answers none.
struct Mute(WeakSocket);

impl Actor for Mute {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.serve::<String>(ctx);
    }
}

impl Handler<Ask<String>> for Mute {
    type Result = ResponseFuture<Answer<String>>;

    fn handle(&mut self, ask: Ask<String>, _: &mut Self::Context) -> Self::Result {
        let cancelled = ask.cancelled();
        Box::pin(async move {
            cancelled.await;
            Err(AskFailure::new("cancelled"))
        })
    }
}

/// The envelope of an answer, or of something else, by hand.
fn envelope(kind: u8, id: [u8; 16], body: &[u8]) -> Vec<u8> {
    [b"\xa1ASK", &[kind, 0][..], &id, &[0; 4], body].concat()
}

const ASK: u8 = 1;
const REPLY: u8 = 2;
const SERVICE_ASK: u8 = 5;

fn address(endpoint: &Endpoint) -> std::net::SocketAddr {
    ([127, 0, 0, 1], endpoint.port().unwrap()).into()
}

#[actix::test]
async fn messages_go_on_as_they_are_and_in_order() {
    let place = Place::new().await;
    let to = place.at_back().await;
    let mut received = collect(&to);
    let from = place.at_front().await;
    let expected: Vec<_> = (0..2_000)
        .map(|n| format!("topic {n} \u{0} {}", "x".repeat(n % 97)))
        .collect();
    for message in &expected {
        from.send(message.clone()).await.unwrap();
    }
    assert_eq!(received.payloads(expected.len()).await, expected);
    assert_eq!(place.relay.stats().forwarded, 2_000);
}

#[actix::test]
async fn messages_that_wait_for_room_or_for_a_peer_keep_their_order() {
    let narrow = Socket::builder()
        .link_capacity(4, 4096)
        .outbox_capacity(4, 4096)
        .inbox_capacity(16, 64 * 1024);
    let place = Place::with(narrow, |relay| relay).await;
    let from = place.at_front().await;
    for n in 0..500 {
        let guarantee = match n % 3 {
            0 => DeliveryGuarantee::AtLeastOnce,
            _ => DeliveryGuarantee::AtMostOnce,
        };
        from.send(n.to_string()).guarantee(guarantee).await.unwrap();
    }
    let to = place.at_back().await;
    let mut received = collect(&to);
    let expected: Vec<_> = (0..500).map(|n| n.to_string()).collect();
    assert_eq!(received.payloads(500).await, expected);
}

#[actix::test]
async fn the_front_acknowledges_when_the_back_has_been_acknowledged() {
    let place = Place::new().await;
    let to = place.at_back().await;
    let gate = Rc::new(Semaphore::new(0));
    let inside = Rc::new(std::cell::Cell::new(0));
    each(&to, {
        let (gate, inside) = (Rc::clone(&gate), Rc::clone(&inside));
        move |_: Received| -> ResponseFuture<()> {
            let gate = Rc::clone(&gate);
            inside.set(inside.get() + 1);
            Box::pin(async move { gate.acquire().await.unwrap().forget() })
        }
    });
    let from = place.at_front().await;
    let mut receipt = from.send("work").receipt().await.unwrap();
    eventually("the handler behind the relay", || inside.get() == 1).await;
    let early = tokio::time::timeout(Duration::from_millis(100), &mut receipt).await;
    assert!(early.is_err(), "acknowledged before it was handled");
    gate.add_permits(1);
    within_patience("the receipt", receipt).await.unwrap();
}

#[actix::test]
async fn at_most_once_stays_that_unless_the_back_itself_sends_at_least_once() {
    for at_the_back in [
        DeliveryGuarantee::AtMostOnce,
        DeliveryGuarantee::AtLeastOnce,
    ] {
        let back = Socket::builder().delivery_guarantee(at_the_back);
        let place = Place::with(back, |relay| relay).await;
        let (to, from) = (place.at_back().await, place.at_front().await);
        for at_the_front in [
            DeliveryGuarantee::AtMostOnce,
            DeliveryGuarantee::AtLeastOnce,
        ] {
            from.send("news").guarantee(at_the_front).await.unwrap();
            let news = within_patience("the news", to.recv()).await.unwrap();
            let is_stronger = [at_the_front, at_the_back].contains(&DeliveryGuarantee::AtLeastOnce);
            assert_eq!(
                news.wants_acknowledgement(),
                is_stronger,
                "{at_the_front:?} at the front, {at_the_back:?} at the back"
            );
        }
    }
}

#[actix::test]
async fn where_the_back_publishes_the_front_acknowledges_what_is_queued_for_all() {
    let back = Socket::builder().send_mode(SendMode::Publish);
    let place = Place::with(back, |relay| relay).await;
    let (one, two) = (place.at_back().await, place.at_back().await);
    place.sockets.1.wait_for_peers(2).await.unwrap();
    let from = place.at_front().await;
    within_patience("the receipt", from.send("news").acknowledged())
        .await
        .unwrap();
    for socket in [one, two] {
        let news = within_patience("the news", socket.recv()).await.unwrap();
        assert_eq!(news.payload(), "news");
    }
}

#[actix::test]
async fn what_the_back_refuses_for_good_is_refused_at_the_front() {
    let (events, mut told) = Probe::<RelayEvent>::recipient();
    let place = Place::with(Socket::builder(), |relay| relay.events(events)).await;
    let to = place.at_back().await;
    each(&to, |message: Received| message.reject());
    let from = place.at_front().await;
    let sent = within_patience("the refusal", from.send("no").receipt());
    let error = sent.await.unwrap().await.unwrap_err();
    assert_eq!(error, ReceiptError::Rejected);
    assert_eq!(place.relay.stats().dropped.refused, 1);
    let dropped = told.find(|event| match event {
        RelayEvent::Dropped { peer, reason, .. } => Some((peer, reason)),
        _ => None,
    });
    assert_eq!(
        dropped.await.expect("the drop"),
        (from.identity(), RelayDrop::Refused)
    );
}

#[actix::test]
async fn what_is_too_large_for_the_back_is_refused_at_the_front() {
    let small = Socket::builder().max_frame_bytes(1024);
    let place = Place::with(small, |relay| relay).await;
    let _to = place.at_back().await;
    let from = place.at_front().await;
    let receipt = from.send(vec![0; 4096]).receipt().await.unwrap();
    let error = within_patience("the refusal", receipt).await.unwrap_err();
    assert_eq!(error, ReceiptError::Rejected);
    let asked = from.ask(Whom::Any, &Bytes::from(vec![0; 4096])).await;
    let AskError::Remote(text) = asked.unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(text, "the ask is too large for the relay");
    assert_eq!(place.relay.stats().dropped.too_large, 2);
}

#[actix::test]
async fn answers_return_to_whoever_asked() {
    let place = Place::new().await;
    for _ in 0..3 {
        let to = place.at_back().await;
        loud(&to);
        std::mem::forget(to);
    }
    place.sockets.1.wait_for_peers(3).await.unwrap();
    let mut asked = Vec::new();
    for peer in 0..4 {
        let from = place.at_front().await;
        for n in 0..100 {
            let (from, question) = (from.clone(), format!("peer {peer}, {n}"));
            asked.push(actix::spawn(async move {
                let answer = from.ask(Whom::Any, &question).await.unwrap();
                assert_eq!(answer, question.to_uppercase());
            }));
        }
    }
    for answer in asked {
        within_patience("an answer", answer).await.unwrap();
    }
    let stats = place.relay.stats();
    assert_eq!((stats.asks, stats.returned, stats.open_asks), (400, 400, 0));
    assert_eq!(stats.dropped, Default::default());
}

#[actix::test]
async fn an_ask_waits_for_somebody_at_the_back() {
    let place = Place::new().await;
    let from = place.at_front().await;
    let asking = actix::spawn({
        let from = from.clone();
        async move {
            from.ask(Whom::Any, &"hello".to_owned())
                .timeout(support::PATIENCE)
                .await
        }
    });
    eventually("the ask", || place.relay.stats().waiting_asks == 1).await;
    let to = place.at_back().await;
    loud(&to);
    assert_eq!(asking.await.unwrap().unwrap(), "HELLO");
    assert_eq!(place.relay.stats().waiting_asks, 0);
}

/// Asks something that may wait for long.
fn ask_at(from: &Socket, question: impl Into<String>) -> JoinHandle<Result<String, AskError>> {
    let (from, question) = (from.clone(), question.into());
    actix::spawn(async move {
        let ask = from.ask(Whom::Any, &question);
        ask.timeout(support::PATIENCE).await
    })
}

#[actix::test]
async fn an_ask_that_waits_for_somebody_ends_with_its_asker() {
    let place = Place::new().await;
    let waiting = || place.relay.stats().waiting_asks;
    let (from, going) = (place.at_front().await, place.at_front().await);
    let asking = ask_at(&from, "given up");
    let of_one_that_goes = ask_at(&going, "deserted");
    eventually("both asks", || waiting() == 2).await;
    asking.abort();
    eventually("the cancel", || waiting() == 1).await;
    going.close().await;
    of_one_that_goes.await.unwrap().unwrap_err();
    eventually("the end of the other asker", || waiting() == 0).await;

    let to = place.at_back().await;
    let mut heard = collect(&to);
    from.send("the first that is heard").await.unwrap();
    assert_eq!(heard.payloads(1).await, ["the first that is heard"]);
    assert_eq!(place.relay.stats().asks, 0);
}

/// One ask after another goes to a peer that does not read, until one is open that waits for room.
async fn ask_until_one_waits(
    place: &Place,
    from: &Socket,
) -> Vec<JoinHandle<Result<String, AskError>>> {
    let stats = || place.relay.stats();
    let mut asking = Vec::new();
    while stats().open_asks as u64 == stats().asks {
        asking.push(ask_at(from, "x".repeat(100_000)));
        let all = asking.len();
        eventually("the ask", || stats().open_asks == all).await;
    }
    asking
}

#[actix::test]
async fn an_ask_that_waits_for_room_and_is_given_up_is_not_passed_on() {
    let place = Place::new().await;
    let back = address(&place.back);
    let mut to = aside(move || RawPeer::introduced(back, [1; 16])).await;
    place.sockets.1.wait_for_peers(1).await.unwrap();
    let from = place.at_front().await;
    let stats = || place.relay.stats();
    let asking = ask_until_one_waits(&place, &from).await;
    let passed_on = stats().asks;
    assert_eq!(passed_on + 1, asking.len() as u64);
    for asking in &asking {
        asking.abort();
    }
    eventually("the cancels", || stats().open_asks == 0).await;
    from.send("the end").await.unwrap();
    let asks = aside(move || {
        let mut asks = 0;
        loop {
            let payload = to.expect_data();
            if payload == b"the end" {
                return asks;
            }
            asks += u64::from(payload[4] == ASK);
        }
    });
    assert_eq!((asks.await, stats().asks), (passed_on, passed_on));
}

#[actix::test]
async fn an_ask_that_waits_for_room_at_a_peer_that_goes_for_good_is_asked_of_nobody_else() {
    let back = Socket::builder()
        .outbox_capacity(1, 1)
        .absence_grace(Duration::from_millis(100));
    let place = Place::with(back, |relay| relay).await;
    let back = address(&place.back);
    let peer = aside(move || RawPeer::introduced(back, [1; 16])).await;
    place.sockets.1.wait_for_peers(1).await.unwrap();
    let from = place.at_front().await;
    let mut asking = ask_until_one_waits(&place, &from).await;
    // As many again: there is not room for all of them where they are held for the peer.
    let all = 2 * asking.len();
    asking.extend((asking.len()..all).map(|_| ask_at(&from, "x".repeat(100_000))));
    eventually("the asks", || place.relay.stats().open_asks == all).await;
    let to = place.at_back().await;
    let mut heard = collect(&to);
    place.sockets.1.wait_for_peers(2).await.unwrap();
    drop(peer);
    for asking in asking {
        let told = asking.await.unwrap().unwrap_err();
        assert!(matches!(told, AskError::Remote(_)), "{told}");
    }
    let gone = Identity::from([1; 16]);
    eventually("the end of the grace", || {
        let sent = place.sockets.1.try_send_to(gone, "anybody?");
        matches!(sent, Err(SendError::UnknownPeer { .. }))
    })
    .await;
    from.send("the first that is heard").await.unwrap();
    assert_eq!(heard.payloads(1).await, ["the first that is heard"]);
}

#[actix::test]
async fn an_ask_that_is_given_up_is_cancelled_behind_the_relay() {
    let place = Place::new().await;
    let to = place.at_back().await;
    Mute(to.downgrade()).start();
    let from = place.at_front().await;
    let asking = actix::spawn({
        let from = from.clone();
        async move {
            from.ask(Whom::Any, &"hello".to_owned())
                .timeout(support::PATIENCE)
                .await
        }
    });
    eventually("the ask", || place.relay.stats().open_asks == 1).await;
    asking.abort();
    eventually("the cancel", || place.relay.stats().open_asks == 0).await;
    // The handler behind the relay has seen it, and its answer comes too late.
    eventually("the answer", || place.relay.stats().dropped.unasked == 1).await;
}

#[actix::test]
async fn whoever_asked_a_peer_that_goes_is_told_at_once() {
    let place = Place::new().await;
    let to = place.at_back().await;
    Mute(to.downgrade()).start();
    let from = place.at_front().await;
    let asking = actix::spawn({
        let from = from.clone();
        async move {
            from.ask(Whom::Any, &"hello".to_owned())
                .timeout(support::PATIENCE)
                .await
        }
    });
    eventually("the ask", || place.relay.stats().open_asks == 1).await;
    to.disconnect(place.sockets.1.identity()).await.unwrap();
    let AskError::Remote(text) = asking.await.unwrap().unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(text, "the peer behind the relay is gone");
    assert_eq!(place.relay.stats().open_asks, 0);
}

#[actix::test]
async fn the_asks_of_a_peer_that_goes_are_cancelled() {
    let place = Place::new().await;
    let to = place.at_back().await;
    Mute(to.downgrade()).start();
    let from = place.at_front().await;
    let asking = actix::spawn({
        let from = from.clone();
        async move { from.ask(Whom::Any, &"hello".to_owned()).await }
    });
    eventually("the ask", || place.relay.stats().open_asks == 1).await;
    from.close().await;
    asking.await.unwrap().unwrap_err();
    eventually("the cancel", || place.relay.stats().open_asks == 0).await;
    eventually("the answer", || place.relay.stats().dropped.unasked == 1).await;
}

#[actix::test]
async fn asks_above_the_bound_are_busy_and_their_time_makes_room() {
    let place = Place::with(Socket::builder(), |relay| relay.max_open_asks(2)).await;
    let to = place.at_back().await;
    let mut asks = collect(&to);
    let front = address(&place.front);
    let mut from = aside(move || RawPeer::introduced(front, [1; 16])).await;
    let ask = |id: u8, millis: u32| {
        let mut ask = envelope(ASK, [id; 16], b"question");
        ask[22..26].copy_from_slice(&millis.to_be_bytes());
        ask
    };
    let (short, long) = (ask(1, 200), ask(2, 60_000));
    let third = ask(3, 60_000);
    let mut from = aside(move || {
        from.data(&short);
        from.data(&long);
        from.data(&third);
        let refusal = from.expect_data();
        assert_eq!(refusal[..22], envelope(7, [3; 16], &[])[..22]);
        assert_eq!(refusal[26], 4, "busy");
        from
    })
    .await;
    assert_eq!(asks.payloads(2).await.len(), 2);
    assert_eq!(place.relay.stats().dropped.asks_full, 1);
    eventually("the end of an ask", || place.relay.stats().unanswered == 1).await;
    let fourth = ask(4, 60_000);
    let _from = aside(move || {
        from.data(&fourth);
        from
    })
    .await;
    asks.next().await;
    assert_eq!(place.relay.stats().open_asks, 2);
}

#[actix::test]
async fn an_answer_to_somebody_elses_ask_reaches_nobody() {
    let (events, mut told) = Probe::<RelayEvent>::recipient();
    let place = Place::with(Socket::builder(), |relay| relay.events(events)).await;
    // The honest peer answers late; the other one knows the id, and answers first.
    let back = address(&place.back);
    let mut honest = aside(move || RawPeer::introduced(back, [1; 16])).await;
    place.sockets.1.wait_for_peers(1).await.unwrap();
    let from = place.at_front().await;
    let asking = actix::spawn({
        let from = from.clone();
        async move {
            from.ask(Whom::Any, &"hello".to_owned())
                .timeout(support::PATIENCE)
                .await
        }
    });
    let (mut honest, id) = aside(move || {
        let ask = honest.expect_data();
        let id: [u8; 16] = ask[6..22].try_into().unwrap();
        (honest, id)
    })
    .await;
    let mut hostile = aside(move || {
        let mut hostile = RawPeer::introduced(back, [2; 16]);
        hostile.data(&envelope(REPLY, id, b"false"));
        hostile.data(&envelope(3, id, b"false failure"));
        hostile
    })
    .await;
    eventually("the false answers", || {
        place.relay.stats().dropped.unasked == 2
    })
    .await;
    let dropped = told.find(|event| match event {
        RelayEvent::Dropped { peer, reason, .. } => Some((peer, reason)),
        _ => None,
    });
    assert_eq!(
        dropped.await.expect("the drop"),
        (Identity::from_bytes([2; 16]), RelayDrop::Unasked)
    );
    // What it is sent itself still comes, and the way forward has not stopped.
    from.send("one").await.unwrap();
    from.send("two").await.unwrap();
    aside(move || {
        hostile.expect_data();
        honest.expect_data();
        honest.data(&envelope(REPLY, id, b"true"));
        // A second one is too many.
        honest.data(&envelope(REPLY, id, b"true again"));
        (hostile, honest)
    })
    .await;
    assert_eq!(asking.await.unwrap().unwrap(), "true");
    eventually("the second answer", || {
        place.relay.stats().dropped.unasked == 3
    })
    .await;
    assert_eq!(place.relay.stats().returned, 1);
}

#[actix::test]
async fn nobody_gets_the_answers_of_another_by_asking_with_its_id() {
    let place = Place::new().await;
    let back = address(&place.back);
    let mut to = aside(move || RawPeer::introduced(back, [9; 16])).await;
    place.sockets.1.wait_for_peers(1).await.unwrap();
    let front = address(&place.front);
    let (mut honest, mut thief) = aside(move || {
        let honest = RawPeer::introduced(front, [1; 16]);
        (honest, RawPeer::introduced(front, [2; 16]))
    })
    .await;
    aside(move || {
        let ask = envelope(ASK, [7; 16], b"mine");
        honest.data(&ask);
        assert_eq!(to.expect_data(), ask);
        thief.data(&envelope(ASK, [7; 16], b"thine"));
        assert_eq!(thief.expect_data()[26], 4, "busy");
        to.data(&envelope(REPLY, [7; 16], b"for the first"));
        assert_eq!(honest.expect_data()[26..], *b"for the first");
        assert!(thief.is_silent_for(Duration::from_millis(50)));
    })
    .await;
    assert_eq!(place.relay.stats().dropped.asked_twice, 1);
}

#[actix::test]
async fn only_answers_come_from_the_back_and_services_go_nowhere() {
    let place = Place::new().await;
    let to = place.at_back().await;
    let from = place.at_front().await;
    let receipt = to.send("upstream").receipt().await.unwrap();
    let error = within_patience("the refusal", receipt).await.unwrap_err();
    assert_eq!(error, ReceiptError::Rejected);
    assert_eq!(place.relay.stats().dropped.not_an_answer, 1);
    // An ask of a service, by a peer that was told of none.
    let front = address(&place.front);
    aside(move || {
        let mut peer = RawPeer::introduced(front, [1; 16]);
        let body = [&[5][..], b"stock", &[0], b"order"].concat();
        peer.data(&envelope(SERVICE_ASK, [3; 16], &body));
        let refusal = peer.expect_data();
        assert_eq!(
            (refusal[4], refusal[26]),
            (7, 6),
            "there is no such service"
        );
    })
    .await;
    assert_eq!(place.relay.stats().dropped.service, 1);
    // And nothing of all that is in the way.
    from.send("down").await.unwrap();
    assert_eq!(to.recv().await.unwrap().payload(), "down");
}

#[actix::test]
async fn a_relay_of_both_ways_passes_messages_and_asks_on_in_each() {
    let place = Place::with(Socket::builder(), Relay::both_ways).await;
    let (one, other) = (place.at_front().await, place.at_back().await);
    loud(&one);
    loud(&other);
    for (from, to) in [(&one, &other), (&other, &one)] {
        let answer = from.ask(Whom::Any, &"hello".to_owned()).await;
        assert_eq!(answer.unwrap(), "HELLO");
        let mut received = collect(to);
        within_patience("the receipt", from.send("message").acknowledged())
            .await
            .unwrap();
        assert_eq!(received.next().await.1, "message");
    }
    let (there, back) = (place.relay.stats(), place.relay.reverse_stats().unwrap());
    assert_eq!((there.asks, there.forwarded), (1, 1));
    assert_eq!((back.asks, back.forwarded), (1, 1));
}

#[actix::test]
async fn a_relay_that_cannot_be_meant_is_refused() {
    let (front, back) = (Socket::start().unwrap(), Socket::start().unwrap());
    let error = Relay::new(&front, &front.clone()).start().unwrap_err();
    assert!(matches!(error, RelayError::SameSocket), "{error}");
    assert!(error.to_string().contains("start two sockets"), "{error}");
    let relay = Relay::new(&front, &back).start().unwrap();
    let error = Relay::new(&front, &back).start().unwrap_err();
    assert!(matches!(error, RelayError::SecondRelay), "{error}");
    // A third socket is no second relay.
    let third = Socket::start().unwrap();
    Relay::new(&front, &third).start().unwrap();
    third.close().await;
    let error = Relay::new(&front, &third).start().unwrap_err();
    assert!(matches!(error, RelayError::Closed), "{error}");
    drop(relay);
}

#[actix::test]
async fn a_relay_ends_when_one_of_its_sockets_is_closed() {
    let place = Place::new().await;
    assert_eq!(place.relay.inspect().children.len(), 2);
    place.sockets.0.close().await;
    eventually("the end of the relay", || {
        place.relay.inspect().children.is_empty()
    })
    .await;
}

#[actix::test]
async fn metadata_goes_along_with_messages_and_asks() {
    let reading = || Socket::builder().read_metadata(true).start().unwrap();
    let place = Place::of(reading(), Socket::builder(), |relay| relay).await;
    let to = reading();
    to.connect(place.back.clone()).await.unwrap();
    within_patience("the relay", to.wait_for_peers(1))
        .await
        .unwrap();
    let from = place.at_front().await;
    for guarantee in [
        DeliveryGuarantee::AtMostOnce,
        DeliveryGuarantee::AtLeastOnce,
    ] {
        let message = from.send("work").header("tenant", "a").guarantee(guarantee);
        message.await.unwrap();
        let message = within_patience("the message", to.recv()).await.unwrap();
        assert_eq!(message.header("tenant"), Some("a"));
        assert_eq!(message.payload(), "work");
    }
    answer_each(&to, |ask| {
        ask.header("tenant").unwrap_or("nobody").to_owned()
    });
    let ask = from
        .ask(Whom::Any, &"whose".to_owned())
        .header("tenant", "b");
    let answer = within_patience("the answer", ask.timeout(support::PATIENCE)).await;
    assert_eq!(answer.unwrap(), "b");
}

#[actix::test]
async fn a_relay_that_may_take_for_ever_to_close_closes_when_it_has_delivered_all() {
    let place = Place::new().await;
    let to = place.at_back().await;
    let from = place.at_front().await;
    from.send("work").await.unwrap();
    let message = within_patience("the message", to.recv()).await.unwrap();
    assert_eq!(message.payload(), "work");
    let closing = place.relay.close_within(Duration::MAX);
    let report = within_patience("the end", closing).await;
    assert_eq!((report.front.unfinished, report.back.unsent), (0, 0));
}
