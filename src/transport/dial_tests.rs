use std::net::SocketAddr;
use std::str::FromStr;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::transport::{Acceptor, BindOptions};

async fn listen_on(text: &str) -> Acceptor {
    Acceptor::listen(
        &text.parse().unwrap(),
        &BindOptions::new(),
        &Default::default(),
    )
    .await
    .unwrap()
}

/// Both ends of a connection, of which the client has said one byte.
async fn established(options: &ConnectOptions) -> (Established, Established) {
    let acceptor = listen_on("tcp://127.0.0.1:0").await;
    let endpoint = acceptor.endpoint();
    let (client, server) = tokio::join!(
        async {
            let mut client = dial(&endpoint, options).await?;
            client.stream.write_all(&[0]).await.unwrap();
            Ok::<_, TransportError>(client)
        },
        async { acceptor.accept().await.unwrap().establish().await },
    );
    (client.unwrap(), server.unwrap())
}

#[tokio::test]
async fn both_ends_see_the_same_stream_and_addresses() {
    let options = ConnectOptions::new().keepalive(Duration::from_secs(60));
    let (mut client, mut server) = established(&options).await;
    assert_eq!(client.meta.remote, server.meta.local);
    assert_eq!(client.meta.local, server.meta.remote);
    assert_eq!(client.meta.transport, TransportKind::Tcp);
    assert_eq!(server.already_read[..], [0]);
    client.stream.write_all(b"ping").await.unwrap();
    client.stream.shutdown().await.unwrap();
    let mut received = Vec::new();
    server.stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"ping");
}

#[cfg(any(target_os = "android", target_os = "linux"))]
#[tokio::test]
async fn every_time_of_keepalive_is_brought_into_what_the_system_takes() {
    for (keepalive, taken) in [
        (Duration::ZERO, 1),
        (Duration::from_millis(500), 1),
        (Duration::from_secs(90), 90),
        (Duration::from_secs(24 * 60 * 60), 32_767),
        (Duration::MAX, 32_767),
    ] {
        let options = ConnectOptions::new().keepalive(keepalive);
        let (client, _server) = established(&options).await;
        let ByteStream::Tcp(stream) = &client.stream else {
            panic!("{:?}", client.stream);
        };
        let time = socket2::SockRef::from(stream).tcp_keepalive_time();
        assert_eq!(time.unwrap(), Duration::from_secs(taken));
    }
}

#[cfg(any(target_os = "android", target_os = "linux"))]
#[tokio::test]
async fn the_system_holds_little_that_it_cannot_send_at_either_end() {
    let limit_of = |stream: &ByteStream| {
        let ByteStream::Tcp(stream) = stream else {
            panic!("{stream:?}");
        };
        socket2::SockRef::from(stream).tcp_notsent_lowat().unwrap()
    };
    let chosen = ConnectOptions::new().unsent_limit(1 << 20);
    let (client, server) = established(&chosen).await;
    assert_eq!(limit_of(&client.stream), 1 << 20);
    assert_eq!(limit_of(&server.stream), 64 * 1024);
}

#[tokio::test]
async fn a_stream_says_whether_there_is_something_to_read_and_wakes_whoever_asked() {
    let (client, server) = established(&ConnectOptions::new()).await;
    let (mut client, mut server) = (client.stream, server.stream);
    let mut bytes = [0; 16];
    server.write_all(b"one").await.unwrap();
    assert_eq!(client.read(&mut bytes).await.unwrap(), 3);
    // A short read has left nothing, and says so without asking the kernel again.
    let ready = std::future::poll_fn(|cx| Poll::Ready(client.poll_read_ready(cx)));
    assert!(ready.await.is_pending());
    let ((), ()) = tokio::join!(
        std::future::poll_fn(|cx| client.poll_read_ready(cx)),
        async { server.write_all(b"two").await.unwrap() },
    );
    assert_eq!(client.read(&mut bytes).await.unwrap(), 3);
    drop(server);
    std::future::poll_fn(|cx| client.poll_read_ready(cx)).await;
    assert_eq!(client.read(&mut bytes).await.unwrap(), 0);
}

#[tokio::test]
async fn a_closed_port_is_a_connect_error_with_the_address() {
    let acceptor = listen_on("tcp://127.0.0.1:0").await;
    let endpoint = acceptor.endpoint();
    drop(acceptor);
    match dial(&endpoint, &ConnectOptions::new()).await {
        Err(TransportError::Connect {
            address, source, ..
        }) => {
            assert_eq!(address.socket_addr().map(|it| it.port()), endpoint.port());
            assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_address_that_stands_for_all_is_explained_where_nobody_listens() {
    let acceptor = listen_on("tcp://127.0.0.1:0").await;
    let port = acceptor.endpoint().port().unwrap();
    drop(acceptor);
    for (host, told) in [("0.0.0.0", "0.0.0.0 means"), ("[::]", ":: means")] {
        let endpoint: Endpoint = format!("tcp://{host}:{port}").parse().unwrap();
        let error = dial(&endpoint, &ConnectOptions::new()).await.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_path_that_is_no_socket_is_told_as_that() {
    let file = std::env::temp_dir().join(format!("aiomsg-no-socket-{}", std::process::id()));
    std::fs::write(&file, "").unwrap();
    let mut told = Vec::new();
    for path in [&*file, &std::env::temp_dir()] {
        let endpoint = Endpoint::from_str(&format!("unix://{}", path.display())).unwrap();
        told.push((
            endpoint.to_string(),
            dial(&endpoint, &ConnectOptions::new()).await,
        ));
    }
    std::fs::remove_file(&file).unwrap();
    for (endpoint, result) in told {
        let expected =
            format!("cannot connect to {endpoint}: something that is no socket is there");
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_resolve_error() {
    let endpoint: Endpoint = "tcp://does-not-exist.invalid:1".parse().unwrap();
    let result = dial(&endpoint, &ConnectOptions::new()).await;
    assert!(
        matches!(result, Err(TransportError::Resolve { .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_name_is_dialled_at_each_of_its_addresses() {
    // Bound on IPv4 alone: where the name has an IPv6 address too, that one refuses first.
    let acceptor = listen_on("tcp://127.0.0.1:0").await;
    let endpoint = Endpoint::from(SocketAddr::from((
        [127, 0, 0, 1],
        acceptor.endpoint().port().unwrap(),
    )));
    let named: Endpoint = format!("tcp://localhost:{}", endpoint.port().unwrap())
        .parse()
        .unwrap();
    let established = dial(&named, &ConnectOptions::new()).await.unwrap();
    assert_eq!(
        established.meta.remote.to_string(),
        format!("127.0.0.1:{}", endpoint.port().unwrap())
    );
}

#[tokio::test]
async fn a_listener_that_never_accepts_ends_in_the_connect_timeout() {
    // A full backlog drops further SYNs, on Linux.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let options = ConnectOptions::new().connect_timeout(Duration::from_millis(100));
    let mut fillers = Vec::new();
    for _ in 0..8 {
        match dial(&Endpoint::from(address), &options).await {
            Ok(established) => fillers.push(established),
            Err(TransportError::ConnectTimeout { timeout, .. }) => {
                assert_eq!(timeout, options.tcp_timeout());
                return;
            }
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the backlog was never full");
}

#[test]
fn an_idle_stream_is_small() {
    // What is held for each of ten thousand connections that say nothing. The resolver of `dns` builds tokio with both of
    // its schedulers, and each stream says which one it is of.
    let scheduler = if cfg!(feature = "dns") { 8 } else { 0 };
    let size = size_of::<ByteStream>();
    assert!(size <= 40 + scheduler, "{size}");
}
