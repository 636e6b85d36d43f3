//! The Python package beside a socket that offers services: it skips what it does not know, and all else is as ever.
#![cfg(feature = "json")]

mod support;

use actix_aiomsg::SocketBuilder;
use actix_aiomsg::prelude::*;
use support::python::{PythonOptions, PythonPeer, numbered};
use support::shop::{By, Opening, Shop, customer, order};
use support::{eventually, within_patience};

/// A socket that offers a service and has been used, with a Python peer at either end, and the identity of that.
async fn beside(
    builder: impl Fn() -> SocketBuilder,
    options: impl Fn(PythonOptions) -> PythonOptions,
) -> [(Shop, PythonPeer); 2] {
    let mut shops = Vec::new();
    for python_binds in [true, false] {
        let socket = builder().start().unwrap();
        let shop = Shop::on(socket, Opening::new("i0")).await;
        let mut python = match python_binds {
            true => {
                let python = PythonPeer::start(&options(PythonOptions::bind(0))).await;
                let endpoint = ("127.0.0.1", python.port);
                shop.socket.connect(endpoint).await.unwrap();
                python
            }
            false => {
                let (_, port) = shop.endpoint.rsplit_once(':').unwrap();
                let port = port.parse().unwrap();
                PythonPeer::start(&options(PythonOptions::connect(port))).await
            }
        };
        within_patience("Python", shop.socket.wait_for_peers(1))
            .await
            .unwrap();
        // Our end is up one step before Python's, which drops what it is to send to a peer that it has not got yet: an answer
        // shows that both are.
        shop.socket.send("are you there?").await.unwrap();
        assert_eq!(python.received().await.1, "are you there?");
        // Somebody else uses the service, so that peers are told of it, and goes.
        let user = customer(&[&shop]).await;
        for _ in 0..20 {
            let answer = user.service("inventory").ask(&order("apples"));
            let answer = within_patience("the answer", answer).await;
            assert_eq!(answer, Ok(By("i0".to_owned())));
        }
        user.close().await;
        eventually("the user to be gone", || shop.socket.stats().peers == 1).await;
        shops.push((shop, python));
    }
    shops.try_into().unwrap_or_else(|_| panic!("two"))
}

#[actix::test]
async fn python_beside_a_socket_that_offers_gets_its_messages_in_turn_and_not_one_more() {
    for (shop, mut python) in beside(Socket::builder, |options| options).await {
        let socket = &shop.socket;
        for message in numbered("m", 0..200) {
            socket.send(message).await.unwrap();
        }
        assert_eq!(python.receive(200).await, numbered("m", 0..200));
        for message in numbered("n", 0..20) {
            let sending = socket.send(message).acknowledged();
            within_patience("Python's acknowledgement", sending)
                .await
                .unwrap();
        }
        assert_eq!(python.receive(20).await, numbered("n", 0..20));
        python.send_many("p", 200);
        for expected in numbered("p", 0..200) {
            let message = within_patience("a message", socket.recv()).await.unwrap();
            assert_eq!(message.text(), Ok(&expected[..]));
        }
        shop.withdraw();
        let user = Socket::start().unwrap();
        user.connect(&shop.endpoint[..]).await.unwrap();
        let nobody = user.service("inventory").ask(&order("apples")).fail_fast();
        assert_eq!(nobody.await, Err(AskError::NoService));
        user.close().await;
        eventually("the user to be gone", || socket.stats().peers == 1).await;
        socket.send("last").await.unwrap();
        assert_eq!(python.received().await.1, "last");
        assert_eq!((socket.stats().malformed, socket.stats().unknown), (0, 0));
        // Anything else that it had received would come before it says that it is closed.
        python.close().await;
    }
}

#[actix::test]
async fn python_beside_a_socket_that_offers_is_published_to_and_answered_by_identity() {
    let publishing = || Socket::builder().send_mode(SendMode::Publish);
    for (shop, mut python) in beside(publishing, |options| options).await {
        let socket = &shop.socket;
        for message in numbered("news", 0..200) {
            socket.send(message).await.unwrap();
        }
        assert_eq!(python.receive(200).await, numbered("news", 0..200));
        python.send("question");
        let question = within_patience("the question", socket.recv())
            .await
            .unwrap();
        assert_eq!(question.payload(), "question");
        question.reply("answer").unwrap();
        let answer = (socket.identity(), "answer".to_owned());
        assert_eq!(python.received().await, answer);
        python.send_to(socket.identity(), "unasked");
        let unasked = within_patience("it", socket.recv()).await.unwrap();
        assert_eq!(unasked.payload(), "unasked");
        // It does not know what draining is, and keeps nobody from ending.
        let drained = socket.drain(support::PATIENCE);
        within_patience("the drain", drained).await.unwrap();
        python.close().await;
    }
}

#[actix::test]
async fn what_python_sends_at_least_once_to_a_socket_that_offers_is_acknowledged() {
    let at_least_once = |options: PythonOptions| options.with("--delivery", "at-least-once");
    for (shop, mut python) in beside(Socket::builder, at_least_once).await {
        python.send_many("p", 50);
        for expected in numbered("p", 0..50) {
            let message = within_patience("a message", shop.socket.recv()).await;
            assert_eq!(message.unwrap().text(), Ok(&expected[..]));
        }
        let acknowledged = async { while python.unacknowledged().await > 0 {} };
        within_patience("the acknowledgements", acknowledged).await;
        python.close().await;
    }
}
