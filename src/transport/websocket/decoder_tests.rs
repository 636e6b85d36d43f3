use bytes::BytesMut;
use proptest::prelude::*;

use super::super::frame::put_frame;
use super::*;

/// Frames as a test writes them; the first bit of a header is cleared for all but final frames.
fn frame(opcode: Opcode, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_frame(&mut out, opcode, Role::ConnectEnd, std::iter::once(payload));
    if !is_final {
        out[0] &= 0x7f;
    }
    out.to_vec()
}

/// Decodes pieces one after the other: payload, events, and whether it ended between frames.
fn decode(pieces: &[&[u8]]) -> (Vec<u8>, Vec<ControlEvent>, bool) {
    let mut decoder = Decoder::new(Role::BindEnd);
    let (mut payload, mut events) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut buffer = piece.to_vec();
        let mut cursor = Cursor::default();
        while let Some(event) = decoder.decode(&mut buffer, &mut cursor) {
            let ends = !matches!(event, ControlEvent::Ping(_));
            events.push(event);
            if ends {
                return (payload, events, false);
            }
        }
        assert_eq!(cursor.read, buffer.len());
        payload.extend_from_slice(&buffer[..cursor.written]);
    }
    (payload, events, decoder.is_between_frames())
}

#[test]
fn control_frames_inside_of_a_fragmented_message_are_seen_at_once() {
    let stream = [
        frame(Opcode::Binary, false, b"one "),
        frame(Opcode::Ping, true, b"?"),
        frame(Opcode::Continuation, false, b""),
        frame(Opcode::Pong, true, b"unasked"),
        frame(Opcode::Continuation, true, b"message"),
    ]
    .concat();
    let (payload, events, clean) = decode(&[&stream]);
    assert_eq!(payload, b"one message");
    assert_eq!(events, [ControlEvent::Ping(b"?".to_vec())]);
    assert!(clean);
}

#[test]
fn rules_that_need_two_frames_are_kept() {
    let lone = frame(Opcode::Continuation, true, b"");
    assert_eq!(
        decode(&[&lone]).1,
        [ControlEvent::Violation(Violation::LoneContinuation)]
    );
    let interleaved = [
        frame(Opcode::Binary, false, b""),
        frame(Opcode::Binary, true, b""),
    ]
    .concat();
    assert_eq!(
        decode(&[&interleaved]).1,
        [ControlEvent::Violation(Violation::Interleaved)]
    );
    let text = frame(Opcode::Text, true, b"");
    assert_eq!(
        decode(&[&text]).1,
        [ControlEvent::Violation(Violation::Text)]
    );
}

#[test]
fn payload_is_passed_on_before_its_frame_is_whole() {
    // A frame of 2^62 bytes, of which three come.
    let mut start = vec![0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    start.extend_from_slice(b"abc");
    let (payload, events, clean) = decode(&[&start]);
    assert_eq!((&payload[..], events.len(), clean), (&b"abc"[..], 0, false));
}

#[test]
fn a_close_frame_ends_what_is_decoded() {
    let stream = [
        frame(Opcode::Close, true, &[0x03, 0xe9]),
        frame(Opcode::Binary, true, b"late"),
    ]
    .concat();
    let (payload, events, _) = decode(&[&stream]);
    assert_eq!(
        (payload.len(), events),
        (0, vec![ControlEvent::Close(Some(1001))])
    );
}

proptest! {
    #[test]
    fn any_split_of_any_frames_gives_the_same_bytes(
        messages in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..300), any::<bool>()), 0..8),
        cuts in prop::collection::vec(0_usize..3000, 0..12),
    ) {
        let (mut stream, mut expected, mut pings) = (Vec::new(), Vec::new(), 0);
        for (payload, ping) in &messages {
            let (first, second) = payload.split_at(payload.len() / 3);
            stream.extend(frame(Opcode::Binary, false, first));
            if *ping {
                stream.extend(frame(Opcode::Ping, true, &first[..first.len().min(50)]));
                pings += 1;
            }
            stream.extend(frame(Opcode::Continuation, true, second));
            expected.extend_from_slice(payload);
        }
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        let (payload, events, clean) = decode(&pieces);
        prop_assert_eq!(payload, expected);
        prop_assert_eq!(events.len(), pings);
        prop_assert!(clean);
    }

    #[test]
    fn no_bytes_make_it_panic(pieces in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 0..40), 0..8)
    ) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        decode(&pieces);
    }
}
