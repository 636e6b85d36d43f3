//! Recordings of relays: what is recorded, what is never written over, what a cut or damaged file yields, and the replay.

mod support;

use std::fs;
use std::time::Duration;

use actix_aiomsg::Identity;
use actix_aiomsg::prelude::*;
use actix_aiomsg::relay::capture::{CaptureEnd, CaptureError, CaptureReader, Replay, ReplayError};
use actix_aiomsg::relay::{Relay, RelayError, RelayEvent, RelayHandle};
use actix_aiomsg::testing::Probe;
use support::actors::collect;
use support::folder::Scratch;

fn new_file() -> Scratch {
    Scratch::new("capture")
}

/// Messages that are whole, and the error behind them.
fn read(file: &Scratch) -> (Vec<String>, Option<CaptureError>) {
    let mut whole = Vec::new();
    for message in CaptureReader::open(file.path()).unwrap() {
        match message {
            Ok(message) => whole.push(String::from_utf8(message.payload.to_vec()).unwrap()),
            Err(error) => return (whole, Some(error)),
        }
    }
    (whole, None)
}

/// A relay that records, with a peer on either side.
struct Recorded {
    relay: RelayHandle,
    from: Socket,
    to: Socket,
}

async fn start(relay: impl FnOnce(Relay) -> Relay) -> Result<Recorded, RelayError> {
    let (front, back) = (Socket::start().unwrap(), Socket::start().unwrap());
    let (from, to) = (Socket::start().unwrap(), Socket::start().unwrap());
    let relay = relay(Relay::new(&front, &back)).start()?;
    to.connect(back.bind("tcp://127.0.0.1:0").await.unwrap())
        .await
        .unwrap();
    from.connect(front.bind("tcp://127.0.0.1:0").await.unwrap())
        .await
        .unwrap();
    from.wait_for_peers(1).await.unwrap();
    to.wait_for_peers(1).await.unwrap();
    Ok(Recorded { relay, from, to })
}

/// A recording of these messages.
async fn record(file: &Scratch, messages: &[&str]) -> Identity {
    let recorded = start(|relay| relay.capture(file.path())).await.unwrap();
    for message in messages {
        recorded.from.send(message.to_string()).await.unwrap();
    }
    let mut received = collect(&recorded.to);
    assert_eq!(received.payloads(messages.len()).await, messages);
    recorded.relay.close_within(support::PATIENCE).await;
    let stats = recorded.relay.stats();
    assert_eq!(
        (stats.captured, stats.not_captured),
        (messages.len() as u64, 0)
    );
    recorded.from.identity()
}

#[actix::test]
async fn a_recording_has_what_was_passed_on_in_order_and_only_its_owner_reads_it() {
    let file = new_file();
    let peer = record(&file, &["one", "", "three"]).await;
    let messages: Vec<_> = CaptureReader::open(file.path())
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let payloads: Vec<_> = messages
        .iter()
        .map(|message| &message.payload[..])
        .collect();
    assert_eq!(payloads, [&b"one"[..], b"", b"three"]);
    assert!(messages.iter().all(|message| message.peer == peer));
    assert!(messages.is_sorted_by_key(|message| message.after));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[actix::test]
async fn a_file_that_exists_is_not_written_over_and_the_relay_can_be_started_without_it() {
    let file = new_file();
    fs::write(file.path(), "precious").unwrap();
    let (front, back) = (Socket::start().unwrap(), Socket::start().unwrap());
    let relay = Relay::new(&front, &back);
    let error = relay.clone().capture(file.path()).start().unwrap_err();
    let RelayError::Capture(CaptureError::Exists(named)) = &error else {
        panic!("{error}");
    };
    assert_eq!(*named, file.path());
    assert!(
        error.to_string().contains("a recording is a new file"),
        "{error}"
    );
    assert_eq!(fs::read(file.path()).unwrap(), b"precious");
    relay.start().unwrap();
}

#[actix::test]
async fn a_recording_that_cannot_begin_forgets_nothing_of_the_relay_in_the_other_direction() {
    let file = new_file();
    fs::write(file.path(), "precious").unwrap();
    let (front, back) = (Socket::start().unwrap(), Socket::start().unwrap());
    let there = Relay::new(&front, &back);
    there.clone().start().unwrap();
    let again = Relay::new(&back, &front);
    let error = again.clone().capture(file.path()).start().unwrap_err();
    assert!(matches!(error, RelayError::Capture(_)), "{error}");
    let second = there.start().unwrap_err();
    assert!(matches!(second, RelayError::SecondRelay), "{second}");
    again.start().unwrap();
}

#[actix::test]
async fn a_recording_ends_at_its_limit_and_the_relay_goes_on() {
    let file = new_file();
    let (events, mut told) = Probe::<RelayEvent>::recipient();
    let recorded = start(|relay| relay.capture(file.path()).capture_limit(200).events(events));
    let recorded = recorded.await.unwrap();
    let mut received = collect(&recorded.to);
    for number in 0..100 {
        let message = format!("message {number:03}");
        recorded.from.send(message).await.unwrap();
    }
    assert_eq!(received.payloads(100).await.len(), 100);
    assert_eq!(
        told.next().await.unwrap(),
        RelayEvent::CaptureEnded(CaptureEnd::Limit(200))
    );
    let stats = recorded.relay.stats();
    // 16 bytes, and 32 and 11 for each message.
    assert_eq!((stats.captured, stats.not_captured), (4, 96));
    assert_eq!(fs::metadata(file.path()).unwrap().len(), 188);
    assert_eq!(read(&file).0.len(), 4);
}

#[actix::test]
async fn a_recording_that_was_cut_anywhere_is_read_up_to_there() {
    let file = new_file();
    record(&file, &["one", "two", "three"]).await;
    let whole = fs::read(file.path()).unwrap();
    let ends = [16, 16 + 35, 16 + 70, whole.len()];
    for length in 0..=whole.len() {
        fs::write(file.path(), &whole[..length]).unwrap();
        if length < 16 {
            let error = CaptureReader::open(file.path()).unwrap_err();
            assert!(matches!(error, CaptureError::Foreign(_)), "{error}");
            continue;
        }
        let (messages, error) = read(&file);
        let before = ends.iter().filter(|end| **end <= length).count() - 1;
        assert_eq!(
            messages,
            ["one", "two", "three"][..before],
            "{length} bytes"
        );
        match error {
            None => assert!(ends.contains(&length), "{length} bytes"),
            Some(CaptureError::Cut {
                messages, offset, ..
            }) => {
                assert_eq!((messages, offset), (before as u64, ends[before] as u64));
            }
            Some(error) => panic!("{error}"),
        }
    }
}

#[actix::test]
async fn a_recording_that_grows_behind_a_cut_while_it_is_read_ends_at_the_cut() {
    let file = new_file();
    record(&file, &["one", "two"]).await;
    let whole = fs::read(file.path()).unwrap();
    let end = 16 + 35;
    for behind in 1..8 {
        fs::write(file.path(), &whole[..end + behind]).unwrap();
        let mut reader = CaptureReader::open(file.path()).unwrap();
        fs::write(file.path(), &whole).unwrap();
        assert_eq!(reader.next().unwrap().unwrap().payload, "one");
        match reader.next() {
            Some(Err(CaptureError::Cut {
                messages, offset, ..
            })) => assert_eq!((messages, offset), (1, end as u64)),
            other => panic!("{behind} bytes behind the end: {other:?}"),
        }
        assert!(reader.next().is_none());
    }
}

#[actix::test]
async fn a_damaged_recording_is_read_up_to_the_damage_whichever_byte_it_is() {
    let file = new_file();
    record(&file, &["one", "two", "three"]).await;
    let whole = fs::read(file.path()).unwrap();
    let ends = [16, 16 + 35, 16 + 70, whole.len()];
    for index in 16..whole.len() {
        let mut damaged = whole.clone();
        damaged[index] ^= 0x40;
        fs::write(file.path(), &damaged).unwrap();
        let (messages, error) = read(&file);
        let before = ends.iter().filter(|end| **end <= index).count() - 1;
        assert_eq!(messages, ["one", "two", "three"][..before], "byte {index}");
        let error = error.expect("the damage is told").to_string();
        assert!(
            error.contains(&format!("after {before} messages")),
            "byte {index}: {error}"
        );
    }
    let mut other = whole.clone();
    other[7] = 2;
    fs::write(file.path(), &other).unwrap();
    let error = CaptureReader::open(file.path()).unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");
    other[0] = 0;
    fs::write(file.path(), &other).unwrap();
    let error = CaptureReader::open(file.path()).unwrap_err();
    assert!(error.to_string().contains("is no recording"), "{error}");
}

#[actix::test]
async fn a_replay_sends_what_was_recorded_and_tells_of_a_cut() {
    let file = new_file();
    record(&file, &["one", "two", "three"]).await;
    let (here, there) = (Socket::start().unwrap(), Socket::start().unwrap());
    here.connect(there.bind("tcp://127.0.0.1:0").await.unwrap())
        .await
        .unwrap();
    let mut received = collect(&there);
    let replay = Replay::open(file.path()).unwrap().speed(1000.0);
    assert_eq!(replay.send(&here).await.unwrap(), 3);
    assert_eq!(received.payloads(3).await, ["one", "two", "three"]);

    let whole = fs::read(file.path()).unwrap();
    fs::write(file.path(), &whole[..whole.len() - 1]).unwrap();
    let replay = Replay::open(file.path()).unwrap().at_once();
    let error = replay.send(&here).await.unwrap_err();
    let ReplayError::Capture(CaptureError::Cut { messages, .. }) = error else {
        panic!("{error}");
    };
    assert_eq!(messages, 2);
    assert_eq!(received.payloads(2).await, ["one", "two"]);
}

#[actix::test]
async fn a_replay_keeps_the_pauses_of_the_recording() {
    let file = new_file();
    let recorded = start(|relay| relay.capture(file.path())).await.unwrap();
    let mut received = collect(&recorded.to);
    for pause in [0, 200, 100] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        recorded.from.send(pause.to_string()).await.unwrap();
        received.next().await;
    }
    recorded.relay.close_within(support::PATIENCE).await;
    // To nobody, so that only the pauses take time.
    let here = Socket::start().unwrap();
    let began = std::time::Instant::now();
    let replay = Replay::open(file.path()).unwrap().speed(2.0);
    replay.send(&here).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(140));
}

#[actix::test]
async fn a_recording_in_a_folder_that_is_not_there_is_refused_by_its_name() {
    let (front, back) = (Socket::start().unwrap(), Socket::start().unwrap());
    let relay = Relay::new(&front, &back).capture("/nowhere/capture");
    let error = relay.start().unwrap_err().to_string();
    assert!(error.contains("/nowhere/capture: "), "{error}");
}
