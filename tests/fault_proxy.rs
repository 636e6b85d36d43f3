//! The fault proxy of the test suite does what it says: a fault test is worth no more than it.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use support::PATIENCE;
use support::proxy::{Fault, FaultProxy, Side};

/// A client and a server with the proxy between them.
struct Pair {
    proxy: FaultProxy,
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let target = listener.local_addr().expect("a bound address");
        let proxy = FaultProxy::start(target);
        let client = connect(proxy.address());
        let (server, _) = listener.accept().expect("the proxy connects");
        server
            .set_read_timeout(Some(PATIENCE))
            .expect("a TCP option");
        Self {
            proxy,
            client,
            server,
        }
    }

    fn passes(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).expect("the proxy reads");
        let mut arrived = vec![0; bytes.len()];
        self.server
            .read_exact(&mut arrived)
            .expect("the proxy passes it on");
        assert_eq!(arrived, bytes);
    }

    fn server_hears_nothing(&mut self) {
        self.server
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a TCP option");
        let error = self.server.read(&mut [0]).expect_err("nothing comes");
        assert!(matches!(
            error.kind(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut
        ));
        self.server
            .set_read_timeout(Some(PATIENCE))
            .expect("a TCP option");
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the proxy listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a TCP option");
    stream
}

#[test]
fn without_a_fault_bytes_pass_both_ways_and_ends_are_told() {
    let mut pair = Pair::new();
    pair.passes(b"there");
    pair.server.write_all(b"back").expect("the proxy reads");
    drop(pair.server);
    let mut all = Vec::new();
    pair.client.read_to_end(&mut all).expect("a clean end");
    assert_eq!(all, b"back");
    assert_eq!(pair.proxy.accepted(), 1);
}

#[test]
fn a_cut_ends_both_sides_and_serves_the_next_connection() {
    let mut pair = Pair::new();
    pair.passes(b"before");
    pair.proxy.cut();
    assert_eq!(pair.client.read(&mut [0]).expect("a clean end"), 0);
    assert_eq!(pair.server.read(&mut [0]).expect("a clean end"), 0);
    connect(pair.proxy.address());
}

#[test]
fn a_stalled_connection_passes_everything_once_it_is_healed() {
    let mut pair = Pair::new();
    pair.passes(b"before");
    pair.proxy.inflict(Fault::Stall);
    pair.client.write_all(b"held").expect("the kernel buffers");
    pair.server_hears_nothing();
    pair.proxy.heal();
    let mut arrived = [0; 4];
    pair.server.read_exact(&mut arrived).expect("it passes");
    assert_eq!(&arrived, b"held");
}

#[test]
fn behind_a_pulled_cable_nothing_arrives_and_nobody_is_told() {
    let mut pair = Pair::new();
    pair.passes(b"before");
    pair.proxy.inflict(Fault::HalfOpen);
    pair.client.write_all(b"lost").expect("the proxy reads");
    pair.client
        .shutdown(std::net::Shutdown::Both)
        .expect("it stands");
    pair.server_hears_nothing();
}

#[test]
fn what_a_muted_side_says_is_lost_and_what_it_hears_is_not() {
    let mut pair = Pair::new();
    pair.passes(b"before");
    pair.proxy.inflict(Fault::Mute(Side::Server));
    pair.server.write_all(b"lost").expect("the proxy reads");
    pair.passes(b"heard");
    pair.proxy.cut();
    assert_eq!(pair.client.read(&mut [0]).expect("a clean end"), 0);
}

#[cfg(unix)]
#[test]
fn a_proxy_of_unix_sockets_passes_bytes_and_cuts() {
    use std::os::unix::net::{UnixListener, UnixStream};

    let folder = std::env::temp_dir().join(format!("fault-proxy-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let [here, there] = ["here", "there"].map(|name| folder.join(name));
    let listener = UnixListener::bind(&there).expect("a free path");
    let proxy = FaultProxy::start_unix(&here, &there);
    let mut client = UnixStream::connect(&here).expect("the proxy listens");
    let (mut server, _) = listener.accept().expect("the proxy connects");
    client.write_all(b"there").expect("the proxy reads");
    let mut arrived = [0; 5];
    server.read_exact(&mut arrived).expect("it passes");
    proxy.cut();
    assert_eq!(client.read(&mut [0]).expect("a clean end"), 0);
    drop(proxy);
    std::fs::remove_dir_all(folder).expect("nobody needs it");
}

#[test]
fn dribbled_bytes_all_arrive() {
    let mut pair = Pair::new();
    pair.proxy
        .inflict(Fault::Dribble(Duration::from_micros(100)));
    pair.passes(&[7; 300]);
}

#[test]
fn a_reset_comes_after_so_many_bytes() {
    let mut pair = Pair::new();
    pair.proxy.inflict(Fault::ResetAfter(10));
    pair.client
        .write_all(b"0123456789and more")
        .expect("the kernel buffers");
    for stream in [&mut pair.client, &mut pair.server] {
        let error = stream
            .read_to_end(&mut Vec::new())
            .expect_err("no clean end");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_proxy_that_refuses_closes_at_once() {
    let pair = Pair::new();
    pair.proxy.inflict(Fault::Refuse);
    let mut refused = connect(pair.proxy.address());
    assert_eq!(refused.read(&mut [0]).expect("a clean end"), 0);
    assert_eq!(pair.proxy.accepted(), 2);
}
