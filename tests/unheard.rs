//! What is published while nobody is connected.

mod support;

use actix_aiomsg::prelude::*;
use support::{eventually, within_patience};

/// Publishes with nobody there, then with one who has come, and yields what that one hears first.
async fn first_heard(policy: Unheard) -> (String, u64) {
    let builder = Socket::builder().send_mode(SendMode::Publish);
    let publisher = builder.unheard(policy).start().unwrap();
    let endpoint = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
    publisher.send("old news").await.unwrap();
    publisher.try_send("old news, too").unwrap();
    let listener = Socket::start().unwrap();
    listener.connect(endpoint).await.unwrap();
    publisher.wait_for_peers(1).await.unwrap();
    publisher.send("news").await.unwrap();
    let heard = within_patience("news", listener.recv()).await.unwrap();
    let stats = publisher.stats();
    assert_eq!(stats.dead_letters, 0, "what nobody hears is no dead letter");
    (heard.text().unwrap().to_owned(), stats.unheard)
}

#[actix::test]
async fn it_waits_for_the_first_who_comes() {
    assert_eq!(first_heard(Unheard::Wait).await, ("old news".to_owned(), 0));
}

#[actix::test]
async fn it_is_dropped_and_counted_if_the_socket_is_told_so() {
    assert_eq!(first_heard(Unheard::Drop).await, ("news".to_owned(), 2));
}

#[actix::test]
async fn what_is_for_one_peer_or_for_anybody_waits_whatever_the_policy() {
    let sender = Socket::builder().unheard(Unheard::Drop).start().unwrap();
    let endpoint = sender.bind("tcp://127.0.0.1:0").await.unwrap();
    sender.send("for anybody").await.unwrap();
    let receiver = Socket::start().unwrap();
    sender
        .send_to(receiver.identity(), "for you")
        .await
        .unwrap();
    receiver.connect(endpoint).await.unwrap();
    eventually("both", || receiver.stats().received == 2).await;
    assert_eq!(sender.stats().unheard, 0);
}
