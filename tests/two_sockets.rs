//! Sockets of one process, over real TCP.

mod support;

use std::time::Duration;

use actix_aiomsg::SocketBuilder;
use actix_aiomsg::prelude::*;
use bytes::Bytes;
use support::each::each;
use tokio::sync::mpsc;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(30);

/// Bounds a test, so that what never comes fails it instead of hanging it.
async fn within<F: Future>(future: F) -> F::Output {
    timeout(LONG, future).await.expect("the test took too long")
}

fn collect(socket: &Socket) -> mpsc::UnboundedReceiver<Bytes> {
    let (to, from) = mpsc::unbounded_channel();
    each(socket, move |message| {
        let _ = to.send(message.into_payload());
    });
    from
}

async fn pair(bind: SocketBuilder, connect: SocketBuilder) -> (Socket, Socket) {
    let (a, b) = (bind.start().unwrap(), connect.start().unwrap());
    let endpoint = a.bind("127.0.0.1:0").await.unwrap();
    b.connect(endpoint).await.unwrap();
    a.wait_for_peers(1).await.unwrap();
    b.wait_for_peers(1).await.unwrap();
    (a, b)
}

#[actix::test]
async fn a_handler_replies_to_the_peer_that_asked() {
    within(async {
        let (server, client) = pair(Socket::builder(), Socket::builder()).await;
        each(&server, |message| {
            let reply = message.reply(message.payload().clone());
            reply.expect("room for a reply");
        });
        client.send("hello").await.unwrap();
        let reply = client.recv().await.unwrap();
        assert_eq!(reply.text().unwrap(), "hello");
        assert_eq!(reply.peer(), server.identity());
    })
    .await;
}

#[actix::test]
async fn a_hundred_thousand_messages_arrive_in_order() {
    within(async {
        let (server, client) = pair(Socket::builder(), Socket::builder()).await;
        let mut got = collect(&server);
        let sender = actix::spawn(async move {
            for i in 0..100_000_u32 {
                client.send(i.to_be_bytes().to_vec()).await.unwrap();
            }
            client
        });
        for i in 0..100_000_u32 {
            assert_eq!(got.recv().await.unwrap()[..], i.to_be_bytes());
        }
        drop(sender);
    })
    .await;
}

#[actix::test]
async fn what_is_sent_before_a_peer_comes_arrives_in_order() {
    within(async {
        let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
        for i in 0..1000_u32 {
            client.send(i.to_be_bytes().to_vec()).await.unwrap();
        }
        let endpoint = server.bind("127.0.0.1:0").await.unwrap();
        client.connect(endpoint).await.unwrap();
        for i in 0..1000_u32 {
            assert_eq!(server.recv().await.unwrap().payload()[..], i.to_be_bytes());
        }
    })
    .await;
}

#[actix::test]
async fn everyone_gets_what_is_published_and_one_gets_what_is_not() {
    within(async {
        let publisher = Socket::builder()
            .send_mode(SendMode::Publish)
            .start()
            .unwrap();
        let endpoint = publisher.bind("127.0.0.1:0").await.unwrap();
        let mut peers = Vec::new();
        for _ in 0..5 {
            let peer = Socket::start().unwrap();
            peer.connect(endpoint.clone()).await.unwrap();
            peers.push(peer);
        }
        publisher.wait_for_peers(5).await.unwrap();
        publisher.send("all").await.unwrap();
        publisher.send_to(peers[2].identity(), "one").await.unwrap();
        for peer in &peers {
            assert_eq!(peer.recv().await.unwrap().text(), Ok("all"));
        }
        assert_eq!(peers[2].recv().await.unwrap().text(), Ok("one"));
        let report = publisher.close().await;
        assert_eq!((report.sent, report.unsent), (6, 0));
    })
    .await;
}

#[actix::test]
async fn an_acknowledged_message_resolves_its_receipt() {
    within(async {
        let (server, client) = pair(Socket::builder(), Socket::builder()).await;
        let receipt = client.send("precious").receipt().await.unwrap();
        let message = server.recv().await.unwrap();
        assert_eq!(client.stats().unacknowledged, 1);
        message.ack();
        receipt.await.unwrap();
        assert_eq!(client.stats().unacknowledged, 0);
    })
    .await;
}

#[actix::test]
async fn large_messages_arrive_whole() {
    within(async {
        let (server, client) = pair(Socket::builder(), Socket::builder()).await;
        let mut got = collect(&server);
        let sizes = [
            0,
            1,
            8_191,
            16_384,
            65_536,
            1 << 20,
            20 << 20,
            3,
            70_000,
            70_000,
        ];
        for size in sizes {
            client.send(vec![size as u8; size]).await.unwrap();
        }
        for size in sizes {
            let message = got.recv().await.unwrap();
            assert_eq!(message.len(), size);
            assert!(message.iter().all(|byte| *byte == size as u8));
        }
    })
    .await;
}

#[actix::test]
async fn a_connection_that_is_lost_comes_back_and_nothing_that_waits_is_lost() {
    within(async {
        let client = Socket::start().unwrap();
        let first = Socket::start().unwrap();
        let endpoint = first.bind("127.0.0.1:0").await.unwrap();
        client.connect(endpoint.clone()).await.unwrap();
        client.wait_for_peers(1).await.unwrap();
        client.send("one").await.unwrap();
        assert_eq!(first.recv().await.unwrap().text(), Ok("one"));
        first.close().await;
        let mut state = client.state();
        state.wait_for(|state| state.peers == 0).await.unwrap();
        client.send("two").await.unwrap();
        let second = Socket::start().unwrap();
        second.bind(endpoint).await.unwrap();
        assert_eq!(second.recv().await.unwrap().text(), Ok("two"));
    })
    .await;
}

#[actix::test]
async fn peers_that_send_large_messages_to_each_other_do_not_block_each_other() {
    within(async {
        let (server, client) = pair(Socket::builder(), Socket::builder()).await;
        let (mut at_server, mut at_client) = (collect(&server), collect(&client));
        for socket in [&server, &client] {
            socket.try_send(vec![1; 3 << 20]).unwrap();
        }
        for _ in 0..4 {
            let (a, b) = tokio::join!(server.send(vec![2; 3 << 20]), client.send(vec![2; 3 << 20]));
            a.unwrap();
            b.unwrap();
        }
        for _ in 0..5 {
            assert_eq!(at_server.recv().await.unwrap().len(), 3 << 20);
            assert_eq!(at_client.recv().await.unwrap().len(), 3 << 20);
        }
    })
    .await;
}

#[actix::test]
async fn closing_waits_for_a_peer_that_comes_back() {
    within(async {
        let client = Socket::start().unwrap();
        let first = Socket::start().unwrap();
        let endpoint = first.bind("127.0.0.1:0").await.unwrap();
        client.connect(endpoint.clone()).await.unwrap();
        client.wait_for_peers(1).await.unwrap();
        first.close().await;
        let mut state = client.state();
        state.wait_for(|state| state.peers == 0).await.unwrap();
        client.send("late").await.unwrap();
        let closing = actix::spawn(async move { client.close().await });
        let second = Socket::start().unwrap();
        second.bind(endpoint).await.unwrap();
        assert_eq!(second.recv().await.unwrap().text(), Ok("late"));
        let report = closing.await.unwrap();
        assert_eq!((report.sent, report.unsent), (1, 0));
    })
    .await;
}
