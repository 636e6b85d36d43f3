//! Peers that are found by a source of one's own, which changes, panics and is given up.

mod support;

use std::time::Duration;

use actix_aiomsg::Endpoint;
use actix_aiomsg::discovery::{Discover, DiscoverFuture, DiscoveredPeer, SourceError, from_stream};
use actix_aiomsg::error::DiscoveryError;
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use futures_util::{StreamExt, stream};
use support::{eventually, within_patience};
use tokio::sync::mpsc;

/// Dials again at once, so that what is dialled shows.
fn client() -> Socket {
    Socket::builder()
        .reconnect(Backoff::fixed(Duration::from_millis(20)))
        .start()
        .unwrap()
}

#[actix::test]
async fn a_socket_among_the_peers_that_it_finds_connects_to_the_others_alone() {
    let mut sockets = Vec::new();
    let mut all = Vec::new();
    for _ in 0..3 {
        let socket = client();
        let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
        all.push(DiscoveredPeer::new(endpoint));
        sockets.push(socket);
    }
    let (recipient, mut events) = Probe::<SocketEvent>::recipient();
    sockets[0].socket_events(recipient);
    for socket in &sockets {
        let set = stream::iter([Ok(all.clone())]);
        socket.discover(from_stream("all", set)).await.unwrap();
    }
    for socket in &sockets {
        within_patience("the two others", socket.wait_for_peers(2))
            .await
            .unwrap();
    }
    // Longer than several pauses of its dialers.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let own = all[0].endpoint().clone();
    let mut dialled = 0;
    for event in events.rest() {
        match event {
            SocketEvent::Dialling { endpoint, .. } if endpoint == own => dialled += 1,
            _ => {}
        }
    }
    assert_eq!(dialled, 1);
    assert!(sockets.iter().all(|socket| socket.peers().len() == 2));
}

/// Sets that the test hands out; an error panics.
struct ByHand(mpsc::UnboundedReceiver<Result<Vec<DiscoveredPeer>, SourceError>>);

impl Discover for ByHand {
    fn name(&self) -> String {
        "by hand".to_owned()
    }

    fn next(&mut self) -> DiscoverFuture<'_> {
        Box::pin(async move {
            match self.0.recv().await {
                Some(Err(error)) => panic!("{error}"),
                Some(set) => set,
                None => std::future::pending().await,
            }
        })
    }
}

#[actix::test]
async fn a_source_that_panics_is_asked_again_and_nobody_is_dialled_twice() {
    let server = Socket::start().unwrap();
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    let client = client();
    let (sets, source) = mpsc::unbounded_channel();
    client.discover(ByHand(source)).await.unwrap();
    sets.send(Ok(vec![endpoint.into()])).unwrap();
    within_patience("the peer", client.wait_for_peers(1))
        .await
        .unwrap();
    let (recipient, mut events) = Probe::<SocketEvent>::recipient();
    client.socket_events(recipient);
    sets.send(Err(SourceError::new("on purpose"))).unwrap();
    let restarted = events.find(|event| match event {
        SocketEvent::Restarted { actor, reason, .. } => Some((actor, reason)),
        _ => None,
    });
    let expected = ("discovery".to_owned(), "on purpose".to_owned());
    assert_eq!(restarted.await.expect("the restart"), expected);
    let other = Socket::start().unwrap();
    let second = other.bind("127.0.0.1:0").await.unwrap();
    sets.send(Ok(vec![second.clone().into()])).unwrap();
    within_patience("another peer", client.wait_for_peers(2))
        .await
        .unwrap();
    assert_eq!(server.peers().len(), 1);
    let children = client.inspect().await.children;
    let names: Vec<_> = children.iter().map(|child| &child.name[..]).collect();
    assert_eq!(names, ["router", "dialer", "dialer", "discovery"]);
    // What `connect` began is no part of it.
    client.connect(&second).await.unwrap();
    client.stop_discovering("by hand").await.unwrap();
    eventually("one dialer", || server.peers().is_empty()).await;
    let children = client.inspect().await.children;
    let names: Vec<_> = children.iter().map(|child| &child.name[..]).collect();
    assert_eq!(names, ["router", "dialer"]);
    let again = client.stop_discovering("by hand").await;
    let unknown = DiscoveryError::NotFollowed("by hand".into());
    assert_eq!(again, Err(unknown));
}

#[actix::test]
async fn a_source_that_was_given_up_is_followed_anew_and_goes_on_with_its_peers() {
    let server = Socket::start().unwrap();
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    let other = Socket::start().unwrap();
    let second = other.bind("127.0.0.1:0").await.unwrap();
    let client = client();
    let (recipient, mut events) = Probe::<SocketEvent>::recipient();
    client.socket_events(recipient);
    let (sets, source) = mpsc::unbounded_channel();
    client.discover(ByHand(source)).await.unwrap();
    sets.send(Ok(vec![endpoint.clone().into()])).unwrap();
    within_patience("the peer", client.wait_for_peers(1))
        .await
        .unwrap();
    for _ in 0..=5 {
        sets.send(Err(SourceError::new("on purpose"))).unwrap();
    }
    let given_up = events.find(|event| match event {
        SocketEvent::DiscoveryGivenUp { source, .. } => Some(source),
        _ => None,
    });
    assert_eq!(given_up.await.expect("the end"), "by hand");
    assert!(!client.health().is_live());

    let (sets, source) = mpsc::unbounded_channel();
    client.discover(ByHand(source)).await.unwrap();
    assert!(client.health().is_live());
    sets.send(Ok(vec![endpoint.into(), second.into()])).unwrap();
    within_patience("both", client.wait_for_peers(2))
        .await
        .unwrap();
    let news = events.find(|event| match event {
        SocketEvent::Discovered { found, new, .. } => Some((found, new)),
        _ => None,
    });
    assert_eq!(news.await.expect("the change"), (2, 1));
    let children = client.inspect().await.children;
    let dialers = children.iter().filter(|child| *child.name == *"dialer");
    assert_eq!(dialers.count(), 2);
    client.stop_discovering("by hand").await.unwrap();
    eventually("nobody", || client.peers().is_empty()).await;
}

#[actix::test]
async fn who_is_about_to_be_dialled_when_a_source_is_left_is_not_dialled_after_that() {
    let client = client();
    let nobody = (1..=2_000_u16).map(|n| {
        let place = format!("tcp://127.2.{}.{}:9", n >> 8, n & 255);
        let endpoint: Endpoint = place.parse().unwrap();
        DiscoveredPeer::new(endpoint)
    });
    let set = stream::iter([Ok(nobody.collect())]).chain(stream::pending());
    client.discover(from_stream("it", set)).await.unwrap();
    let children = async || client.inspect().await.children.len();
    let dialling = async { while children().await < 20 {} };
    within_patience("some dialers", dialling).await;
    within_patience("the end", client.stop_discovering("it"))
        .await
        .unwrap();
    // The router is left, and no dialer comes any more.
    for _ in 0..10 {
        assert_eq!(children().await, 1);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[actix::test]
async fn a_source_is_followed_once_and_only_while_the_socket_is_open() {
    let source = || from_stream("it", stream::pending());
    let client = client();
    client.discover(source()).await.unwrap();
    let again = client.discover(source()).await;
    assert_eq!(again, Err(DiscoveryError::Followed("it".into())));
    client.close().await;
    let closed = client.discover(source()).await;
    assert!(
        matches!(closed, Err(DiscoveryError::Closed(_))),
        "{closed:?}"
    );
}

#[actix::test]
async fn a_peer_that_cannot_be_dialled_is_left_out() {
    let server = Socket::start().unwrap();
    let good = server.bind("127.0.0.1:0").await.unwrap();
    let bad: Endpoint = "tcp://127.0.0.1:0".parse().unwrap();
    let client = client();
    let sets = stream::iter([Ok(vec![bad.into(), good.into()])]).chain(stream::pending());
    client.discover(from_stream("it", sets)).await.unwrap();
    within_patience("the peer", client.wait_for_peers(1))
        .await
        .unwrap();
}
