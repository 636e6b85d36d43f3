//! The bind end, after the upgrade.

use super::*;

#[tokio::test]
async fn message_boundaries_mean_nothing() {
    let (mut client, mut server) = upgrade(b"").await;
    let sent: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let write = async {
        let (first, rest) = sent.split_at(70_000);
        client
            .write_all(&frame(Opcode::Binary, first))
            .await
            .unwrap();
        for piece in rest.chunks(1000) {
            client
                .write_all(&frame(Opcode::Binary, piece))
                .await
                .unwrap();
        }
    };
    let mut received = vec![0; sent.len()];
    let (_, read) = tokio::join!(write, server.stream.read_exact(&mut received));
    read.unwrap();
    assert!(received == sent);
}

#[tokio::test]
async fn what_the_server_writes_are_whole_unmasked_binary_messages() {
    let (mut client, mut server) = upgrade(b"").await;
    let pieces = [
        io::IoSlice::new(b"two "),
        io::IoSlice::new(b""),
        io::IoSlice::new(b"pieces"),
    ];
    assert_eq!(server.stream.write_vectored(&pieces).await.unwrap(), 10);
    server.stream.flush().await.unwrap();
    assert_eq!(
        read_frame(&mut client).await,
        (0x82, b"two pieces".to_vec())
    );

    let large = vec![7; 100_000];
    let (written, read) = tokio::join!(server.stream.write_all(&large), async {
        let mut read = 0;
        while read < large.len() {
            assert_eq!(client.read_u16().await.unwrap(), 0x827e);
            let length = client.read_u16().await.unwrap();
            let mut payload = vec![0; length.into()];
            client.read_exact(&mut payload).await.unwrap();
            read += payload.len();
        }
        read
    });
    written.unwrap();
    assert_eq!(read, large.len());
}

#[tokio::test]
async fn a_ping_is_answered_while_nothing_else_happens() {
    let (mut client, mut server) = upgrade(b"").await;
    client
        .write_all(&frame(Opcode::Ping, b"are you there"))
        .await
        .unwrap();
    let mut nothing = [0];
    tokio::select! {
        read = server.stream.read(&mut nothing) => panic!("{read:?}"),
        answer = read_frame(&mut client) => assert_eq!(answer, (0x8a, b"are you there".to_vec())),
    }
}

#[tokio::test]
async fn a_flood_of_pings_that_nobody_reads_the_answers_of_costs_one_answer() {
    let (client, mut server) = upgrade(b"").await;
    let (mut read_half, mut write_half) = tokio::io::split(client);
    let flood = frame(Opcode::Ping, &[7; 125]).repeat(8000);
    let end = frame(Opcode::Binary, b"end");
    let mut received = [0; 3];
    let (flooded, read) = tokio::join!(
        async {
            write_half.write_all(&flood).await?;
            write_half.write_all(&end).await
        },
        server.stream.read_exact(&mut received),
    );
    flooded.unwrap();
    read.unwrap();
    assert_eq!(&received, b"end");
    match &server.stream {
        ByteStream::WebSocket(stream) => assert!(stream.waiting_bytes() <= 2 * 127 + 14),
        other => panic!("{other:?}"),
    }
    // The answers that there was room for are whole.
    drop(server);
    let mut answers = Vec::new();
    read_half.read_to_end(&mut answers).await.unwrap();
    assert!(
        answers
            .chunks_exact(127)
            .all(|answer| answer[..2] == [0x8a, 125])
    );
}

#[tokio::test]
async fn a_close_is_echoed_and_ends_the_stream() {
    for body in [&[][..], &[0x03, 0xe9], b"\x0f\xa0reason"] {
        let (mut client, mut server) = upgrade(b"").await;
        let opening = [frame(Opcode::Binary, b"last"), frame(Opcode::Close, body)].concat();
        client.write_all(&opening).await.unwrap();
        let mut received = Vec::new();
        let (read, answer) = tokio::join!(server.stream.read_to_end(&mut received), async {
            let answer = read_frame(&mut client).await;
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "our side ends");
            client.shutdown().await.unwrap();
            answer
        });
        read.unwrap();
        assert_eq!(received, b"last");
        assert_eq!(answer, (0x88, body[..body.len().min(2)].to_vec()));
        let error = server.stream.write_all(b"late").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}

#[tokio::test]
async fn a_close_of_ours_still_reads_what_is_under_way() {
    let (mut client, mut server) = upgrade(b"").await;
    server.stream.shutdown().await.unwrap();
    assert_eq!(read_frame(&mut client).await, close_frame(1000));
    let rest = [
        frame(Opcode::Binary, b"under way"),
        frame(Opcode::Close, &[0x03, 0xe8]),
    ]
    .concat();
    client.write_all(&rest).await.unwrap();
    client.shutdown().await.unwrap();
    let mut received = Vec::new();
    server.stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"under way");
    assert_eq!(
        client.read(&mut [0]).await.unwrap(),
        0,
        "it is not echoed twice"
    );
}

#[tokio::test]
async fn a_peer_that_ends_without_a_close_frame_ends_the_stream() {
    let (mut client, mut server) = upgrade(b"").await;
    client
        .write_all(&frame(Opcode::Binary, b"whole"))
        .await
        .unwrap();
    client.shutdown().await.unwrap();
    let mut received = Vec::new();
    server.stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"whole");

    let (mut client, mut server) = upgrade(b"").await;
    client
        .write_all(&frame(Opcode::Binary, b"half")[..8])
        .await
        .unwrap();
    client.shutdown().await.unwrap();
    let error = server.stream.read_to_end(&mut received).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn each_violation_is_answered_with_its_code() {
    use WebSocketViolation as Violation;

    let fragment = {
        let mut fragment = frame(Opcode::Binary, b"a");
        fragment[0] = 0x02;
        fragment
    };
    let with_first = |first: u8, opcode, payload: &[u8]| {
        let mut frame = frame(opcode, payload);
        frame[0] = first;
        frame
    };
    let cases = [
        (frame(Opcode::Text, b"hi"), Violation::Text),
        (with_first(0x01, Opcode::Text, b"hi"), Violation::Text),
        (vec![0x82, 0x02, b'h', b'i'], Violation::Mask),
        (
            with_first(0xc2, Opcode::Binary, b"a"),
            Violation::ReservedBit,
        ),
        (
            with_first(0xa2, Opcode::Binary, b"a"),
            Violation::ReservedBit,
        ),
        (
            with_first(0x92, Opcode::Binary, b"a"),
            Violation::ReservedBit,
        ),
        (
            with_first(0x83, Opcode::Binary, b"a"),
            Violation::ReservedOpcode,
        ),
        (
            with_first(0x8f, Opcode::Binary, b"a"),
            Violation::ReservedOpcode,
        ),
        (
            with_first(0x09, Opcode::Ping, b"a"),
            Violation::FragmentedControl,
        ),
        (frame(Opcode::Ping, &[0; 126]), Violation::LongControl),
        (
            frame(Opcode::Continuation, b"a"),
            Violation::LoneContinuation,
        ),
        (
            [fragment.clone(), frame(Opcode::Binary, b"a")].concat(),
            Violation::Interleaved,
        ),
        (
            vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
            Violation::Length,
        ),
        (frame(Opcode::Close, &[3]), Violation::Close),
        (
            frame(Opcode::Close, &1005_u16.to_be_bytes()),
            Violation::Close,
        ),
        (
            frame(Opcode::Close, b"\x03\xe8\xff"),
            Violation::CloseReason,
        ),
    ];
    for (bytes, violation) in cases {
        let (mut client, mut server) = upgrade(b"").await;
        // More follows, unread: it must not reset the connection and eat the answer.
        client
            .write_all(&[&bytes[..], &[0xff; 10_000]].concat())
            .await
            .unwrap();
        let mut received = Vec::new();
        let (read, answer) = tokio::join!(server.stream.read_to_end(&mut received), async {
            let answer = read_frame(&mut client).await;
            client.shutdown().await.unwrap();
            answer
        });
        assert_eq!(answer, close_frame(violation.close_code()), "{violation}");
        let error = read.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let told = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Violation>());
        assert_eq!(told, Some(&violation));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stays_after_a_violation_is_left_after_a_second() {
    let (mut client, mut server) = upgrade(b"").await;
    client.write_all(&frame(Opcode::Text, b"hi")).await.unwrap();
    let before = tokio::time::Instant::now();
    server.stream.read_u8().await.unwrap_err();
    assert_eq!(before.elapsed(), Duration::from_secs(1));
    assert_eq!(
        server.stream.read(&mut [0]).await.unwrap(),
        0,
        "it is told once"
    );
}

/// The lengths of the messages in these frames of a server, and their payload.
fn messages(mut bytes: &[u8]) -> (Vec<usize>, Vec<u8>) {
    let (mut lengths, mut payload, mut open) = (Vec::new(), Vec::new(), None);
    while !bytes.is_empty() {
        let header = FrameHeader::parse(bytes, Role::ConnectEnd)
            .unwrap()
            .unwrap();
        let start = FrameHeader::bytes(bytes[1]);
        let end = start + usize::try_from(header.payload_bytes).unwrap();
        let expected = match open {
            None => Opcode::Binary,
            Some(_) => Opcode::Continuation,
        };
        assert_eq!(header.opcode, expected);
        let length = open.take().unwrap_or(0) + end - start;
        match header.is_final {
            true => lengths.push(length),
            false => open = Some(length),
        }
        payload.extend_from_slice(&bytes[start..end]);
        bytes = &bytes[end..];
    }
    assert_eq!(open, None);
    (lengths, payload)
}

#[tokio::test]
async fn what_is_announced_travels_in_messages_of_half_a_mebibyte() {
    let (ours, mut theirs) = tokio::io::duplex(4 * 1024 * 1024);
    let mut stream = WebSocketStream::new(ours, Role::BindEnd, BytesMut::new());
    let sent: Vec<u8> = (0..=255).cycle().take(1_500_000).collect();
    stream.announce(sent.len());
    for piece in sent.chunks(32 * 1024) {
        stream.write_all(piece).await.unwrap();
    }
    stream.write_all(b"small").await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    let mut bytes = Vec::new();
    theirs.read_to_end(&mut bytes).await.unwrap();
    let (lengths, payload) = messages(&bytes);
    assert!(payload.starts_with(&sent) && payload.ends_with(b"small"));
    let [first, second, rest, small] = lengths[..] else {
        panic!("{lengths:?}");
    };
    for full in [first, second] {
        assert!((512 * 1024..560 * 1024).contains(&full), "{lengths:?}");
    }
    assert_eq!((first + second + rest, small), (sent.len(), 5));
}
