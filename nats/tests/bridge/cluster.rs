//! Three servers, of which one dies.

use std::time::{Duration, Instant};

use actix_aiomsg_nats::async_nats::{self, jetstream};
use actix_aiomsg_nats::{Bridge, Inbound, Outbound, Stream};

use crate::support::{
    Server, assert_each_once, assert_nothing_more, connected, eventually, listening, number, ports,
    scale, sending, stored, within_patience,
};

/// How long a cluster may take to elect the leaders of a stream and its consumer, on a machine that has other work.
const ELECTIONS: Duration = Duration::from_secs(120);

struct Cluster {
    servers: Vec<Server>,
}

impl Cluster {
    async fn start() -> Self {
        let [a, b, c, ra, rb, rc] = ports();
        let routes: Vec<_> = [ra, rb, rc]
            .iter()
            .map(|port| format!("\"nats://127.0.0.1:{port}\""))
            .collect();
        let routes = routes.join(", ");
        let mut servers = Vec::new();
        for (index, (port, route)) in [(a, ra), (b, rb), (c, rc)].into_iter().enumerate() {
            let lines = format!(
                "server_name: s{index}\n\
                 cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: [{routes}] }}"
            );
            let mut server = Server::prepared(port, true, &lines);
            server.spawn();
            servers.push(server);
        }
        let cluster = Self { servers };
        cluster.has_leader().await;
        cluster
    }

    /// Waits until JetStream answers at each server.
    async fn has_leader(&self) {
        for server in &self.servers {
            let deadline = Instant::now() + ELECTIONS;
            while !answers(server).await {
                assert!(Instant::now() < deadline, "the cluster has no leader");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    fn url(&self) -> String {
        let urls: Vec<_> = self.servers.iter().map(Server::url).collect();
        urls.join(",")
    }

    async fn jetstream(&self) -> jetstream::Context {
        let urls: Vec<_> = self.servers.iter().map(Server::url).collect();
        let connecting = async_nats::ConnectOptions::new().connect(urls);
        jetstream::new(within_patience("a connection", connecting).await.unwrap())
    }
}

/// True if JetStream answers there. A server that is starting says nothing for ten seconds, unless it is asked again.
async fn answers(server: &Server) -> bool {
    let Ok(client) = async_nats::connect(server.url()).await else {
        return false;
    };
    let mut context = jetstream::new(client);
    context.set_timeout(Duration::from_millis(500));
    context.query_account().await.is_ok()
}

#[actix::test]
async fn a_server_of_three_is_killed_and_nothing_is_lost_or_comes_twice_in_either_direction() {
    let count = scale::of(20_000);
    let mut cluster = Cluster::start().await;
    let orders = || Stream::new("ORDERS").subject("orders").replicas(3);
    let (out_socket, out_endpoint) = listening("bridge out").await;
    let (in_socket, in_endpoint) = listening("bridge in").await;
    let build = || {
        Bridge::new(cluster.url())
            .ack_timeout(Duration::from_secs(1))
            .ack_wait(Duration::from_secs(1))
            .wait_for_server()
    };
    let storing = build()
        .outbound(Outbound::stream(orders(), "orders"))
        .start(&out_socket)
        .await
        .unwrap();
    assert!(storing.wait_until_up().await);
    let delivering = build()
        .inbound(Inbound::stream(orders(), "shop"))
        .start(&in_socket)
        .await
        .unwrap();
    assert!(delivering.wait_until_up().await);
    let sender = connected("sender", &out_endpoint).await;
    let receiver = connected("receiver", &in_endpoint).await;

    let sending = sending(&sender, 0..count);
    let stats = || storing.stats();
    scale::reaches("a third", count / 3, || stats().stored).await;
    let jetstream = cluster.jetstream().await;
    let info = jetstream.get_stream("ORDERS").await.unwrap();
    let info = info.cached_info().clone();
    let leader = info
        .cluster
        .and_then(|cluster| cluster.leader)
        .expect("it has a leader");
    let index: usize = leader.trim_start_matches('s').parse().unwrap();
    cluster.servers[index].kill();
    let created = info.created;

    let mut numbers = Vec::new();
    while (numbers.len() as u64) < count {
        let message = tokio::time::timeout(ELECTIONS, receiver.recv()).await;
        let message = message.expect("a message, once there is a leader").unwrap();
        numbers.push(number(message.payload()));
    }
    assert_each_once(&numbers, count);
    scale::reaches("all", count, || stats().stored).await;
    sending.await.unwrap();
    // What comes twice comes soon: JetStream sends again after a second.
    scale::reaches("all to be acknowledged", count, || {
        delivering.stats().delivered
    })
    .await;
    assert_nothing_more(&receiver).await;

    let jetstream = cluster.jetstream().await;
    assert_each_once(&stored(&jetstream, "ORDERS").await, count);
    let info = jetstream.get_stream("ORDERS").await.unwrap();
    let info = info.cached_info();
    assert_eq!(info.created, created, "ids are derived from it");
    let next = info
        .cluster
        .as_ref()
        .and_then(|cluster| cluster.leader.clone());
    assert!(next.is_some_and(|next| next != leader));
    eprintln!(
        "{count} messages, {leader} killed: {} published again, {} of them stored before; {} came again, {} filtered by the receiver",
        stats().retried,
        stats().stored_before,
        delivering.stats().came_again,
        receiver.stats().duplicates,
    );
    storing.stop(Duration::from_secs(5)).await;
    delivering.stop(Duration::from_secs(5)).await;
    eventually("nothing to be held", || {
        storing.stats().storing == 0 && delivering.stats().delivering == 0
    })
    .await;
}
