use std::net::{Ipv4Addr, TcpListener};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A listener that takes no connection: a full backlog drops what comes next, on Linux.
struct BlackHole {
    address: SocketAddr,
    _full: (socket2::Socket, Vec<socket2::Socket>),
}

impl BlackHole {
    fn new() -> Self {
        let new = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let listener = new().unwrap();
        let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let fillers = (0..8).map(|_| {
            let filler = new().unwrap();
            filler.set_nonblocking(true).unwrap();
            // It is in progress, or is never answered.
            let _ = filler.connect(&address);
            filler
        });
        let fillers = fillers.collect();
        Self {
            address: address.as_socket().unwrap(),
            _full: (listener, fillers),
        }
    }
}

/// An address on which nobody listens.
fn closed() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn black_holes_do_not_keep_a_good_address_from_being_found() {
    let holes = [BlackHole::new(), BlackHole::new(), BlackHole::new()];
    let good = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let good = good.local_addr().map(|address| (good, address)).unwrap();
    let mut addresses: Vec<_> = holes.iter().map(|hole| hole.address).collect();
    addresses.push(good.1);
    // Each of them alone would take longer than any handshake.
    let mut race = TcpRace::new(addresses.clone(), &[], TIMEOUT);
    let found = race.next().await.unwrap();
    assert_eq!(found.address, good.1);
    found.result.unwrap();
    // The rest is tried again, if the handshake of that one fails.
    drop(holes);
    let mut ended = Vec::new();
    while let Some(attempted) = race.next().await {
        attempted.result.unwrap_err();
        ended.push(attempted.address);
    }
    ended.sort();
    addresses.pop();
    addresses.sort();
    assert_eq!(ended, addresses);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn each_attempt_has_a_connect_timeout_of_its_own() {
    let holes = [BlackHole::new(), BlackHole::new()];
    let timeout = Duration::from_millis(50);
    let mut race = TcpRace::new(
        holes.iter().map(|hole| hole.address).collect(),
        &[],
        timeout,
    );
    for hole in &holes {
        let attempted = race.next().await.unwrap();
        assert_eq!(attempted.address, hole.address);
        assert!(attempted.since.elapsed() >= timeout);
        assert!(matches!(attempted.result, Err(AttemptFailure::TimedOut)));
    }
    assert!(race.next().await.is_none());
}

#[tokio::test]
async fn a_refusal_goes_on_with_the_next_address() {
    let addresses = [closed(), closed(), closed()];
    let mut race = TcpRace::new(addresses.to_vec(), &[], TIMEOUT);
    for address in addresses {
        let attempted = race.next().await.unwrap();
        assert_eq!(attempted.address, address);
        assert!(matches!(attempted.result, Err(AttemptFailure::Refused(_))));
    }
    assert!(race.next().await.is_none());
}

#[tokio::test]
async fn a_stream_that_is_connected_to_itself_is_found_out() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    // TCP's simultaneous open, of one socket with itself.
    socket.connect(&socket.local_addr().unwrap()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let stream = TcpStream::from_std(socket.into()).unwrap();
    let own = stream.local_addr().unwrap();
    assert!(is_self_connected(&stream, own, own));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialled = listener.local_addr().unwrap();
    let other = TcpStream::connect(dialled).await.unwrap();
    assert!(!is_self_connected(
        &other,
        other.local_addr().unwrap(),
        dialled
    ));
}
