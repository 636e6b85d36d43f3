use proptest::prelude::*;

use super::*;

const TRACE: TraceContext = TraceContext {
    trace_id: [7; 16],
    span_id: [8; 8],
    flags: 1,
};

fn example() -> Metadata {
    Metadata::new()
        .with_trace(TRACE)
        .with_content_type("text/plain")
        .with_header("tenant", "a")
}

#[test]
fn an_envelope_is_laid_out_as_documented() {
    let mut expected = b"\xa1ENV\x01\x03\x00\x2f".to_vec();
    expected.extend_from_slice(&[7; 16]);
    expected.extend_from_slice(&[8; 8]);
    expected.extend_from_slice(b"\x01\x0atext/plain\x01\x06tenant\x00\x01a");
    let envelope = example().envelope().unwrap();
    assert_eq!(envelope, expected);
    let payload = [&envelope[..], b"body"].concat();
    assert_eq!(read_envelope(&payload), Ok((example(), envelope.len())));
    assert_eq!(&payload[envelope.len()..], b"body");
}

#[test]
fn no_metadata_is_no_envelope_and_an_empty_one_is_read_as_none() {
    assert_eq!(Metadata::new().envelope(), Ok(Bytes::new()));
    let (none, length) = read_envelope(EMPTY_ENVELOPE).unwrap();
    assert!(none.is_empty());
    assert_eq!(length, EMPTY_ENVELOPE.len());
    assert_eq!(read_envelope(b"bare"), Ok((Metadata::new(), 0)));
}

#[test]
fn a_header_replaces_the_one_of_its_name_and_the_others_keep_their_order() {
    let metadata = Metadata::new()
        .with_header("a", "1")
        .with_header("b", "2")
        .with_header("a", "3")
        .with_header("A", "4");
    let all: Vec<_> = metadata.headers().collect();
    assert_eq!(all, [("b", "2"), ("a", "3"), ("A", "4")]);
    assert_eq!(metadata.header("a"), Some("3"));
    assert_eq!(metadata.header("c"), None);
}

#[test]
fn what_cannot_travel_is_named() {
    let long = "x".repeat(256);
    let fault = |metadata: Metadata| metadata.envelope().unwrap_err();
    let new = Metadata::new;
    assert_eq!(
        fault(new().with_header("", "a")),
        MetadataError::Name(String::new())
    );
    assert_eq!(
        fault(new().with_header(&long, "a")),
        MetadataError::Name(long.clone())
    );
    assert_eq!(
        fault(new().with_header("a", &"x".repeat(65536))),
        MetadataError::Value("a".to_owned())
    );
    assert_eq!(
        fault(new().with_content_type(&long)),
        MetadataError::ContentType(long)
    );
    let many = (0..65).fold(new(), |all, n| all.with_header(&n.to_string(), ""));
    assert_eq!(fault(many), MetadataError::TooMany(65));
    let value = "x".repeat(Metadata::MAX_BYTES - HEAD_BYTES - 1 - 4);
    assert!(new().with_header("a", &value).envelope().is_ok());
    let error = fault(new().with_header("a", &format!("{value}x")));
    assert_eq!(error, MetadataError::TooLarge(Metadata::MAX_BYTES + 1));
}

#[test]
fn a_later_version_is_skipped_by_its_length() {
    let mut later = example().envelope().unwrap().to_vec();
    later[4] = 2;
    later.extend_from_slice(b"body");
    let (none, length) = read_envelope(&later).unwrap();
    assert!(none.is_empty());
    assert_eq!(&later[length..], b"body");
}

#[test]
fn an_envelope_that_is_cut_or_damaged_is_refused() {
    let envelope = example().envelope().unwrap();
    for length in MAGIC.len()..envelope.len() {
        assert_eq!(
            read_envelope(&envelope[..length]),
            Err(BadEnvelope),
            "{length}"
        );
    }
    let damaged = |at: usize, byte: u8| {
        let mut bytes = envelope.to_vec();
        bytes[at] = byte;
        read_envelope(&bytes)
    };
    assert_eq!(damaged(4, 0), Err(BadEnvelope), "no version");
    assert_eq!(damaged(7, 0), Err(BadEnvelope), "no fields");
    assert_eq!(damaged(34, 0xff), Err(BadEnvelope), "no text");
    assert_eq!(damaged(44, 65), Err(BadEnvelope), "too many headers");
    assert_eq!(damaged(44, 2), Err(BadEnvelope), "a header is missing");
    assert_eq!(damaged(45, 0), Err(BadEnvelope), "no name");
    let mut large = b"\xa1ENV\x01\x00\xff\xff".to_vec();
    large.resize(HEAD_BYTES + 65535, 0);
    assert_eq!(read_envelope(&large), Err(BadEnvelope));
}

proptest! {
    #[test]
    fn metadata_comes_back_as_it_was(
        headers in prop::collection::vec(("\\PC{1,20}", "\\PC{0,40}"), 0..20),
        content_type in prop::option::of("\\PC{1,30}"),
        traced: bool,
        body: Vec<u8>,
    ) {
        let mut metadata = Metadata::new();
        for (name, value) in &headers {
            metadata.set_header(name, value);
        }
        if let Some(content_type) = &content_type {
            metadata.set_content_type(content_type);
        }
        if traced {
            metadata.set_trace(TRACE);
        }
        let envelope = metadata.clone().envelope().unwrap();
        let payload = [&envelope[..], &body].concat();
        prop_assume!(!envelope.is_empty() || !begins_as_envelope(&body));
        prop_assert_eq!(read_envelope(&payload), Ok((metadata, envelope.len())));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let payload = [&MAGIC[..], &bytes].concat();
        let _ = read_envelope(&payload);
    }
}
