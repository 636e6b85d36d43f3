//! The same conversations over every transport, from one table.

mod support;

use std::path::PathBuf;
use std::time::Duration;

use actix_aiomsg::prelude::*;
use actix_aiomsg::{BindOptions, ConnectOptions, Endpoint, SocketBuilder, error::BindError};
use bytes::Bytes;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);

/// How one transport is bound and connected to.
struct Transport {
    name: &'static str,
    bind: String,
    bind_options: BindOptions,
    /// The scheme that the connect end uses, if it is not the one that was bound.
    scheme: Option<&'static str>,
    connect_options: ConnectOptions,
    /// The socket file, for its removal.
    file: Option<PathBuf>,
    /// Peers come in by a path of an actix-web application; `bind` does not count.
    #[cfg(feature = "actix-web")]
    mount: Option<mounted::Mount>,
}

/// Where a bind end is to be found.
struct Bound {
    endpoint: Endpoint,
    /// The web server, where there is one.
    #[cfg(feature = "actix-web")]
    site: Option<support::site::Site>,
}

impl Transport {
    fn plain(name: &'static str, bind: impl Into<String>) -> Self {
        Self {
            name,
            bind: bind.into(),
            bind_options: BindOptions::new(),
            scheme: None,
            connect_options: ConnectOptions::new(),
            file: None,
            #[cfg(feature = "actix-web")]
            mount: None,
        }
    }

    fn dialled_as(mut self, scheme: &'static str) -> Self {
        self.scheme = Some(scheme);
        self
    }

    /// Two sockets that are each other's only peer, and what the first one bound.
    async fn pair(&self) -> (Socket, Socket, Bound) {
        self.pair_of(Socket::builder(), Socket::builder()).await
    }

    /// The same of two builders: that of the bind end, and that of the connect end.
    async fn pair_of(
        &self,
        server: SocketBuilder,
        client: SocketBuilder,
    ) -> (Socket, Socket, Bound) {
        let (server, client) = (server.start().unwrap(), client.start().unwrap());
        let bound = self.bind(&server).await;
        self.connect(&client, &bound).await;
        server.wait_for_peers(1).await.unwrap();
        client.wait_for_peers(1).await.unwrap();
        (server, client, bound)
    }

    async fn bind(&self, socket: &Socket) -> Bound {
        #[cfg(feature = "actix-web")]
        if let Some(mount) = &self.mount {
            return mount.serve(socket);
        }
        let endpoint = self.bind[..].parse().unwrap();
        self.bind_at(socket, endpoint).await.unwrap()
    }

    /// Binds what another socket has just left.
    async fn bind_again(&self, socket: &Socket, bound: Bound) {
        #[cfg(feature = "actix-web")]
        if let (Some(mount), Some(site)) = (&self.mount, bound.site) {
            mount.serve_again(socket, site).await;
            return;
        }
        // It may be the old one's for a moment longer.
        while self.bind_at(socket, bound.endpoint.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn bind_at(&self, socket: &Socket, endpoint: Endpoint) -> Result<Bound, BindError> {
        let options = self.bind_options.clone();
        let endpoint = socket.bind_with(endpoint, options).await?;
        Ok(Bound {
            endpoint,
            #[cfg(feature = "actix-web")]
            site: None,
        })
    }

    async fn connect(&self, socket: &Socket, bound: &Bound) {
        let bound = &bound.endpoint;
        let endpoint = match (self.scheme, bound.host(), bound.port()) {
            (Some(scheme), Some(host), Some(port)) => {
                format!("{scheme}://{host}:{port}").parse().unwrap()
            }
            _ => bound.clone(),
        };
        let options = self.connect_options.clone();
        socket.connect_with(endpoint, options).await.unwrap();
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // The socket that bound it removes it when it closes, which may be later or never.
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Every transport of this build; `test` keeps the names of local endpoints apart.
fn transports(test: &str) -> Vec<Transport> {
    let mut all = vec![
        Transport::plain("tcp", "tcp://127.0.0.1:0"),
        Transport::plain("tcp over IPv6", "tcp://[::1]:0"),
        Transport::plain("ws", "tcp://127.0.0.1:0").dialled_as("ws"),
        Transport::plain("mem", format!("mem://{test}")),
    ];
    #[cfg(unix)]
    {
        let name = format!("aiomsg-transports-{}-{test}", std::process::id());
        let file = std::env::temp_dir().join(name);
        let mut unix = Transport::plain("unix", format!("unix://{}", file.display()));
        unix.file = Some(file);
        all.push(unix);
    }
    #[cfg(feature = "tls-dev")]
    for (name, scheme) in [("tls", "tls"), ("wss", "wss"), ("tls 1.2", "tls")] {
        let dev = Tls::dev();
        let mut secure = Transport::plain(name, "tls://127.0.0.1:0").dialled_as(scheme);
        secure.bind_options = BindOptions::new().tls(dev.mutual_server());
        let client = match name {
            "tls 1.2" => at_most_1_2(&dev, "client"),
            _ => dev.client_named("client"),
        };
        secure.connect_options = ConnectOptions::new().tls(client);
        all.push(secure);
    }
    #[cfg(feature = "actix-web")]
    all.extend(mounted::transports());
    all
}

/// A connect end that speaks no newer version of TLS.
#[cfg(feature = "tls-dev")]
fn at_most_1_2(dev: &TlsDev, name: &str) -> actix_aiomsg::tls::TlsClient {
    use actix_aiomsg::tls::rustls::pki_types::pem::PemObject;
    use actix_aiomsg::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use actix_aiomsg::tls::rustls::{ClientConfig, RootCertStore, crypto::ring, version::TLS12};

    let own = dev.client_pem(name);
    let certificate = |pem: String| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate(dev.ca_pem())).unwrap();
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate(own.certificate)], key);
    std::sync::Arc::new(config.unwrap()).into()
}

/// Runs a conversation over every transport, and says over which one it failed.
async fn over_all<F: Future<Output = ()>>(test: &str, conversation: impl Fn(Socket, Socket) -> F) {
    over_each(test, async |transport| {
        let (server, client, _) = transport.pair().await;
        conversation(server, client).await;
    })
    .await;
}

/// Runs a test over every transport, and says over which one it failed.
async fn over_each(test: &str, conversation: impl AsyncFn(&Transport)) {
    for transport in transports(test) {
        let name = transport.name;
        if timeout(LONG, conversation(&transport)).await.is_err() {
            panic!("over {name} it took too long");
        }
        println!("over {name}: fine");
    }
}

#[actix::test]
async fn both_ends_send_and_receive_in_order() {
    over_all("order", |server, client| async move {
        for (from, to) in [(&client, &server), (&server, &client)] {
            let send = async {
                for i in 0..20_000_u32 {
                    from.send(i.to_be_bytes().to_vec()).await.unwrap();
                }
            };
            let receive = async {
                for i in 0..20_000_u32 {
                    let message = to.recv().await.unwrap();
                    assert_eq!(message.payload()[..], i.to_be_bytes());
                }
            };
            tokio::join!(send, receive);
        }
    })
    .await;
}

#[actix::test]
async fn large_messages_arrive_whole_in_both_directions() {
    over_all("large", |server, client| async move {
        let payload = Bytes::from((0..=255).cycle().take(3_000_000).collect::<Vec<u8>>());
        for (from, to) in [(&client, &server), (&server, &client)] {
            let send = async {
                for _ in 0..5 {
                    from.send(payload.clone()).await.unwrap();
                }
            };
            let receive = async {
                for _ in 0..5 {
                    let message = to.recv().await.unwrap();
                    assert!(message.payload() == &payload);
                }
            };
            tokio::join!(send, receive);
        }
    })
    .await;
}

#[actix::test]
async fn what_was_sent_before_closing_arrives() {
    over_all("closing", |server, client| async move {
        for _ in 0..100 {
            client.send(vec![7; 1000]).await.unwrap();
        }
        let close = client.close();
        let receive = async {
            for _ in 0..100 {
                server.recv().await.unwrap();
            }
        };
        tokio::join!(close, receive);
    })
    .await;
}

#[actix::test]
async fn a_connect_end_comes_back_to_a_bind_end_that_was_away() {
    over_each("comes-back", async |transport| {
        let (server, client, bound) = transport.pair().await;
        server.close().await;
        let mut state = client.state();
        state.wait_for(|state| state.peers == 0).await.unwrap();
        client.send("waits").await.unwrap();
        let successor = Socket::start().unwrap();
        transport.bind_again(&successor, bound).await;
        assert_eq!(successor.recv().await.unwrap().text().unwrap(), "waits");
    })
    .await;
}

fn careful() -> SocketBuilder {
    Socket::builder().delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
}

#[actix::test]
async fn messages_are_acknowledged_both_ways() {
    over_each("acknowledged", async |transport| {
        let (server, client, _) = transport.pair_of(careful(), careful()).await;
        for (from, to) in [(&client, &server), (&server, &client)] {
            let send = async {
                for i in 0..3000_u32 {
                    from.send(i.to_be_bytes().to_vec()).await.unwrap();
                }
                from.send("the last")
                    .receipt()
                    .await
                    .unwrap()
                    .await
                    .unwrap();
            };
            let receive = async {
                for i in 0..3000_u32 {
                    let message = to.recv().await.unwrap();
                    assert!(message.wants_acknowledgement());
                    assert_eq!(message.payload()[..], i.to_be_bytes());
                }
                assert_eq!(to.recv().await.unwrap().text().unwrap(), "the last");
            };
            tokio::join!(send, receive);
            assert_eq!(from.stats().acknowledged, 3001, "{}", transport.name);
            assert_eq!(from.stats().resent, 0, "{}", transport.name);
        }
    })
    .await;
}

#[actix::test]
async fn what_was_not_acknowledged_comes_again_to_the_next_bind_end() {
    over_each("again", async |transport| {
        let (server, client, bound) = transport.pair_of(careful(), careful()).await;
        for i in 0..100_u8 {
            client.send(vec![i]).await.unwrap();
        }
        for i in 0..50_u8 {
            assert_eq!(server.recv().await.unwrap().payload()[..], [i]);
        }
        server.close_within(Duration::ZERO).await;
        drop(server);
        let successor = careful().start().unwrap();
        transport.bind_again(&successor, bound).await;
        let mut missing: std::collections::BTreeSet<u8> = (50..100).collect();
        while !missing.is_empty() {
            let message = successor.recv().await.unwrap();
            missing.remove(&message.payload()[0]);
        }
    })
    .await;
}

#[actix::test]
async fn one_peer_is_reached_by_its_identity_and_all_by_publishing() {
    over_each("identity", async |transport| {
        let publisher = Socket::builder().send_mode(SendMode::Publish);
        let (server, first, bound) = transport.pair_of(publisher, Socket::builder()).await;
        let second = Socket::start().unwrap();
        transport.connect(&second, &bound).await;
        server.wait_for_peers(2).await.unwrap();
        server
            .send_to(second.identity(), "to the second")
            .await
            .unwrap();
        server
            .send_to(first.identity(), "to the first")
            .await
            .unwrap();
        server.send("to both").await.unwrap();
        for (socket, own) in [(&first, "to the first"), (&second, "to the second")] {
            assert_eq!(socket.recv().await.unwrap().text().unwrap(), own);
            let message = socket.recv().await.unwrap();
            assert_eq!(message.text().unwrap(), "to both");
            message.reply("an answer").unwrap();
            let answer = server.recv().await.unwrap();
            assert_eq!(answer.peer(), socket.identity());
        }
    })
    .await;
}

#[actix::test]
async fn a_frame_above_the_limit_ends_its_connection_and_the_peer_comes_back() {
    over_each("limit", async |transport| {
        let modest = Socket::builder().max_frame_bytes(1000);
        let (server, client, _) = transport.pair_of(modest, Socket::builder()).await;
        let watch = server.watch(client.identity());
        client.send(vec![7; 1 << 20]).await.unwrap();
        let down = watch.await;
        assert!(
            matches!(down.reason, DownReason::Oversize { limit: 1000, .. }),
            "over {}: {down:?}",
            transport.name
        );
        server.wait_for_peers(1).await.unwrap();
        // It may have come back before it saw that it was sent away.
        while client.stats().joins < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        client.send("small").await.unwrap();
        assert_eq!(server.recv().await.unwrap().text().unwrap(), "small");
    })
    .await;
}

#[actix::test]
async fn an_identity_that_is_connected_is_refused_a_second_time() {
    over_each("duplicate", async |transport| {
        let identity = Identity::random();
        let named = || Socket::builder().identity(identity);
        let (server, client, bound) = transport.pair_of(Socket::builder(), named()).await;
        let second = named().start().unwrap();
        transport.connect(&second, &bound).await;
        while server.stats().refused == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        client.send("the first").await.unwrap();
        assert_eq!(server.recv().await.unwrap().text().unwrap(), "the first");
        client.close().await;
        second.send("the second").await.unwrap();
        assert_eq!(server.recv().await.unwrap().text().unwrap(), "the second");
    })
    .await;
}

#[actix::test]
async fn a_receiver_that_stops_reading_slows_its_sender_and_loses_nothing() {
    over_each("pressure", async |transport| {
        let (server, client, _) = transport.pair().await;
        let payload = vec![1; 10_000];
        let mut accepted = 0_usize;
        // 64 MiB do not fit anywhere in between.
        while timeout(Duration::from_millis(200), client.send(payload.clone()))
            .await
            .is_ok()
        {
            accepted += 1;
            assert!(accepted < 6400, "over {} nothing is slowed", transport.name);
        }
        for _ in 0..accepted {
            assert_eq!(server.recv().await.unwrap().payload().len(), payload.len());
        }
    })
    .await;
}

/// One port serves raw peers and WebSocket peers at once.
#[actix::test]
async fn one_port_serves_raw_and_websocket_peers_at_once() {
    let groups: [&[&str]; 2] = [&["tcp", "ws"], &["tls", "wss"]];
    for group in groups {
        let all = transports("one-port");
        let Some(first) = all.iter().find(|it| it.name == group[0]) else {
            continue;
        };
        let server = Socket::start().unwrap();
        let bound = server
            .bind_with(&first.bind[..], first.bind_options.clone())
            .await
            .unwrap();
        let mut clients = Vec::new();
        for name in group {
            let client = Socket::start().unwrap();
            let endpoint = format!("{name}://127.0.0.1:{}", bound.port().unwrap());
            client
                .connect_with(endpoint, first.connect_options.clone())
                .await
                .unwrap();
            clients.push(client);
        }
        let conversation = async {
            server.wait_for_peers(clients.len()).await.unwrap();
            for client in &clients {
                client.send("hello").await.unwrap();
                let peer = server.recv().await.unwrap().peer();
                assert_eq!(peer, client.identity());
                server.send_to(peer, "answer").await.unwrap();
                assert_eq!(client.recv().await.unwrap().text().unwrap(), "answer");
            }
        };
        timeout(LONG, conversation).await.expect("it took too long");
    }
}

/// Sockets within an actix-web application.
#[cfg(feature = "actix-web")]
mod mounted {
    use std::net::SocketAddr;

    use super::support::site::{FREE, PATH, Site};
    use super::*;

    /// How the web server is started.
    pub(super) struct Mount {
        #[cfg(feature = "tls-dev")]
        tls: Option<actix_aiomsg::tls::TlsServer>,
    }

    pub(super) fn transports() -> Vec<Transport> {
        let mut plain = Transport::plain("ws to a mount", "");
        plain.mount = Some(Mount {
            #[cfg(feature = "tls-dev")]
            tls: None,
        });
        #[cfg_attr(not(feature = "tls-dev"), expect(unused_mut))]
        let mut all = vec![plain];
        #[cfg(feature = "tls-dev")]
        {
            let dev = Tls::dev();
            let mut secure = Transport::plain("wss to a mount", "");
            let tls = Some(dev.mutual_server());
            secure.mount = Some(Mount { tls });
            secure.connect_options = ConnectOptions::new().tls(dev.client_named("client"));
            all.push(secure);
        }
        all
    }

    impl Mount {
        pub(super) fn serve(&self, socket: &Socket) -> Bound {
            self.serve_at(FREE, socket)
        }

        /// The web server ends, and another one takes its place.
        pub(super) async fn serve_again(&self, socket: &Socket, site: Site) -> Bound {
            site.stop(false).await;
            self.serve_at(site.address, socket)
        }

        fn serve_at(&self, address: SocketAddr, socket: &Socket) -> Bound {
            #[cfg(feature = "tls-dev")]
            if let Some(tls) = &self.tls {
                let tls = (*tls.config()).clone();
                return bound("wss", Site::secured_at(address, socket, tls));
            }
            bound("ws", Site::at(address, socket))
        }
    }

    fn bound(scheme: &str, site: Site) -> Bound {
        let endpoint = format!("{scheme}://{}{PATH}", site.address);
        Bound {
            endpoint: endpoint.parse().unwrap(),
            site: Some(site),
        }
    }
}
