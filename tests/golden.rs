//! The bytes of whole frames, against a committed file and against the Python package.

use std::path::Path;
use std::process::Command;

use actix_aiomsg::wire::{Envelope, FrameCodec, FrameError};
use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

const GOLDEN: &str = include_str!("golden/frames.txt");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    BothWays,
    ReadOnly,
}

struct Line<'a> {
    meaning: &'a str,
    direction: Direction,
    bytes: Vec<u8>,
}

fn lines() -> impl Iterator<Item = Line<'static>> {
    let meaningful = |line: &&str| !line.is_empty() && !line.starts_with('#');
    GOLDEN.lines().filter(meaningful).map(|line| {
        let (direction, (meaning, bytes)) = match line.split_once(" <=> ") {
            Some(halves) => (Direction::BothWays, halves),
            None => (Direction::ReadOnly, line.split_once(" <== ").expect(line)),
        };
        let bytes = hex(bytes);
        Line {
            meaning,
            direction,
            bytes,
        }
    })
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect(text);
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn payload(text: &str) -> Bytes {
    match text {
        "-" => Bytes::new(),
        digits => hex(digits).into(),
    }
}

/// What a line means, where it means an envelope.
fn envelope(meaning: &str) -> Option<Envelope> {
    let words: Vec<_> = meaning.split(' ').collect();
    Some(match words[..] {
        ["HELLO", version, identity] => Envelope::Hello {
            version: version.parse().expect(meaning),
            identity: identity.parse().expect(meaning),
        },
        ["HEARTBEAT"] => Envelope::Heartbeat,
        ["DATA", text] => Envelope::Data(payload(text)),
        ["DATA_REQ", id, text] => Envelope::DataReq(id.parse().expect(meaning), payload(text)),
        ["ACK", id] => Envelope::Ack(id.parse().expect(meaning)),
        ["UNKNOWN", kind] => Envelope::Unknown(hex(kind)[0]),
        _ => return None,
    })
}

#[test]
fn every_golden_frame_is_read_as_what_it_means() {
    for Line { meaning, bytes, .. } in lines() {
        let mut buffer = BytesMut::from(&bytes[..]);
        let read = FrameCodec::default().decode(&mut buffer);
        match (meaning, envelope(meaning), read) {
            (_, Some(expected), Ok(Some(read))) => {
                assert_eq!(read, expected);
                assert!(buffer.is_empty(), "{meaning}: bytes are left over");
            }
            ("PARTIAL", None, Ok(None)) => assert_eq!(buffer.len(), bytes.len()),
            ("MALFORMED", None, Err(FrameError::Malformed(_))) => assert!(buffer.is_empty()),
            ("OVERSIZE", None, Err(FrameError::Oversize(_))) => {}
            (_, _, other) => panic!("{meaning}: {other:?}"),
        }
    }
}

#[test]
fn every_golden_frame_that_is_written_is_written_so() {
    let mut count = 0;
    for line in lines().filter(|line| line.direction == Direction::BothWays) {
        let mut written = BytesMut::new();
        let envelope = envelope(line.meaning).expect(line.meaning);
        FrameCodec::default()
            .encode(envelope, &mut written)
            .unwrap();
        assert_eq!(written, line.bytes, "{}", line.meaning);
        count += 1;
    }
    assert!(count >= 10, "only {count} golden frames were found");
}

#[test]
fn the_golden_frames_one_after_the_other_are_a_stream() {
    let whole: Vec<_> = lines()
        .filter(|line| envelope(line.meaning).is_some())
        .collect();
    let stream: Vec<u8> = whole.iter().flat_map(|line| line.bytes.clone()).collect();
    let mut buffer = BytesMut::from(&stream[..]);
    let mut codec = FrameCodec::default();
    for line in whole {
        assert_eq!(codec.decode(&mut buffer).unwrap(), envelope(line.meaning));
    }
    assert!(codec.decode_eof(&mut buffer).unwrap().is_none());
}

#[test]
fn the_python_package_agrees_with_every_golden_frame() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = match std::env::var_os("AIOMSG_PYTHON") {
        Some(python) => python.into(),
        None => root.join("target/venv/bin/python3"),
    };
    assert!(
        python.exists(),
        "the Python package is not installed: run `tests/run --setup`"
    );
    let output = Command::new(python)
        .arg(root.join("tests/python/golden.py"))
        .arg(root.join("tests/golden/frames.txt"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
