use super::*;

fn server(bytes: &[u8]) -> Result<Option<FrameHeader>, Violation> {
    FrameHeader::parse(bytes, Role::BindEnd)
}

#[test]
fn a_header_is_read_once_it_is_whole() {
    for length in [0_usize, 1, 125, 126, 65_535, 65_536] {
        for role in [Role::ConnectEnd, Role::BindEnd] {
            let mut frame = BytesMut::new();
            let payload = vec![7; length];
            put_frame(
                &mut frame,
                Opcode::Binary,
                role,
                std::iter::once(&payload[..]),
            );
            let header_bytes = FrameHeader::bytes(frame[1]);
            assert_eq!(frame.len(), header_bytes + length);
            let reader = match role {
                Role::ConnectEnd => Role::BindEnd,
                Role::BindEnd => Role::ConnectEnd,
            };
            for cut in 0..header_bytes {
                assert_eq!(FrameHeader::parse(&frame[..cut], reader), Ok(None));
            }
            let header = FrameHeader::parse(&frame[..header_bytes], reader)
                .unwrap()
                .unwrap();
            assert_eq!(header.payload_bytes, length as u64);
            assert_eq!(header.mask.is_some(), role == Role::ConnectEnd);
            let mut body = frame.split_off(header_bytes);
            apply_mask(&mut body, &mut header.mask.unwrap_or_default());
            assert_eq!(body, payload);
        }
    }
}

#[test]
fn a_header_that_breaks_a_rule_is_refused_at_its_first_two_bytes() {
    for (bytes, violation) in [
        ([0xc2, 0x80], Violation::ReservedBit),
        ([0xa2, 0x80], Violation::ReservedBit),
        ([0x92, 0x80], Violation::ReservedBit),
        ([0x83, 0x80], Violation::ReservedOpcode),
        ([0x8b, 0x80], Violation::ReservedOpcode),
        ([0x82, 0x00], Violation::Mask),
        ([0x09, 0x80], Violation::FragmentedControl),
        ([0x89, 0xfe], Violation::LongControl),
        ([0x88, 0xff], Violation::LongControl),
    ] {
        assert_eq!(server(&bytes), Err(violation), "{bytes:x?}");
    }
    assert_eq!(server(&[0x82, 0xff, 0x80]), Err(Violation::Length));
    assert_eq!(
        FrameHeader::parse(&[0x82, 0x80], Role::ConnectEnd),
        Err(Violation::Mask)
    );
}

#[test]
fn masking_in_pieces_is_masking_at_once() {
    let key = [0x6d, 0xb6, 0xb2, 0x80];
    let plain: Vec<u8> = (0..100).collect();
    let naive: Vec<u8> = plain
        .iter()
        .enumerate()
        .map(|(index, byte)| byte ^ key[index % 4])
        .collect();
    for cut in 0..=plain.len() {
        let mut bytes = plain.clone();
        let mut turning = key;
        let (first, second) = bytes.split_at_mut(cut);
        apply_mask(first, &mut turning);
        apply_mask(second, &mut turning);
        assert_eq!(bytes, naive);
    }
}

#[test]
fn a_close_body_is_empty_or_has_a_code_that_may_travel() {
    assert_eq!(parse_close(&[]), Ok(None));
    assert_eq!(parse_close(&[0x03, 0xe8]), Ok(Some(1000)));
    assert_eq!(parse_close(b"\x0f\xa0bye"), Ok(Some(4000)));
    assert_eq!(parse_close(&[0x03]), Err(Violation::Close));
    assert_eq!(parse_close(b"\x03\xe8\xff"), Err(Violation::CloseReason));
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        assert_eq!(
            parse_close(&code.to_be_bytes()),
            Err(Violation::Close),
            "{code}"
        );
    }
}

#[test]
fn each_violation_has_the_code_of_the_protocol() {
    assert_eq!(Violation::Text.close_code(), 1003);
    assert_eq!(Violation::CloseReason.close_code(), 1007);
    assert_eq!(Violation::Interleaved.close_code(), 1002);
}
