//! Each key has its effect, from a file and from the environment, and what cannot be used is refused with a reason.

use std::collections::BTreeSet;

use super::schema_tests::keys;
use super::{Settings, SettingsError, SettingsSources};

pub(super) fn read(text: &str) -> Result<Settings, SettingsError> {
    SettingsSources::new().text(text).load()
}

/// All that settings come to: the builder, and what is bound and connected.
fn effect(settings: &Settings) -> String {
    format!("{:?} {}", settings.builder(), settings.places())
}

/// A key, a text that sets it, and what is seen of it then, and only then.
const CASES: &[(&str, &str, &str)] = &[
    ("name", "name = 'orders'", r#"name: Some("orders")"#),
    (
        "identity",
        "identity = { hex = '000102030405060708090a0b0c0d0e0f' }",
        "identity: Some(Identity(000102030405060708090a0b0c0d0e0f)",
    ),
    (
        "identity.name",
        "identity = { name = 'a' }",
        "Identity(ca978112ca1bbdcafac231b39a23dc4d)",
    ),
    (
        "identity.hex",
        "identity = { hex = '00010203-0405-0607-0809-0a0b0c0d0e0f' }",
        "Identity(000102030405060708090a0b0c0d0e0f)",
    ),
    ("send_mode", "send_mode = 'publish'", "send_mode: Publish"),
    (
        "delivery_guarantee",
        "delivery_guarantee = 'at_least_once'",
        "guarantee: AtLeastOnce",
    ),
    ("codec", "codec = 'raw_only'", "codec: RawOnly"),
    (
        "reconnect",
        "reconnect = { fixed = '3s' }",
        "reconnect: Fixed(3s)",
    ),
    (
        "reconnect.fixed",
        "reconnect = { fixed = '4s' }",
        "reconnect: Fixed(4s)",
    ),
    (
        "reconnect.exponential",
        "reconnect = { exponential = { initial = '1s', cap = '8s' } }",
        "reconnect: Exponential(1s..8s, Full jitter)",
    ),
    (
        "reconnect.exponential.initial",
        "reconnect.exponential = { initial = '2s', cap = '8s' }",
        "Exponential(2s..8s",
    ),
    (
        "reconnect.exponential.cap",
        "reconnect.exponential = { initial = '1s', cap = '9s' }",
        "Exponential(1s..9s",
    ),
    (
        "reconnect.exponential.jitter",
        "reconnect.exponential = { initial = '1s', cap = '8s', jitter = false }",
        "Exponential(1s..8s, None jitter)",
    ),
    (
        "connect_timeout",
        "connect_timeout = '7s'",
        "connect_timeout: 7s",
    ),
    (
        "handshake_timeout",
        "handshake_timeout = '7s'",
        "handshake_timeout: 7s",
    ),
    (
        "authorization_timeout",
        "authorization_timeout = '7s'",
        "authorization_timeout: 7s",
    ),
    (
        "duplicate_identity",
        "duplicate_identity = 'probe'",
        "duplicate_identity: Probe",
    ),
    (
        "max_delivery_attempts",
        "max_delivery_attempts = 9",
        "max_attempts: 9",
    ),
    (
        "ack_policy",
        "ack_policy = 'on_receipt'",
        "ack_policy: OnReceipt",
    ),
    (
        "dead_letter_queue",
        "dead_letter_queue = {}",
        "letters: Some(DeadLetterBounds { capacity: Capacity { messages: 10000, bytes: 67108864 }, max_age: None })",
    ),
    (
        "dead_letter_queue.letters",
        "dead_letter_queue = { letters = 7 }",
        "letters: Some(DeadLetterBounds { capacity: Capacity { messages: 7",
    ),
    (
        "dead_letter_queue.bytes",
        "dead_letter_queue = { bytes = '1KiB' }",
        "letters: Some(DeadLetterBounds { capacity: Capacity { messages: 10000, bytes: 1024",
    ),
    (
        "dead_letter_queue.max_age",
        "dead_letter_queue = { max_age = '7d' }",
        "max_age: Some(604800s)",
    ),
    (
        "dedupe",
        "dedupe = { count = 7, window = '1m' }",
        "dedupe: Some(Dedupe { count: 7, window: 60s, total: 1000000 })",
    ),
    (
        "dedupe.count",
        "dedupe = { count = 8, window = '1m' }",
        "Dedupe { count: 8",
    ),
    (
        "dedupe.window",
        "dedupe = { count = 8, window = '2m' }",
        "window: 120s",
    ),
    (
        "dedupe.total",
        "dedupe = { count = 8, window = '2m', total = 99 }",
        "total: 99 }",
    ),
    (
        "read_metadata",
        "read_metadata = true",
        "read_metadata: true",
    ),
    ("traces", "traces = 'child'", "traces: Some(Child)"),
    (
        "absent_peer",
        "absent_peer = 'dead_letter'",
        "hold_for_absent: false",
    ),
    (
        "absent_peer.hold_for",
        "absent_peer = { hold_for = '77s' }",
        "absence_grace: 77s",
    ),
    ("unheard", "unheard = 'drop'", "unheard: Drop"),
    (
        "close_deadline",
        "close_deadline = '7s'",
        "close_deadline: 7s",
    ),
    (
        "max_frame_bytes",
        "max_frame_bytes = '1KiB'",
        "max_frame_bytes: 1024",
    ),
    (
        "accept_rate",
        "accept_rate = { connections = 5, period = '2s' }",
        "accept_rate: Some((5, 2s))",
    ),
    (
        "accept_rate.connections",
        "accept_rate = { connections = 6, period = '2s' }",
        "accept_rate: Some((6,",
    ),
    (
        "accept_rate.period",
        "accept_rate = { connections = 6, period = '3s' }",
        "accept_rate: Some((6, 3s))",
    ),
    ("arbiters", "arbiters = 3", "arbiters: 3"),
    (
        "inspection",
        "inspection = '/run/shop/orders.sock'",
        r#"inspection: Some("/run/shop/orders.sock")"#,
    ),
    ("outbox", "outbox = 'a.redb'", r#"path: "a.redb""#),
    (
        "outbox.path",
        "outbox = { path = 'b.redb' }",
        r#"path: "b.redb""#,
    ),
    (
        "outbox.durability",
        "outbox = { path = 'a', durability = 'eventually' }",
        "durability: Eventually",
    ),
    (
        "outbox.capacity",
        "outbox = { path = 'a', capacity = { messages = 7, bytes = 8 } }",
        "capacity: Capacity { messages: 7, bytes: 8 }",
    ),
    (
        "outbox.capacity.messages",
        "outbox = { path = 'a', capacity = { messages = 7 } }",
        "capacity: Capacity { messages: 7, bytes: 268435456 }",
    ),
    (
        "outbox.capacity.bytes",
        "outbox = { path = 'a', capacity = { bytes = 7 } }",
        "capacity: Capacity { messages: 100000, bytes: 7 }",
    ),
    (
        "outbox.overflow",
        "outbox = { path = 'a', overflow = 'fail' }",
        "overflow: Fail",
    ),
    (
        "outbox.overflow.wait_for",
        "outbox = { path = 'a', overflow = { wait_for = '3s' } }",
        "overflow: WaitFor(3s)",
    ),
    (
        "outbox.absent",
        "outbox = { path = 'a', absent = '1h' }",
        "absent: 3600s",
    ),
    (
        "outbox.adopt",
        "outbox = { path = 'a', adopt = { name = 'a' } }",
        "adopter: Some(Identity(ca978112ca1bbdcafac231b39a23dc4d))",
    ),
    (
        "outbox.adopt.name",
        "outbox = { path = 'a', adopt = { name = 'a' } }",
        "adopter: Some(Identity(ca978112ca1bbdcafac231b39a23dc4d))",
    ),
    (
        "outbox.adopt.hex",
        "outbox = { path = 'a', adopt = { hex = '000102030405060708090a0b0c0d0e0f' } }",
        "adopter: Some(Identity(000102030405060708090a0b0c0d0e0f))",
    ),
    (
        "outbox.check_at_start",
        "outbox = { path = 'a', check_at_start = false }",
        "check: false",
    ),
    (
        "heartbeat_interval",
        "heartbeat_interval = '7s'",
        "heartbeat_interval: 7s",
    ),
    (
        "heartbeat_timeout",
        "heartbeat_timeout = '1m 1s'",
        "heartbeat_timeout: 61s",
    ),
    ("write_timeout", "write_timeout = '7s'", "write_timeout: 7s"),
    (
        "resend_timeout",
        "resend_timeout = '250ms'",
        "resend_timeout: 250ms",
    ),
    (
        "standstill_timeout",
        "standstill_timeout = '7s'",
        "standstill_timeout: Some(7s)",
    ),
    ("resend_limit", "resend_limit = 4", "resend_limit: Some(4)"),
    (
        "link_overflow",
        "link_overflow = 'drop_oldest'",
        "link_overflow: DropOldest",
    ),
    (
        "link_overflow.wait_for",
        "link_overflow = { wait_for = '7s' }",
        "link_overflow: WaitFor(7s)",
    ),
    (
        "publish_overflow",
        "publish_overflow = 'disconnect'",
        "publish_overflow: Disconnect",
    ),
    (
        "publish_overflow.wait_for",
        "publish_overflow = { wait_for = '7s' }",
        "publish_overflow: WaitFor(7s)",
    ),
    (
        "outbox_overflow",
        "outbox_overflow = 'fail'",
        "outbox_overflow: Fail",
    ),
    (
        "outbox_overflow",
        "outbox_overflow = 'drop_newest'",
        "outbox_overflow: DropNewest",
    ),
    (
        "outbox_overflow.wait_for",
        "outbox_overflow = { wait_for = '7s' }",
        "outbox_overflow: WaitFor(7s)",
    ),
    (
        "min_subscriber_rate",
        "min_subscriber_rate = '1kB'",
        "min_subscriber_rate: Some(1000)",
    ),
    (
        "max_connections",
        "max_connections = 77",
        "max_connections: 77",
    ),
    (
        "max_handshakes",
        "max_handshakes = 77",
        "max_handshakes: 77",
    ),
    (
        "link_capacity",
        "link_capacity = { messages = 7, bytes = '1MiB' }",
        "link_capacity: Capacity { messages: 7, bytes: 1048576 }",
    ),
    (
        "link_capacity.messages",
        "link_capacity = { messages = 7 }",
        "link_capacity: Capacity { messages: 7, bytes: 262144 }",
    ),
    (
        "link_capacity.bytes",
        "link_capacity = { bytes = 7 }",
        "link_capacity: Capacity { messages: 4096, bytes: 7 }",
    ),
    (
        "unacknowledged_capacity",
        "unacknowledged_capacity = { messages = 7, bytes = 8 }",
        "unacknowledged_capacity: Capacity { messages: 7, bytes: 8 }",
    ),
    (
        "unacknowledged_capacity.messages",
        "unacknowledged_capacity = { messages = 7 }",
        "unacknowledged_capacity: Capacity { messages: 7, bytes: 262144 }",
    ),
    (
        "unacknowledged_capacity.bytes",
        "unacknowledged_capacity = { bytes = 7 }",
        "unacknowledged_capacity: Capacity { messages: 1024, bytes: 7 }",
    ),
    (
        "outbox_capacity",
        "outbox_capacity = { messages = 7, bytes = 8 }",
        "outbox_capacity: Capacity { messages: 7, bytes: 8 }",
    ),
    (
        "outbox_capacity.messages",
        "outbox_capacity = { messages = 7 }",
        "outbox_capacity: Capacity { messages: 7, bytes: 16777216 }",
    ),
    (
        "outbox_capacity.bytes",
        "outbox_capacity = { bytes = 7 }",
        "outbox_capacity: Capacity { messages: 100000, bytes: 7 }",
    ),
    (
        "inbox_capacity",
        "inbox_capacity = { messages = 7, bytes = 8 }",
        "inbox_capacity: Capacity { messages: 7, bytes: 8 }",
    ),
    (
        "inbox_capacity.messages",
        "inbox_capacity = { messages = 7 }",
        "inbox_capacity: Capacity { messages: 7, bytes: 262144 }",
    ),
    (
        "inbox_capacity.bytes",
        "inbox_capacity = { bytes = 7 }",
        "inbox_capacity: Capacity { messages: 4096, bytes: 7 }",
    ),
    (
        "memory_budget",
        "memory_budget = '32MiB'",
        "memory_budget: 33554432",
    ),
    (
        "bind",
        "bind = ['tcp://h:1', '[::1]:2']",
        "[(tcp://h:1, BindOptions",
    ),
    (
        "bind.endpoint",
        "bind = [{ endpoint = 'tcp://h:1' }]",
        "[(tcp://h:1, BindOptions",
    ),
    (
        "bind.backlog",
        "bind = [{ endpoint = 'h:1', backlog = 7 }]",
        "backlog: 7",
    ),
    (
        "bind.allowed_origins",
        "bind = [{ endpoint = 'h:1', allowed_origins = ['https://a.example', 'https://b.example'] }]",
        r#"allowed_origins: ["https://a.example", "https://b.example"]"#,
    ),
    (
        "bind.unix_mode",
        "bind = [{ endpoint = 'unix:///a.sock', unix_mode = '0600' }]",
        "unix_mode: Some(384)",
    ),
    (
        "bind.nagle",
        "bind = [{ endpoint = 'h:1', nagle = true }]",
        "nodelay: false",
    ),
    (
        "bind.keepalive",
        "bind = [{ endpoint = 'h:1', keepalive = '1m' }]",
        "keepalive: Some(60s)",
    ),
    (
        "bind.unsent_limit",
        "bind = [{ endpoint = 'h:1', unsent_limit = '1MiB' }]",
        "unsent_limit: 1048576",
    ),
    (
        "connect",
        "connect = ['tcp://h:1']",
        "[(tcp://h:1, ConnectOptions",
    ),
    (
        "connect.endpoint",
        "connect = [{ endpoint = 'tcp://h:1' }]",
        "[(tcp://h:1, ConnectOptions",
    ),
    (
        "connect.connect_timeout",
        "connect = [{ endpoint = 'h:1', connect_timeout = '7s' }]",
        "connect_timeout: Some(7s)",
    ),
    (
        "connect.headers",
        "connect = [{ endpoint = 'ws://h:1', headers = { Authorization = 'Bearer 7' } }]",
        "Authorization",
    ),
    (
        "connect.resolve_to",
        "connect = [{ endpoint = 'h:1', resolve_to = ['192.0.2.7:1'] }]",
        "addresses: Some([192.0.2.7:1])",
    ),
    (
        "connect.nagle",
        "connect = [{ endpoint = 'h:1', nagle = true }]",
        "nodelay: false",
    ),
    (
        "connect.keepalive",
        "connect = [{ endpoint = 'h:1', keepalive = '1m' }]",
        "keepalive: Some(60s)",
    ),
    (
        "connect.unsent_limit",
        "connect = [{ endpoint = 'h:1', unsent_limit = '1MiB' }]",
        "unsent_limit: 1048576",
    ),
];

/// Keys whose values are files, with tests of their own.
const FILES: [&str; 11] = [
    "bind.tls",
    "bind.tls.cert",
    "bind.tls.key",
    "bind.tls.client_ca",
    "bind.tls.revocations",
    "connect.tls",
    "connect.tls.ca",
    "connect.tls.cert",
    "connect.tls.key",
    "connect.tls.server_name",
    "connect.tls.revocations",
];

#[test]
fn every_key_has_its_effect() {
    let without = effect(&read("").unwrap());
    for (key, text, expected) in CASES {
        let with = effect(&read(text).unwrap_or_else(|error| panic!("{key}: {error}")));
        assert!(with.contains(expected), "{key}: no {expected} in {with}");
        assert!(
            !without.contains(expected),
            "{key}: {expected} is the default"
        );
    }
    let tested: BTreeSet<String> = CASES
        .iter()
        .map(|(key, ..)| *key)
        .chain(FILES)
        .map(str::to_owned)
        .collect();
    assert_eq!(tested, keys(), "each key of the schema has a case");
}

#[test]
fn limits_that_nobody_set_are_left_alone_when_a_running_socket_takes_new_ones() {
    let settings = read("heartbeat_timeout = '1m'\nlink_capacity = { messages = 7 }").unwrap();
    let mut limits = crate::limits::Limits {
        max_handshakes: 5,
        link_capacity: crate::limits::Capacity::new(9, 6),
        ..Default::default()
    };
    settings.change_limits(&mut limits);
    assert_eq!(limits.heartbeat_timeout.as_secs(), 60);
    assert_eq!(limits.max_handshakes, 5);
    assert_eq!(
        (limits.link_capacity.messages, limits.link_capacity.bytes),
        (7, 6)
    );
}

#[test]
fn the_environment_goes_before_the_file() {
    let variables = [
        ("SVC_HEARTBEAT_INTERVAL", "3s"),
        ("SVC_LINK_CAPACITY__BYTES", "2KiB"),
        ("SVC_MAX_HANDSHAKES", "12"),
        ("SVC_PUBLISH_OVERFLOW__WAIT_FOR", "9s"),
        ("SVC_DEDUPE__COUNT", "5"),
        ("SVC_DEDUPE__WINDOW", "1m"),
        ("SVC_RECONNECT__EXPONENTIAL__INITIAL", "1s"),
        ("SVC_RECONNECT__EXPONENTIAL__CAP", "2s"),
        ("SVC_RECONNECT__EXPONENTIAL__JITTER", "false"),
        ("SVC_BIND", "tcp://a:1, tcp://b:2"),
        ("SVC_IDENTITY__NAME", "a"),
        ("SVC_CLOSE_DEADLINE", ""),
        ("OTHER_CLOSE_DEADLINE", "1s"),
    ];
    let settings = SettingsSources::new()
        .text(
            "heartbeat_interval = '1s'\nheartbeat_timeout = '44s'\nbind = ['tcp://c:3']\n\
             link_capacity = { messages = 7, bytes = 8 }\nclose_deadline = '33s'",
        )
        .variables("SVC", &variables)
        .load()
        .unwrap();
    let effect = effect(&settings);
    for expected in [
        "heartbeat_interval: 3s",
        "heartbeat_timeout: 44s",
        "link_capacity: Capacity { messages: 7, bytes: 2048 }",
        "max_handshakes: 12",
        "publish_overflow: WaitFor(9s)",
        "Dedupe { count: 5, window: 60s",
        "Exponential(1s..2s, None jitter)",
        "tcp://a:1",
        "tcp://b:2",
        "Identity(ca978112",
        "close_deadline: 33s",
    ] {
        assert!(effect.contains(expected), "no {expected} in {effect}");
    }
    assert!(!effect.contains("tcp://c:3"), "{effect}");
}

#[test]
fn a_section_is_read_alone() {
    let text = "unrelated = 1\n[sockets.orders]\nname = 'o'\n[sockets.stock]\nname = 's'\n";
    let of = |section: &str| {
        SettingsSources::new()
            .text(text)
            .section(section)
            .variables("X", &[])
    };
    let orders = effect(&of("sockets.orders").load().unwrap());
    assert!(orders.contains(r#"name: Some("o")"#), "{orders}");
    let error = of("sockets.bills").load().unwrap_err();
    assert_eq!(error.to_string(), "there is no section `sockets.bills`");
}

#[test]
fn a_choice_of_the_environment_goes_before_another_one_of_the_file() {
    let settings = SettingsSources::new()
        .text("reconnect = { exponential = { initial = '1s' } }\nidentity = { name = 'a' }")
        .variables(
            "SVC",
            &[
                ("SVC_RECONNECT__FIXED", "7s"),
                ("SVC_IDENTITY__HEX", "00112233445566778899aabbccddeeff"),
            ],
        )
        .load()
        .unwrap();
    let effect = effect(&settings);
    assert!(effect.contains("7s"), "{effect}");
    assert!(
        effect.contains("00112233445566778899aabbccddeeff"),
        "{effect}"
    );
}

#[test]
fn headers_are_not_shown() {
    let settings = read(
        "connect = [{ endpoint = 'ws://h:1', headers = { Authorization = 'Bearer secret' } }]",
    );
    assert!(!format!("{:?}", settings.unwrap()).contains("secret"));
}
