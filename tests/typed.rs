//! Messages of several types on one socket: who gets which, and what becomes of the rest.
#![cfg(feature = "json")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::testing::{Probe, TestKit, pause_time};
use actix_aiomsg::{
    error::{DecodeError, EncodeError, ReceiptError, SendError},
    payload::{Format, Serde},
    prelude::*,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use support::{eventually, within_patience};
use tokio::sync::mpsc;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    item: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stock {
    item: String,
    count: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Done {
    id: u64,
}

payload!(Order = "order ", Stock = "stock ", Done);

/// An actor with several types, which tells the test what it handles.
struct Shop {
    socket: WeakSocket,
    told: mpsc::UnboundedSender<String>,
}

impl Actor for Shop {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.socket.subscribe::<Order>(ctx);
        self.socket.subscribe::<Stock>(ctx);
    }
}

impl Handler<Received<Order>> for Shop {
    type Result = ();

    fn handle(&mut self, order: Received<Order>, _: &mut Context<Self>) {
        self.told.send(format!("{:?}", order.payload())).unwrap();
        if order.item == "nothing" {
            order.reject();
        } else {
            order.reply(&Done { id: order.id }).unwrap();
        }
    }
}

impl Handler<Received<Stock>> for Shop {
    type Result = ();

    fn handle(&mut self, stock: Received<Stock>, _: &mut Context<Self>) {
        self.told
            .send(format!("{:?}", stock.into_payload()))
            .unwrap();
    }
}

struct Stage {
    client: Socket,
    server: Socket,
    letters: Probe<DeadLetter>,
}

/// Two connected sockets by this codec, and the dead letters of the one that is bound.
async fn stage(codec: Codec) -> Stage {
    let (recipient, letters) = Probe::recipient();
    let kit = TestKit::new();
    let server = Socket::builder().codec(codec).on_dead_letter(recipient);
    let server = server.start().unwrap();
    let client = Socket::builder().codec(codec).start().unwrap();
    kit.connect(&client, &server).await;
    Stage {
        client,
        server,
        letters,
    }
}

fn shop(socket: &Socket) -> mpsc::UnboundedReceiver<String> {
    let (told, telling) = mpsc::unbounded_channel();
    let socket = socket.downgrade();
    Shop { socket, told }.start();
    telling
}

async fn next(telling: &mut mpsc::UnboundedReceiver<String>) -> String {
    within_patience("a message", telling.recv()).await.unwrap()
}

fn order(id: u64, item: &str) -> Order {
    let item = item.to_owned();
    Order { id, item }
}

#[actix::test]
async fn each_type_goes_to_its_own_handler_by_every_codec() {
    for codec in [
        Codec::Json,
        #[cfg(feature = "messagepack")]
        Codec::MessagePack,
        #[cfg(feature = "postcard")]
        Codec::Postcard,
    ] {
        let Stage {
            client,
            server,
            mut letters,
        } = stage(codec).await;
        let mut told = shop(&server);
        let stock = Stock {
            item: "tea".to_owned(),
            count: 3,
        };
        client.send_typed(&order(1, "tea")).await.unwrap();
        client.send_typed(&stock).await.unwrap();
        assert_eq!(next(&mut told).await, format!("{:?}", order(1, "tea")));
        assert_eq!(next(&mut told).await, format!("{stock:?}"));
        let answer = client.recv().await.unwrap();
        assert_eq!(answer.decode::<Done>(), Ok(Done { id: 1 }), "{codec:?}");
        assert!(letters.rest().is_empty());
    }
}

#[actix::test]
async fn what_cannot_be_decoded_is_a_dead_letter_with_the_error_and_is_refused() {
    let Stage {
        client,
        server,
        mut letters,
    } = stage(Codec::Json).await;
    let mut told = shop(&server);
    let receipt = client.send("order {\"id\":1}").receipt().await.unwrap();
    let letter = letters.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Undecodable);
    assert_eq!(letter.payload, "order {\"id\":1}");
    assert!(letter.detail.unwrap().contains("missing field `item`"));
    assert_eq!(receipt.await, Err(ReceiptError::Undecodable));
    client.send("order nonsense").await.unwrap();
    assert_eq!(
        letters.next().await.unwrap().reason,
        DeadLetterReason::Undecodable
    );
    // The handler goes on.
    client.send_typed(&order(2, "tea")).await.unwrap();
    assert_eq!(next(&mut told).await, format!("{:?}", order(2, "tea")));
}

#[actix::test]
async fn what_no_subscription_wants_is_a_dead_letter_and_is_refused() {
    let Stage {
        client,
        server,
        mut letters,
    } = stage(Codec::Json).await;
    let _told = shop(&server);
    let receipt = client.send("weather fine").receipt().await.unwrap();
    let letter = letters.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Unwanted);
    assert_eq!(letter.payload, "weather fine");
    assert_eq!(receipt.await, Err(ReceiptError::Unwanted));
}

/// An actor of one type, with a filter, which tells the test what it handles.
struct Clerk<T> {
    socket: WeakSocket,
    filter: Filter,
    told: mpsc::UnboundedSender<T>,
}

impl<T: Payload + Unpin> Actor for Clerk<T> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let options = SubscribeOptions::default().filter(self.filter.clone());
        self.socket.subscribe_with::<T>(ctx, options);
    }
}

impl<T: Payload + Unpin> Handler<Received<T>> for Clerk<T> {
    type Result = ();

    fn handle(&mut self, message: Received<T>, _: &mut Context<Self>) {
        self.told.send(message.into_payload()).unwrap();
    }
}

async fn clerk<T: Payload + Unpin>(socket: &Socket, filter: Filter) -> mpsc::UnboundedReceiver<T> {
    let (told, telling) = mpsc::unbounded_channel();
    let clerk = Clerk {
        socket: socket.downgrade(),
        filter,
        told,
    };
    let before = socket.subscriptions().len();
    clerk.start();
    eventually("it to subscribe", || socket.subscriptions().len() > before).await;
    telling
}

#[actix::test]
async fn what_nobody_wants_waits_for_those_who_subscribe_within_a_second() {
    pause_time();
    let Stage {
        client,
        server,
        mut letters,
    } = stage(Codec::Json).await;
    let mut orders = clerk::<Order>(&server, Filter::all()).await;
    let stock = Stock {
        item: "tea".to_owned(),
        count: 3,
    };
    client.send_typed(&stock).await.unwrap();
    client.send_typed(&order(1, "tea")).await.unwrap();
    assert_eq!(
        within_patience("a message", orders.recv()).await,
        Some(order(1, "tea"))
    );
    let mut stocks = clerk::<Stock>(&server, Filter::all()).await;
    assert_eq!(
        within_patience("a message", stocks.recv()).await,
        Some(stock)
    );
    assert!(letters.rest().is_empty());

    tokio::time::sleep(Duration::from_secs(1)).await;
    client.send("weather fine").await.unwrap();
    client.send_typed(&order(2, "tea")).await.unwrap();
    assert_eq!(
        within_patience("a message", orders.recv()).await,
        Some(order(2, "tea"))
    );
    let letter = letters.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Unwanted);
    assert_eq!(letter.payload, "weather fine");
}

#[actix::test]
async fn what_a_filter_does_not_take_is_not_decoded() {
    let Stage {
        client,
        server,
        mut letters,
    } = stage(Codec::Json).await;
    let complete = Filter::matching("complete", |payload: &[u8]| payload.ends_with(b"}"));
    let mut orders = clerk::<Order>(&server, complete).await;
    client.send("order {\"id\":1").await.unwrap();
    client.send("order {\"id\":2}").await.unwrap();
    client.send_typed(&order(3, "tea")).await.unwrap();
    let next = within_patience("an order", orders.recv()).await;
    assert_eq!(next, Some(order(3, "tea")));
    let mut reasons = BTreeMap::new();
    for _ in 0..2 {
        let letter = letters.next().await.unwrap();
        reasons.insert(letter.payload, letter.reason);
    }
    let expected = [
        ("order {\"id\":1", DeadLetterReason::Unwanted),
        ("order {\"id\":2}", DeadLetterReason::Undecodable),
    ];
    let expected = expected.map(|(payload, reason)| (payload.into(), reason));
    assert_eq!(reasons, BTreeMap::from(expected));
}

#[actix::test]
async fn what_came_before_anybody_subscribed_goes_to_the_type_that_it_is_of() {
    let Stage {
        client,
        server,
        mut letters,
    } = stage(Codec::Json).await;
    for id in 0..3 {
        client.send_typed(&order(id, "tea")).await.unwrap();
        let stock = Stock {
            item: id.to_string(),
            count: 1,
        };
        client.send_typed(&stock).await.unwrap();
    }
    eventually("all are there", || server.stats().inbox_messages == 6).await;
    let mut told = shop(&server);
    let mut all = Vec::new();
    while all.len() < 6 {
        all.push(next(&mut told).await);
    }
    let orders: Vec<_> = all
        .iter()
        .filter(|text| text.starts_with("Order"))
        .collect();
    let expected: Vec<_> = (0..3).map(|id| format!("{:?}", order(id, "tea"))).collect();
    assert_eq!(orders, expected.iter().collect::<Vec<_>>(), "in order");
    assert!(letters.rest().is_empty());
}

#[actix::test]
async fn a_full_inbox_that_waited_for_somebody_is_kept_for_the_type_that_is_subscribed_last() {
    const MESSAGES: usize = 10_000;
    let Stage {
        client,
        server,
        mut letters,
    } = stage(Codec::Json).await;
    let sender = client.clone();
    actix::spawn(async move {
        for count in 0..MESSAGES {
            let item = "tea".to_owned();
            let count = count as u32;
            sender.send_typed(&Stock { item, count }).await.unwrap();
        }
    });
    // It fills up, and the last read may bring more than there was room for.
    let mut waiting = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = std::mem::replace(&mut waiting, server.stats().inbox_messages);
        if waiting > 0 && waiting == before {
            break;
        }
    }
    let mut told = shop(&server);
    for count in 0..MESSAGES {
        let said = next(&mut told).await;
        assert!(said.contains(&format!("count: {count} ")), "{said}");
    }
    assert!(letters.rest().is_empty());
}

#[actix::test]
async fn a_typed_message_that_was_sent_at_most_once_is_a_dead_letter_when_it_is_rejected() {
    let Stage {
        client,
        server,
        mut letters,
    } = stage(Codec::Json).await;
    let _told = shop(&server);
    client.send_typed(&order(1, "nothing")).await.unwrap();
    let letter = letters.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Rejected);
    assert_eq!(letter.payload, "order {\"id\":1,\"item\":\"nothing\"}");
    assert!(letters.rest().is_empty());
}

#[actix::test]
async fn a_matcher_tells_types_apart_where_the_payload_has_no_topic() {
    /// As other programs send it.
    #[derive(Debug, Serialize, Deserialize)]
    struct Tick {
        r#type: String,
        at: u64,
    }

    impl Payload for Tick {
        type Format = Serde;

        fn filter() -> Filter {
            Filter::matching("tick", |payload: &[u8]| {
                payload.starts_with(b"{\"type\":\"tick\"")
            })
        }
    }

    struct Clock(WeakSocket, mpsc::UnboundedSender<u64>);

    impl Actor for Clock {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Context<Self>) {
            self.0.subscribe::<Tick>(ctx);
        }
    }

    impl Handler<Received<Tick>> for Clock {
        type Result = ();

        fn handle(&mut self, tick: Received<Tick>, _: &mut Context<Self>) {
            self.1.send(tick.at).unwrap();
        }
    }

    let Stage {
        client,
        server,
        mut letters,
    } = stage(Codec::Json).await;
    let (told, mut ticks) = mpsc::unbounded_channel();
    Clock(server.downgrade(), told).start();
    client.send(r#"{"type":"tock","at":6}"#).await.unwrap();
    client.send(r#"{"type":"tick","at":7}"#).await.unwrap();
    assert_eq!(within_patience("a tick", ticks.recv()).await, Some(7));
    assert_eq!(
        letters.next().await.unwrap().reason,
        DeadLetterReason::Unwanted
    );
}

#[actix::test]
async fn a_subscription_may_have_a_codec_and_a_type_a_format_of_its_own() {
    /// Big-endian.
    #[derive(Debug, PartialEq)]
    struct Count(u32);
    struct BigEndian;

    impl Format<Count> for BigEndian {
        fn encode(value: &Count, _: Codec, out: &mut Vec<u8>) -> Result<(), EncodeError> {
            if value.0 == u32::MAX {
                return Err(EncodeError::new("that is too much"));
            }
            out.extend_from_slice(&value.0.to_be_bytes());
            Ok(())
        }

        fn decode(bytes: Bytes, _: Codec) -> Result<Count, DecodeError> {
            let bytes = bytes[..].try_into().map_err(DecodeError::new)?;
            Ok(Count(u32::from_be_bytes(bytes)))
        }
    }

    impl Payload for Count {
        type Format = BigEndian;
        const TOPIC: &'static str = "count ";
    }

    let Stage { client, server, .. } = stage(Codec::Json).await;
    client.send_typed(&Count(0x0102_0304)).await.unwrap();
    let count = server.recv().await.unwrap();
    assert_eq!(&count[..], b"count \x01\x02\x03\x04");
    assert_eq!(count.decode::<Count>(), Ok(Count(0x0102_0304)));
    assert!(
        Codec::Json
            .decode::<Count>(Bytes::from_static(b"count 1"))
            .is_err()
    );
    assert!(
        Codec::Json
            .decode::<Count>(Bytes::from_static(b"\0\0\0\0"))
            .is_err()
    );

    let refused = client.send_typed(&Count(u32::MAX)).await;
    assert!(matches!(refused, Err(SendError::Encode(_))), "{refused:?}");
    let refused = client.try_send_typed(&Count(u32::MAX));
    assert!(matches!(refused, Err(SendError::Encode(_))), "{refused:?}");
    let refused = count.reply(&Count(u32::MAX));
    assert!(matches!(refused, Err(SendError::Encode(_))), "{refused:?}");

    #[cfg(feature = "messagepack")]
    {
        struct Late(WeakSocket, mpsc::UnboundedSender<Order>);

        impl Actor for Late {
            type Context = Context<Self>;

            fn started(&mut self, ctx: &mut Context<Self>) {
                let options = SubscribeOptions::default().codec(Codec::MessagePack);
                self.0.subscribe_with::<Order>(ctx, options);
            }
        }

        impl Handler<Received<Order>> for Late {
            type Result = ();

            fn handle(&mut self, order: Received<Order>, _: &mut Context<Self>) {
                self.1.send(order.into_payload()).unwrap();
            }
        }

        drop(count);
        let (told, mut orders) = mpsc::unbounded_channel();
        Late(server.downgrade(), told).start();
        let packed = Codec::MessagePack.encode(&order(5, "tea")).unwrap();
        client.send(packed).await.unwrap();
        assert_eq!(
            within_patience("an order", orders.recv()).await,
            Some(order(5, "tea"))
        );
    }
}

#[actix::test]
async fn a_text_that_is_none_is_a_dead_letter() {
    struct Reader(WeakSocket, mpsc::UnboundedSender<String>);

    impl Actor for Reader {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Context<Self>) {
            self.0.subscribe::<String>(ctx);
        }
    }

    impl Handler<Received<String>> for Reader {
        type Result = ();

        fn handle(&mut self, text: Received<String>, _: &mut Context<Self>) {
            self.1.send(text.into_payload()).unwrap();
        }
    }

    let Stage {
        client,
        server,
        mut letters,
    } = stage(Codec::Json).await;
    let (told, mut texts) = mpsc::unbounded_channel();
    Reader(server.downgrade(), told).start();
    client.send(vec![0xff, 0xfe]).await.unwrap();
    client.send_text("Grüße").await.unwrap();
    assert_eq!(next(&mut texts).await, "Grüße");
    assert_eq!(
        letters.next().await.unwrap().reason,
        DeadLetterReason::Undecodable
    );
}

mod five {
    //! Five types, from peers of two languages, with garbage in between.

    use super::*;
    use crate::support::python::{PythonOptions, PythonPeer};

    macro_rules! five {
        ($($name:ident $topic:literal),+) => {
            $(
                #[derive(Serialize, Deserialize)]
                struct $name(u64);
                payload!($name = $topic);

                impl Handler<Received<$name>> for Clerk {
                    type Result = ();

                    fn handle(&mut self, message: Received<$name>, _: &mut Context<Self>) {
                        let seen = self.seen.entry($topic).or_default();
                        // Each number comes once from each of the two peers.
                        *seen += 1;
                        self.told.send_replace(self.seen.clone());
                        assert!(message.0 < 1_000_000);
                    }
                }
            )+

            const TOPICS: [&str; 5] = [$($topic),+];

            impl Actor for Clerk {
                type Context = Context<Self>;

                fn started(&mut self, ctx: &mut Context<Self>) {
                    $( self.socket.subscribe::<$name>(ctx); )+
                }
            }
        };
    }

    struct Clerk {
        socket: WeakSocket,
        seen: BTreeMap<&'static str, u64>,
        told: tokio::sync::watch::Sender<BTreeMap<&'static str, u64>>,
    }

    five!(One "one ", Two "two ", Three "three ", Four "four ", Five "five ");

    #[actix::test]
    async fn every_message_goes_to_its_handler_or_to_the_dead_letters_whoever_sends_it() {
        let scale: u64 = std::env::var("AIOMSG_SCALE").map_or(1, |n| n.parse().unwrap());
        let (ours, python) = (6_000 * scale, 700 * scale);
        let server = Socket::start().unwrap();
        let endpoint = server.bind("127.0.0.1:0").await.unwrap();
        let (told, mut seen) = tokio::sync::watch::channel(BTreeMap::new());
        let socket = server.downgrade();
        Clerk {
            socket,
            told,
            seen: BTreeMap::new(),
        }
        .start();

        let port = endpoint.port().unwrap();
        let options = PythonOptions::connect(port).with("--delivery", "at-least-once");
        let mut peer = PythonPeer::start(&options).await;
        for topic in TOPICS {
            peer.send_many(topic, python);
            // Of no type, and of a type whose value is none.
            peer.send_many("garbage", python);
            peer.send_many(&format!("{topic}x"), python);
        }
        let client = Socket::start().unwrap();
        client.connect(endpoint).await.unwrap();
        for number in 0..ours {
            for topic in TOPICS {
                client.send(format!("{topic}{number}")).await.unwrap();
                client
                    .send(format!("{}{number}", topic.trim_end()))
                    .await
                    .unwrap();
                client.send(format!("{topic}-{number}")).await.unwrap();
            }
        }
        let expected = ours + python;
        let all = |seen: &BTreeMap<_, _>| TOPICS.iter().all(|t| seen.get(t) == Some(&expected));
        within_patience("all to be handled", seen.wait_for(all))
            .await
            .unwrap();
        let garbage = 2 * 5 * expected;
        eventually("the rest to be dead letters", || {
            server.stats().dead_letters == garbage
        })
        .await;
        assert!(all(&seen.borrow()), "and no more than that");
        assert_eq!(server.stats().received, 3 * 5 * expected);
    }
}
