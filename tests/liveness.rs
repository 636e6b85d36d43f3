//! Heartbeats and silence (WIRE §5), with short timers. Nothing here depends on how fast the
//! machine is: what must not happen early is measured against what it must follow.

mod support;

use std::time::{Duration, Instant};

use actix_aiomsg::prelude::*;
use support::aside;
use support::host::Host;
use support::raw_peer::{DATA, HEARTBEAT, RawPeer, frame};

const ME: [u8; 16] = [7; 16];
const INTERVAL: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_millis(600);

async fn host() -> Host {
    let builder = Socket::builder()
        .heartbeat_interval(INTERVAL)
        .heartbeat_timeout(TIMEOUT);
    Host::alone(builder).await
}

/// One that beats often and waits long.
async fn patient_host() -> Host {
    Host::alone(Socket::builder().heartbeat_interval(INTERVAL)).await
}

#[actix::test]
async fn an_idle_connection_sends_heartbeats_and_none_before_its_interval() {
    let host = patient_host().await;
    let address = host.address;
    aside(move || {
        let start = Instant::now();
        let mut peer = RawPeer::introduced(address, ME);
        for count in 1..=5 {
            let beat = peer.read().unwrap().expect("the connection stands");
            assert_eq!((beat.kind, beat.body.len()), (HEARTBEAT, 0));
            assert!(start.elapsed() >= INTERVAL * count);
        }
    })
    .await;
}

#[actix::test]
async fn a_connection_that_sends_is_not_idle() {
    let host = patient_host().await;
    let address = host.address;
    let reading = aside(move || {
        let mut peer = RawPeer::introduced(address, ME);
        let mut beats = 0;
        loop {
            let frame = peer.read().unwrap().expect("the connection stands");
            match &frame.body[..] {
                b"end" => return beats,
                _ => beats += u32::from(frame.kind == HEARTBEAT),
            }
        }
    });
    let sending = async {
        let (start, mut last, mut longest) = (Instant::now(), None::<Instant>, Duration::ZERO);
        host.socket.wait_for_peers(1).await.unwrap();
        while start.elapsed() < INTERVAL * 4 {
            host.socket.send("busy").await.unwrap();
            longest = longest.max(last.map_or(Duration::ZERO, |last| last.elapsed()));
            last = Some(Instant::now());
            tokio::time::sleep(INTERVAL / 16).await;
        }
        host.socket.send("end").await.unwrap();
        longest.max(last.map_or(Duration::ZERO, |last| last.elapsed()))
    };
    let (beats, longest_pause) = tokio::join!(reading, sending);
    assert!(
        beats == 0 || longest_pause >= INTERVAL,
        "{beats} heartbeats though the longest pause was {longest_pause:?}"
    );
}

/// Connects, does `then`, and waits for the end, which must not come before the timeout.
async fn dies_of_silence(then: impl FnOnce(&mut RawPeer) + Send + 'static) {
    let mut host = host().await;
    let address = host.address;
    let lasted = aside(move || {
        let start = Instant::now();
        let mut peer = RawPeer::introduced(address, ME);
        then(&mut peer);
        peer.expect_end();
        start.elapsed()
    })
    .await;
    assert_eq!(host.down_reason().await, DownReason::Silent);
    assert!(lasted >= TIMEOUT, "{lasted:?}");
    assert!(host.messages.is_empty());
}

#[actix::test]
async fn a_silent_peer_is_found_dead_at_the_timeout_and_not_before() {
    dies_of_silence(|_| {}).await;
}

#[actix::test]
async fn half_a_frame_and_then_silence_is_death() {
    dies_of_silence(|peer| peer.say(&frame(DATA, b"never whole")[..9])).await;
}

#[actix::test]
async fn a_frame_that_dribbles_and_is_not_whole_in_time_is_death() {
    dies_of_silence(|peer| {
        peer.say(&[0, 1, 0, 0, DATA]);
        for _ in 0..10 {
            std::thread::sleep(TIMEOUT / 20);
            peer.say(b"x");
        }
    })
    .await;
}

#[actix::test]
async fn a_peer_that_only_sends_heartbeats_lives() {
    let mut host = host().await;
    let address = host.address;
    let (peer, longest_pause) = aside(move || {
        let mut peer = RawPeer::introduced(address, ME);
        let (start, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
        while start.elapsed() < TIMEOUT * 4 && longest < TIMEOUT {
            peer.frame(HEARTBEAT, b"");
            longest = longest.max(last.elapsed());
            last = Instant::now();
            std::thread::sleep(INTERVAL / 4);
        }
        if longest < TIMEOUT {
            peer.data(b"alive");
        }
        (peer, longest.max(last.elapsed()))
    })
    .await;
    if longest_pause < TIMEOUT {
        assert_eq!(host.message().await, "alive");
    }
    drop(peer);
}

#[actix::test]
async fn every_frame_is_a_sign_of_life_even_one_that_makes_no_sense() {
    let mut host = host().await;
    let address = host.address;
    let (peer, longest_pause) = aside(move || {
        let mut peer = RawPeer::introduced(address, ME);
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        for _ in 0..40 {
            if longest < TIMEOUT {
                peer.frame(0x77, b"?");
            }
            longest = longest.max(last.elapsed());
            last = Instant::now();
            std::thread::sleep(TIMEOUT / 20);
        }
        if longest < TIMEOUT {
            peer.data(b"alive");
        }
        (peer, longest.max(last.elapsed()))
    })
    .await;
    if longest_pause < TIMEOUT {
        assert_eq!(host.message().await, "alive");
    }
    drop(peer);
}
