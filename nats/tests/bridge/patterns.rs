//! Each pattern of the socket, and what it is in NATS.

use std::time::{Duration, Instant};

use actix_aiomsg::error::{DeliveryError, ReceiptError};
use actix_aiomsg::prelude::*;
use actix_aiomsg_nats::async_nats;
use actix_aiomsg_nats::{Bridge, Inbound, Outbound, Peers, Stream, inbound_id, outbound_id};
use futures_util::StreamExt;

use crate::support::{
    PATIENCE, Server, acknowledged, assert_each_once, connected, eventually, listening, payload,
    publish, send_all, stored, take, within_patience,
};

#[actix::test]
async fn what_is_sent_at_least_once_is_acknowledged_when_jetstream_has_it_in_order() {
    let server = Server::start("").await;
    let (socket, endpoint) = listening("bridge").await;
    let orders = Stream::new("ORDERS").subject("orders.>");
    let bridge = Bridge::new(server.url())
        .outbound(Outbound::stream(orders, "orders.new"))
        .start(&socket)
        .await
        .unwrap();
    let sender = connected("sender", &endpoint).await;
    for receipt in send_all(&sender, 0..500).await {
        within_patience("an acknowledgement", receipt)
            .await
            .unwrap();
    }
    let jetstream = server.jetstream().await;
    assert_eq!(stored(&jetstream, "ORDERS").await, Vec::from_iter(0..500));
    let stats = bridge.stats();
    assert_eq!(
        (stats.stored, stats.stored_before, stats.storing),
        (500, 0, 0)
    );

    // The id is that of the message and its sender, whoever publishes it.
    let stream = jetstream.get_stream("ORDERS").await.unwrap();
    let first = stream.get_raw_message(1).await.unwrap();
    let id = first
        .headers
        .get("Nats-Msg-Id")
        .unwrap()
        .as_str()
        .to_owned();
    let (peer, _) = id.split_once('-').unwrap();
    assert_eq!(peer, sender.identity().to_string());
    let window = stream.cached_info().config.duplicate_window;
    assert_eq!(window, Duration::from_secs(600));
    bridge.stop(Duration::from_secs(5)).await;
    assert!(!bridge.is_up());
}

#[actix::test]
async fn a_message_that_comes_again_under_its_id_is_stored_once() {
    let server = Server::start("").await;
    let (socket, endpoint) = listening("bridge").await;
    let orders = Stream::new("ORDERS").subject("orders");
    let bridge = Bridge::new(server.url())
        .outbound(Outbound::stream(orders, "orders"))
        .start(&socket)
        .await
        .unwrap();
    // Twice by two sockets of one identity, as a sender that was restarted with its outbox: the bridge has forgotten the first.
    for _ in 0..2 {
        let sender = Socket::builder()
            .identity(Identity::from_name("sender"))
            .start()
            .unwrap();
        sender.connect(endpoint.clone()).await.unwrap();
        let id = MessageId::from_bytes([7; 16]);
        let sending = sender.send(payload(0)).id(id).acknowledged();
        within_patience("an acknowledgement", sending)
            .await
            .unwrap();
        sender.close().await;
    }
    let id = outbound_id((
        Identity::from_name("sender"),
        MessageId::from_bytes([7; 16]),
    ));
    let jetstream = server.jetstream().await;
    let stream = jetstream.get_stream("ORDERS").await.unwrap();
    assert_eq!(stream.cached_info().state.messages, 1);
    let first = stream.get_raw_message(1).await.unwrap();
    assert_eq!(first.headers.get("Nats-Msg-Id").unwrap().as_str(), id);
    bridge.stop(Duration::from_secs(5)).await;
}

#[actix::test]
async fn messages_of_a_stream_are_delivered_at_least_once_by_ids_that_say_where_they_stand() {
    let server = Server::start("").await;
    let (socket, endpoint) = listening("bridge").await;
    let jobs = Stream::new("JOBS").subject("jobs.>");
    let bridge = Bridge::new(server.url())
        .inbound(Inbound::stream(jobs, "workers").filter("jobs.new"))
        .start(&socket)
        .await
        .unwrap();
    let receiver = connected("receiver", &endpoint).await;
    let jetstream = server.jetstream().await;
    jetstream
        .publish("jobs.other", "ignored".into())
        .await
        .unwrap()
        .await
        .unwrap();
    for number in 0..300 {
        publish(&jetstream, "jobs.new", number).await;
    }
    let stream = jetstream.get_stream("JOBS").await.unwrap();
    let created = stream.cached_info().created.unix_timestamp_nanos();
    for number in 0..300 {
        let message = within_patience("a message", receiver.recv()).await.unwrap();
        assert_eq!(message.text().unwrap(), payload(number));
        let origin = (
            Identity::from_name("bridge"),
            inbound_id("JOBS", created, number + 2),
        );
        assert_eq!(message.origin(), Some(origin));
    }
    eventually("all to be acknowledged", || bridge.stats().delivered == 300).await;
    assert_eq!(
        (bridge.stats().delivering, bridge.stats().came_again),
        (0, 0)
    );
    bridge.stop(Duration::from_secs(5)).await;
    let mut consumer: async_nats::jetstream::consumer::PullConsumer =
        stream.get_consumer("workers").await.unwrap();
    let info = consumer.info().await.unwrap();
    assert_eq!((info.num_ack_pending, info.num_pending), (0, 0));
}

#[actix::test]
async fn a_message_that_its_peer_refuses_is_not_sent_again() {
    let server = Server::start("").await;
    let (socket, endpoint) = listening("bridge").await;
    let jobs = Stream::new("JOBS").subject("jobs");
    let bridge = Bridge::new(server.url())
        .inbound(Inbound::stream(jobs, "workers"))
        .start(&socket)
        .await
        .unwrap();
    let receiver = connected("receiver", &endpoint).await;
    let jetstream = server.jetstream().await;
    for number in 0..2 {
        publish(&jetstream, "jobs", number).await;
    }
    within_patience("a message", receiver.recv())
        .await
        .unwrap()
        .reject();
    within_patience("a message", receiver.recv())
        .await
        .unwrap()
        .ack();
    eventually("both to be settled", || {
        let stats = bridge.stats();
        (stats.terminated, stats.delivered) == (1, 1)
    })
    .await;
    bridge.stop(Duration::from_secs(5)).await;
}

#[actix::test]
async fn a_subject_reaches_all_peers_of_a_socket_that_publishes_and_what_they_send_its_subscribers()
{
    let server = Server::start("").await;
    let socket = Socket::builder()
        .send_mode(SendMode::Publish)
        .start()
        .unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let bridge = Bridge::new(server.url())
        .outbound(Outbound::subject("said"))
        .inbound(Inbound::subject("news.*"))
        .start(&socket)
        .await
        .unwrap();
    let (one, other) = (
        connected("one", &endpoint).await,
        connected("other", &endpoint).await,
    );
    within_patience("two peers", socket.wait_for_peers(2))
        .await
        .unwrap();
    let client = server.client().await;
    let mut said = client.subscribe("said").await.unwrap();
    client.flush().await.unwrap();
    for number in 0..100 {
        client
            .publish("news.today", payload(number).into())
            .await
            .unwrap();
    }
    for peer in [&one, &other] {
        for number in 0..100 {
            let message = within_patience("news", peer.recv()).await.unwrap();
            assert_eq!(message.text().unwrap(), payload(number));
        }
    }
    for number in 0..50 {
        one.send(payload(number)).await.unwrap();
    }
    acknowledged(&one, 50).await;
    for number in 0..51 {
        let message = within_patience("what was said", said.next()).await.unwrap();
        assert_eq!(message.payload, payload(number));
    }
    assert_eq!(
        (bridge.stats().forwarded, bridge.stats().published),
        (100, 51)
    );
    bridge.stop(Duration::from_secs(5)).await;
}

#[actix::test]
async fn bridges_of_one_group_share_the_messages_of_a_subject() {
    let server = Server::start("").await;
    let mut bridges = Vec::new();
    let mut receivers = Vec::new();
    for name in ["a", "b"] {
        let (socket, endpoint) = listening(name).await;
        let bridge = Bridge::new(server.url())
            .inbound(Inbound::subject("jobs").group("workers"))
            .start(&socket)
            .await
            .unwrap();
        bridges.push(bridge);
        receivers.push(connected(&format!("receiver {name}"), &endpoint).await);
    }
    let client = server.client().await;
    for number in 0..200 {
        client
            .publish("jobs", payload(number).into())
            .await
            .unwrap();
    }
    let forwarded = || bridges.iter().map(|bridge| bridge.stats().forwarded);
    eventually("all to be forwarded", || forwarded().sum::<u64>() == 200).await;
    let mut numbers = Vec::new();
    for (receiver, count) in receivers.iter().zip(forwarded()) {
        assert!(count > 20, "{count} of 200");
        numbers.extend(take(receiver, count).await.into_keys());
    }
    assert_each_once(&numbers, 200);
    for bridge in bridges {
        bridge.stop(Duration::from_secs(5)).await;
    }
}

#[actix::test]
async fn peers_on_the_list_have_a_subject_each_and_nobody_else_has() {
    let server = Server::start("").await;
    let (socket, endpoint) = listening("bridge").await;
    let tills = || Peers::named(["till-1", "till-2"]);
    let sales = Stream::new("SALES").subject("sales.*");
    let prices = Stream::new("PRICES").subject("prices.*");
    let bridge = Bridge::new(server.url())
        .outbound(Outbound::stream(sales, "sales").by_peer(tills()))
        .inbound(
            Inbound::stream(prices, "prices")
                .filter("prices")
                .by_peer(tills()),
        )
        .inbound(Inbound::subject("display").by_peer(tills()))
        .start(&socket)
        .await
        .unwrap();
    let one = connected("till-1", &endpoint).await;
    let two = connected("till-2", &endpoint).await;
    let stranger = connected("stranger", &endpoint).await;
    within_patience("three peers", socket.wait_for_peers(3))
        .await
        .unwrap();

    acknowledged(&one, 1).await;
    let refused = within_patience("a verdict", stranger.send(payload(9)).acknowledged()).await;
    let verdict = DeliveryError::Receipt(ReceiptError::Rejected);
    assert_eq!(refused.unwrap_err().to_string(), verdict.to_string());
    let jetstream = server.jetstream().await;
    let stream = jetstream.get_stream("SALES").await.unwrap();
    assert_eq!(stream.cached_info().state.messages, 1);
    let first = stream.get_raw_message(1).await.unwrap();
    assert_eq!(first.subject.as_str(), "sales.till-1");

    for (subject, number) in [
        ("prices.till-2", 2),
        ("prices.stranger", 3),
        ("prices.till-1", 4),
    ] {
        publish(&jetstream, subject, number).await;
    }
    assert_eq!(take(&two, 1).await.into_keys().next(), Some(2));
    assert_eq!(take(&one, 1).await.into_keys().next(), Some(4));
    let client = server.client().await;
    for (subject, number) in [("display.stranger", 5), ("display.till-1", 6)] {
        client
            .publish(subject, payload(number).into())
            .await
            .unwrap();
    }
    assert_eq!(take(&one, 1).await.into_keys().next(), Some(6));
    eventually("one to be dropped", || bridge.stats().dropped == 1).await;
    assert_eq!(bridge.stats().refused, 1);
    bridge.stop(Duration::from_secs(5)).await;
}

#[actix::test]
async fn a_socket_that_drains_takes_nothing_more_from_a_stream_and_waits_for_what_peers_have() {
    let server = Server::start("").await;
    let (socket, endpoint) = listening("bridge").await;
    let jobs = || Stream::new("JOBS").subject("jobs");
    let bridge = Bridge::new(server.url())
        .inbound(Inbound::stream(jobs(), "workers"))
        .window(10)
        .ack_wait(Duration::from_millis(500))
        .start(&socket)
        .await
        .unwrap();
    let receiver = connected("receiver", &endpoint).await;
    let jetstream = server.jetstream().await;
    for number in 0..50 {
        publish(&jetstream, "jobs", number).await;
    }
    let mut in_hand = Vec::new();
    for _ in 0..10 {
        in_hand.push(within_patience("a message", receiver.recv()).await.unwrap());
    }
    let draining = actix::spawn({
        let socket = socket.clone();
        async move {
            // It is waited for below.
            let _ = socket.drain(Duration::from_secs(1)).await;
        }
    });
    eventually("it to drain", || !socket.health().is_ready()).await;
    let stream = jetstream.get_stream("JOBS").await.unwrap();
    let mut consumer: async_nats::jetstream::consumer::PullConsumer =
        stream.get_consumer("workers").await.unwrap();
    // Longer than JetStream waits before it sends again, which it is kept from.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    drop(in_hand);
    eventually("those in hand to be acknowledged", || {
        bridge.stats().delivered == 10
    })
    .await;
    within_patience("the drain", draining).await.unwrap();
    within_patience("the bridge to end", bridge.ended()).await;
    assert_eq!(bridge.stats().came_again, 0);
    // The acknowledgements may be on their way.
    let deadline = Instant::now() + PATIENCE;
    while consumer.info().await.unwrap().num_ack_pending > 0 {
        assert!(Instant::now() < deadline, "{:?}", consumer.cached_info());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(consumer.cached_info().num_pending, 40);
}

#[actix::test]
async fn a_bridge_without_a_peer_takes_nothing_from_a_stream_that_another_bridge_can_send() {
    let server = Server::start("").await;
    let mut bridges = Vec::new();
    let mut endpoints = Vec::new();
    let jetstream = server.jetstream().await;
    for name in ["a", "b"] {
        let (socket, endpoint) = listening(name).await;
        let jobs = Stream::new("JOBS").subject("jobs.*");
        let tills = Peers::named(["till"]);
        let bridge = Bridge::new(server.url())
            .inbound(Inbound::stream(jobs.clone(), "workers").filter("jobs.any"))
            .inbound(Inbound::stream(jobs, "each").filter("jobs").by_peer(tills))
            .start(&socket)
            .await
            .unwrap();
        if bridges.is_empty() {
            for number in 0..600 {
                publish(&jetstream, "jobs.any", number).await;
            }
            for number in 600..610 {
                publish(&jetstream, "jobs.till", number).await;
            }
            // As an older bridge would have made it: the next one brings it to its settings.
            let config = async_nats::jetstream::consumer::pull::Config {
                durable_name: Some("workers".to_owned()),
                filter_subject: "jobs.any".to_owned(),
                max_ack_pending: 7,
                ..Default::default()
            };
            let stream = jetstream.get_stream("JOBS").await.unwrap();
            stream.create_consumer(config).await.unwrap();
        }
        bridges.push(bridge);
        endpoints.push(endpoint);
    }
    let stream = jetstream.get_stream("JOBS").await.unwrap();
    let info = stream.consumer_info("workers").await.unwrap();
    assert_eq!(info.config.max_ack_pending, -1);
    let stranger = connected("stranger", &endpoints[1]).await;
    let numbers = Vec::from_iter(take(&stranger, 600).await.into_keys());
    assert_eq!(numbers, Vec::from_iter(0..600));
    // The first bridge has a peer now, and not the one that is named.
    let other = connected("other", &endpoints[0]).await;
    let till = connected("till", &endpoints[1]).await;
    let mut numbers = Vec::new();
    while numbers.len() < 10 {
        let message = within_patience("a message", till.recv()).await.unwrap();
        numbers.push(crate::support::number(message.payload()));
    }
    assert_eq!(numbers, Vec::from_iter(600..610));
    assert_eq!(other.stats().received, 0);
    let stats = bridges[0].stats();
    assert_eq!(
        (stats.delivered, stats.delivering, stats.returned),
        (0, 0, 0)
    );
    for bridge in bridges {
        bridge.stop(Duration::from_secs(5)).await;
    }
}
