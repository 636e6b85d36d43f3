//! A handler that blocks the thread of its connections for longer than peers wait for a sign of life.

mod support;

use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::{Role, ToEndpoint};
use support::raw_peer::{DATA, HEARTBEAT, RawPeer};
use support::{aside, within_patience};
use tokio::sync::{mpsc, oneshot};

/// Peers that hear nothing for so long end the connection.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long the handler blocks.
const BLOCKED: Duration = Duration::from_secs(8);

fn socket() -> SocketBuilder {
    Socket::builder().heartbeat_interval(TIMEOUT / 10)
}

struct Blocking(WeakSocket, mpsc::UnboundedSender<()>);

impl Actor for Blocking {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe(ctx);
    }
}

impl Handler<Received> for Blocking {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Self::Context) {
        // The test may have ended.
        let _ = self.1.send(());
        std::thread::sleep(BLOCKED);
        // So may the connection have.
        let _ = message.reply("done");
    }
}

/// A socket whose handler blocks, in a thread of its own, and what it tells when it begins to.
struct Server {
    endpoint: Endpoint,
    began: mpsc::UnboundedReceiver<()>,
    arbiter: Arbiter,
}

impl Server {
    async fn at(endpoint: &'static str) -> Self {
        Self::start(endpoint, Role::BindEnd).await
    }

    async fn start(endpoint: impl ToEndpoint + Send + 'static, role: Role) -> Self {
        let arbiter = Arbiter::new();
        let (begin, began) = mpsc::unbounded_channel();
        let (bound, endpoint_of) = oneshot::channel();
        arbiter.spawn(async move {
            let server = socket().start().unwrap();
            let actor = Blocking(server.downgrade(), begin).start();
            let endpoint = match role {
                Role::BindEnd => server.bind(endpoint).await.unwrap(),
                Role::ConnectEnd => {
                    let endpoint = endpoint.to_endpoint().unwrap();
                    server.connect(endpoint.clone()).await.unwrap();
                    endpoint
                }
            };
            // They live as long as the arbiter.
            bound.send(endpoint).unwrap();
            std::future::pending::<()>().await;
            drop((server, actor));
        });
        Self {
            endpoint: endpoint_of.await.unwrap(),
            began,
            arbiter,
        }
    }
}

/// The peer of a server that blocks hears of it, and gets its answer by the same connection.
async fn stays_up(endpoint: &'static str) {
    let mut server = Server::at(endpoint).await;
    let client = client();
    client.connect(server.endpoint.clone()).await.unwrap();
    keeps_its_connection(&client, &mut server).await;
}

fn client() -> Socket {
    socket().heartbeat_timeout(TIMEOUT).start().unwrap()
}

async fn keeps_its_connection(client: &Socket, server: &mut Server) {
    client.send("job").await.unwrap();
    server.began.recv().await.unwrap();
    let answer = within_patience("the answer", client.recv()).await.unwrap();
    assert_eq!(answer.text(), Ok("done"));
    assert_eq!(
        client.stats().joins,
        1,
        "the connection has ended meanwhile"
    );
    server.arbiter.stop();
}

#[actix::test]
async fn its_peers_stay_connected_over_tcp() {
    stays_up("tcp://127.0.0.1:0").await;
}

#[cfg(unix)]
#[actix::test]
async fn its_peers_stay_connected_over_unix_sockets() {
    let path = std::env::temp_dir().join(format!("aiomsg-blocked-{}", Identity::random()));
    stays_up(format!("unix://{}", path.display()).leak()).await;
}

#[actix::test]
async fn its_peers_stay_connected_over_websocket() {
    stays_up("ws://127.0.0.1:0").await;
}

#[actix::test]
async fn a_peer_that_it_has_dialled_stays_connected_over_websocket() {
    let client = client();
    let endpoint = client.bind("ws://127.0.0.1:0").await.unwrap();
    let mut server = Server::start(endpoint, Role::ConnectEnd).await;
    keeps_its_connection(&client, &mut server).await;
}

#[actix::test]
async fn its_peers_hear_whole_heartbeats_and_nothing_else() {
    let mut server = Server::at("tcp://127.0.0.1:0").await;
    let port = server.endpoint.port().unwrap();
    let mut peer = aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        peer.data(b"job");
        peer
    })
    .await;
    server.began.recv().await.unwrap();
    let heard = aside(move || {
        let mut next = || peer.read().unwrap().expect("the connection stays up");
        let mut frames = vec![next()];
        while frames.last().is_some_and(|frame| frame.kind != DATA) {
            frames.push(next());
        }
        frames
    })
    .await;
    let (answer, heartbeats) = heard.split_last().unwrap();
    assert_eq!(answer.body, b"done");
    // Ten in each timeout; a machine that is busy sends fewer.
    assert!(heartbeats.len() >= 4, "{}", heartbeats.len());
    let are_heartbeats = heartbeats.iter().all(|frame| frame.kind == HEARTBEAT);
    assert!(are_heartbeats, "{heartbeats:?}");
    server.arbiter.stop();
}
