//! The limits of a socket and of its process: one connection too many, and no descriptors left.

mod support;

use std::process::Command;

use actix_aiomsg::event::Limit;
use actix_aiomsg::prelude::*;
use support::host::Host;
use support::process::Process;
use support::raw_peer::RawPeer;
use support::{aside, eventually};

/// Present in the process that runs out of descriptors.
const CHILD: &str = "AIOMSG_TEST_FEW_DESCRIPTORS";

#[actix::test]
async fn a_connection_above_the_limit_is_accepted_counted_and_closed() {
    let mut host = Host::start(Socket::builder().max_connections(3)).await;
    let address = host.address;
    let (leaving, staying) = aside(move || {
        let leaving = RawPeer::introduced(address, [1; 16]);
        let staying = RawPeer::introduced(address, [2; 16]);
        for _ in 0..5 {
            RawPeer::connect(address).expect_end();
        }
        (leaving, staying)
    })
    .await;
    let limit = host
        .event(|event| match event {
            SocketEvent::Overloaded { limit, .. } => Some(limit),
            _ => None,
        })
        .await;
    assert_eq!(limit, Limit::Connections);
    assert_eq!(host.socket.stats().refused, 5);
    host.still_serves().await;
    drop(leaving);
    eventually("a place", || host.socket.stats().connections == 2).await;
    aside(move || RawPeer::introduced(address, [3; 16]).data(b"in its place")).await;
    assert_eq!(host.message().await, "in its place");
    drop(staying);
}

#[actix::test]
async fn the_smallest_frame_limit_is_that_of_a_hello() {
    let error = Socket::builder().max_frame_bytes(17).start().unwrap_err();
    assert!(error.to_string().contains("18 bytes"), "{error}");
    let mut host = Host::alone(Socket::builder().max_frame_bytes(18)).await;
    let address = host.address;
    let peer = aside(move || {
        let mut peer = RawPeer::introduced(address, [1; 16]);
        peer.data(b"seventeen bytes !");
        peer.data(b"eighteen bytes !!!");
        peer
    })
    .await;
    assert_eq!(host.message().await, "seventeen bytes !");
    let down = host.down_reason().await;
    let oversize = DownReason::Oversize {
        announced: 19,
        limit: 18,
    };
    assert_eq!(down, oversize);
    drop(peer);
}

#[actix::test]
async fn without_descriptors_accepting_pauses_and_then_goes_on() {
    if std::env::var_os(CHILD).is_some() {
        return be_the_child().await;
    }
    let mut child = Process::spawn(
        Command::new(std::env::current_exe().expect("this very program"))
            .args(["--exact", "--nocapture"])
            .arg("without_descriptors_accepting_pauses_and_then_goes_on")
            .env(CHILD, "1"),
    );
    let line = child.stderr.find(|line| line.starts_with("address ")).await;
    let address: std::net::SocketAddr = line["address ".len()..].parse().expect("an address");
    let mut good = aside(move || RawPeer::introduced(address, [1; 16])).await;
    let crowd = aside(move || {
        (0..64)
            .map(|_| RawPeer::connect(address))
            .collect::<Vec<_>>()
    })
    .await;
    child.stderr.find(|line| line == "no descriptors").await;
    good = aside(move || {
        good.data(b"still served");
        good
    })
    .await;
    child.stderr.find(|line| line == "got still served").await;
    drop(crowd);
    let late = aside(move || {
        let mut late = RawPeer::introduced(address, [2; 16]);
        late.data(b"served again");
        late
    })
    .await;
    child.stderr.find(|line| line == "got served again").await;
    child.close_stdin();
    assert!(child.exit().await.success());
    drop((good, late));
}

#[actix::test]
async fn with_every_connection_of_two_sockets_taken_the_application_still_opens_files() {
    const FILES: usize = 64;
    const TEST: &str =
        "with_every_connection_of_two_sockets_taken_the_application_still_opens_files";
    if std::env::var_os(CHILD).is_some() {
        let (_, hard) = rlimit::getrlimit(rlimit::Resource::NOFILE).expect("a limit");
        rlimit::setrlimit(rlimit::Resource::NOFILE, 256, hard).expect("it is lower");
        let mut one = Host::alone(Socket::builder()).await;
        let mut other = Host::alone(Socket::builder()).await;
        for host in [&mut one, &mut other] {
            eprintln!("address {}", host.address);
        }
        for host in [&mut one, &mut other] {
            let full = |event| match event {
                SocketEvent::Overloaded { limit, .. } => Some(limit),
                _ => None,
            };
            assert_eq!(host.event(full).await, Limit::Connections);
        }
        let files = (0..FILES).map(|_| std::fs::File::open("/dev/null"));
        let files: Vec<_> = files
            .collect::<Result<_, _>>()
            .expect("descriptors are left");
        eprintln!(
            "opened {} beside {}",
            files.len(),
            one.socket.stats().connections + other.socket.stats().connections
        );
        aside(|| std::io::stdin().read_line(&mut String::new()))
            .await
            .expect("an end");
        return;
    }
    let mut child = Process::spawn(
        Command::new(std::env::current_exe().expect("this very program"))
            .args(["--exact", "--nocapture", TEST])
            .env(CHILD, "1"),
    );
    let mut crowds = Vec::new();
    for _ in 0..2 {
        let line = child.stderr.find(|line| line.starts_with("address ")).await;
        let address: std::net::SocketAddr = line["address ".len()..].parse().expect("an address");
        let crowd = move || (0..256).map(|_| RawPeer::connect(address)).collect();
        let crowd: Vec<_> = aside(crowd).await;
        crowds.push(crowd);
    }
    let opened = format!("opened {FILES} beside ");
    child.stderr.find(|line| line.starts_with(&opened)).await;
    child.close_stdin();
    assert!(child.exit().await.success());
    drop(crowds);
}

/// Serves with eight descriptors more than it needs, and says on standard error what happens.
async fn be_the_child() {
    let mut host = Host::alone(Socket::builder().max_connections(1000)).await;
    let open = std::fs::read_dir("/proc/self/fd").expect("Linux").count() as u64;
    let (_, hard) = rlimit::getrlimit(rlimit::Resource::NOFILE).expect("a limit");
    rlimit::setrlimit(rlimit::Resource::NOFILE, open + 8, hard).expect("it is lower");
    eprintln!("address {}", host.address);
    let end = aside(|| std::io::stdin().read_line(&mut String::new()));
    tokio::pin!(end);
    loop {
        tokio::select! {
            event = host.events.next() => {
                if matches!(event, Ok(SocketEvent::Overloaded { limit: Limit::Descriptors, .. })) {
                    eprintln!("no descriptors");
                }
            }
            Some(message) = host.messages.recv() => {
                eprintln!("got {}", String::from_utf8_lossy(&message));
            }
            _ = &mut end => return,
        }
    }
}
