use std::net::Ipv4Addr;

use super::*;
use crate::transport::TransportError;

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}

async fn listen_on(text: &str) -> io::Result<Acceptor> {
    Acceptor::listen(&endpoint(text), &BindOptions::new(), &Default::default()).await
}

#[tokio::test]
async fn the_endpoint_has_the_port_that_was_bound() {
    let acceptor = listen_on("tcp://127.0.0.1:0").await.unwrap();
    assert_ne!(acceptor.endpoint().port(), Some(0));
    assert_eq!(acceptor.endpoint().host(), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_taken_port_is_refused_with_a_sentence() {
    let first = listen_on("tcp://127.0.0.1:0").await.unwrap();
    let error = listen_on(&first.endpoint().to_string()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let sentence = error.to_string();
    assert!(
        sentence.contains(&first.endpoint().to_string()),
        "{sentence}"
    );
    assert!(sentence.contains("choose another endpoint"), "{sentence}");
}

#[tokio::test]
async fn an_address_of_ipv4_may_be_written_as_one_of_ipv6() {
    let acceptor = listen_on("tcp://[::ffff:127.0.0.1]:0").await.unwrap();
    let address = ("127.0.0.1", acceptor.endpoint().port().unwrap());
    let (client, accepted) =
        tokio::join!(tokio::net::TcpStream::connect(address), acceptor.accept());
    client.unwrap();
    accepted.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_zone_that_leads_nowhere_is_told_as_that() {
    for (text, told) in [
        ("tcp://[fe80::1%nope]:0", "there is no interface \"nope\""),
        ("tcp://[::1%lo]:0", "::1 takes no zone"),
        ("tcp://[fd00::1%nope]:0", "fd00::1 takes no zone"),
    ] {
        let error = listen_on(text).await.unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
}

#[tokio::test]
async fn a_port_is_free_again_once_its_acceptor_is_dropped() {
    let first = listen_on("tcp://127.0.0.1:0").await.unwrap();
    let text = first.endpoint().to_string();
    drop(first);
    listen_on(&text).await.unwrap();
}

#[tokio::test]
async fn a_name_is_bound_on_all_its_addresses_on_one_port() {
    let acceptor = listen_on("tcp://localhost:0").await.unwrap();
    let port = acceptor.endpoint().port().unwrap();
    let all = resolve::resolve(&endpoint("tcp://localhost:1"))
        .await
        .unwrap();
    assert!(
        all.iter()
            .any(|address| address.ip() == Ipv4Addr::LOCALHOST)
    );
    let (client, accepted) = tokio::join!(
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)),
        acceptor.accept()
    );
    let local = client.unwrap().local_addr().unwrap();
    assert_eq!(*accepted.unwrap().remote(), PeerAddress::Socket(local));
}

#[tokio::test]
async fn an_accepted_connection_can_be_established_on_another_runtime() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let acceptor = listen_on("tcp://127.0.0.1:0").await.unwrap();
    let address = ("127.0.0.1", acceptor.endpoint().port().unwrap());
    let (client, accepted) =
        tokio::join!(tokio::net::TcpStream::connect(address), acceptor.accept());
    let accepted = accepted.unwrap();
    let served = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut established = accepted.establish().await.unwrap();
            assert_eq!(established.already_read[..], [0]);
            established.stream.write_all(&[7]).await.unwrap();
        });
    });
    let mut client = client.unwrap();
    client.write_all(&[0]).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), 7);
    served.join().unwrap();
}

async fn refused(first: &[u8]) -> TransportError {
    use tokio::io::AsyncWriteExt;

    let acceptor = listen_on("tcp://127.0.0.1:0").await.unwrap();
    let address = ("127.0.0.1", acceptor.endpoint().port().unwrap());
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client.write_all(first).await.unwrap();
    client.shutdown().await.unwrap();
    let accepted = acceptor.accept().await.unwrap();
    accepted.establish().await.unwrap_err()
}

#[tokio::test]
async fn the_first_byte_tells_who_does_not_belong_here() {
    assert!(matches!(refused(b"").await, TransportError::Silent));
    assert!(matches!(
        refused(&[0x16, 3, 1]).await,
        TransportError::TlsOnPlainPort
    ));
    let other = refused(b"SSH-2.0").await;
    assert!(matches!(
        other,
        TransportError::UnknownProtocol { first_byte: b'S' }
    ));
}

#[tokio::test]
async fn a_connection_that_is_reset_before_its_first_byte_has_said_nothing() {
    let acceptor = listen_on("tcp://127.0.0.1:0").await.unwrap();
    let address = ("127.0.0.1", acceptor.endpoint().port().unwrap());
    let client = tokio::net::TcpStream::connect(address).await.unwrap();
    let accepted = acceptor.accept().await.unwrap();
    // With no time to linger, closing is a reset.
    socket2::SockRef::from(&client)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(client);
    let refused = accepted.establish().await.unwrap_err();
    assert!(matches!(refused, TransportError::Silent), "{refused:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn accept_errors_are_told_apart() {
    let fault = |code| AcceptFault::of(&io::Error::from_raw_os_error(code));
    for exhausted in [12, 23, 24, 105] {
        assert_eq!(fault(exhausted), AcceptFault::Exhausted);
    }
    for transient in [4, 103, 104, 71, 110, 113] {
        assert_eq!(fault(transient), AcceptFault::Connection);
    }
    for fatal in [9, 22, 88, 95] {
        assert_eq!(fault(fatal), AcceptFault::Fatal);
    }
}
