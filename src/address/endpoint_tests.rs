use std::net::SocketAddr;

use super::*;
use crate::address::ToEndpoint;

fn parse(text: &str) -> Endpoint {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refuse(text: &str) -> ParseEndpointError {
    text.parse::<Endpoint>().expect_err(text)
}

#[test]
fn every_form_is_displayed_as_it_is_parsed() {
    for (text, shown) in [
        ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1"),
        ("localhost:4000", "tcp://localhost:4000"),
        ("tcp://host", "tcp://host:25000"),
        ("host", "tcp://host:25000"),
        ("TLS://a.example:7", "tls://a.example:7"),
        ("tls://a.example", "tls://a.example:25000"),
        ("[::1]", "tcp://[::1]:25000"),
        ("tcp://[fe80::1%eth0]:9/", "tcp://[fe80::1%eth0]:9"),
        ("ws://h", "ws://h:80/"),
        ("wss://h/chat", "wss://h:443/chat"),
        ("ws://[::]:0/a/b", "ws://[::]:0/a/b"),
        ("unix:///run/a.sock", "unix:///run/a.sock"),
        ("mem://jobs", "mem://jobs"),
    ] {
        assert_eq!(parse(text).to_string(), shown);
        assert_eq!(parse(shown), parse(text));
    }
}

#[test]
fn a_slip_is_told_with_what_was_meant() {
    for (text, told) in [
        ("tpc://a", "(here tcp, it seems)"),
        ("HTTP://a", "(here ws, it seems)"),
        ("https://a", "(here wss, it seems)"),
        ("ipc:///run/a.sock", "(here unix, it seems)"),
        ("inproc://a", "(here mem, it seems)"),
        ("tcp:127.0.0.1:1", "write for instance tcp://127.0.0.1:1"),
        ("tcp:/host:1", "write for instance tcp://host:1"),
        ("unix:/run/a.sock", "write for instance unix:///run/a.sock"),
        ("unix:run/a.sock", "write for instance unix:///run/a.sock"),
        ("/run/a.sock", "write for instance unix:///run/a.sock"),
        ("ws:host/x?token=secret", "write for instance ws://host/x?…"),
        ("39112", "for instance 127.0.0.1:39112"),
        ("*:39112", "write 0.0.0.0 or [::]"),
        ("127.0.0.1:1\n", "white space stands around"),
        (" tcp://host", "white space stands around"),
    ] {
        let refusal = refuse(text).to_string();
        assert!(refusal.contains(told), "{text}: {refusal}");
    }
    let unknown = refuse("carrier-pigeon://roof").to_string();
    assert!(unknown.ends_with("or dns+tcp and its like"), "{unknown}");
    // Hosts may have such names.
    assert_eq!(parse("tcp:25000").to_string(), "tcp://tcp:25000");
    assert_eq!(parse("unix").to_string(), "tcp://unix:25000");
}

#[test]
fn an_error_names_the_part_that_is_wrong() {
    assert_eq!(refuse(""), ParseEndpointError::Empty);
    assert_eq!(
        refuse("http://a"),
        ParseEndpointError::Scheme {
            scheme: "http".into()
        }
    );
    for host in [
        "",
        "*",
        "a b",
        "256.0.0.1",
        "1.2.3",
        "[::1",
        "[nonsense]",
        "[::1]x",
    ] {
        assert!(
            matches!(
                refuse(&format!("tcp://{host}")),
                ParseEndpointError::Host { .. }
            ),
            "{host}"
        );
    }
    assert!(matches!(refuse("::1"), ParseEndpointError::Brackets { .. }));
    for port in ["", "x", "65536", "-1", "+80"] {
        assert_eq!(
            refuse(&format!("h:{port}")),
            ParseEndpointError::Port { port: port.into() }
        );
    }
    for text in [
        "tcp://h:1/x",
        "ws://h/a b",
        "ws://h/a#b",
        "ws://h/a\r\nX: y",
    ] {
        assert!(
            matches!(refuse(text), ParseEndpointError::Path { .. }),
            "{text}"
        );
    }
    for text in ["unix://run/a", "unix://", "unix:///run/"] {
        assert!(
            matches!(refuse(text), ParseEndpointError::SocketPath { .. }),
            "{text}"
        );
    }
    for text in ["mem://", "mem://a b"] {
        assert!(
            matches!(refuse(text), ParseEndpointError::Name { .. }),
            "{text}"
        );
    }
}

#[test]
fn a_password_or_a_token_is_never_shown() {
    for text in [
        "tcp://user:secret@host:1",
        "user:secret@host",
        "tls://secret@host",
        "ws://user:se/secret@host/path",
        "wss://user:?secret@host",
        "ws://user:secret@[::1]:1/?secret",
        "user:secret@tcp://host",
        "tcp//user:secret@host",
        "unix://user:secret@run/app.sock",
        "mem://user:secret@a b",
        "http://user:secret@host",
        "tcp://host:1/path?token=secret",
        "ws://host/path?token=secret key",
        "ws://host:port?token=secret",
    ] {
        let error = refuse(text);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("secret"), "{text}: {shown}");
    }
    assert_eq!(refuse("tcp://user@host"), ParseEndpointError::UserInfo);
    let endpoint = parse("wss://host/path?token=secret");
    let shown = format!("{endpoint} {endpoint:?}");
    assert_eq!(shown, "wss://host:443/path?… wss://host:443/path?…");
    assert_eq!(endpoint.query(), Some("token=secret"));
}

#[test]
fn a_query_goes_without_a_path() {
    let endpoint = parse("ws://host?room=1&user=a@b");
    assert_eq!(endpoint.path(), Some("/"));
    assert_eq!(endpoint.query(), Some("room=1&user=a@b"));
    assert_eq!(endpoint.request_target(), "/?room=1&user=a@b");
    assert_eq!(parse("ws://host/a").query(), None);
}

#[test]
fn a_zone_is_written_with_a_plain_percent_sign() {
    let error = refuse("tcp://[fe80::1%25eth0]:9");
    assert_eq!(
        error,
        ParseEndpointError::Zone {
            zone: "eth0".into()
        }
    );
    assert!(error.to_string().ends_with("%eth0"), "{error}");
    // The number of an interface.
    assert_eq!(parse("[fe80::1%25]").host(), Some("fe80::1%25"));
    assert_eq!(parse("[fe80::1%251]").host(), Some("fe80::1%251"));
}

#[test]
fn the_parts_are_read_back() {
    let ws = parse("ws://[::1]:8/p");
    assert_eq!(
        (ws.scheme(), ws.host(), ws.port(), ws.path()),
        (Scheme::Ws, Some("::1"), Some(8), Some("/p"))
    );
    assert_eq!(ws.with_port(9).to_string(), "ws://[::1]:9/p");
    let unix = parse("unix:///a");
    assert_eq!(
        (unix.host(), unix.port(), unix.path(), unix.name()),
        (None, None, Some("/a"), None)
    );
    assert_eq!(unix.clone().with_port(1), unix);
    assert_eq!(parse("mem://m").name(), Some("m"));
}

#[test]
fn many_types_name_an_endpoint() {
    let shown = |endpoint: Result<Endpoint, _>| endpoint.map(|it| it.to_string());
    assert_eq!(shown(().to_endpoint()), Ok("tcp://127.0.0.1:25000".into()));
    assert_eq!(shown(("::1", 5).to_endpoint()), Ok("tcp://[::1]:5".into()));
    assert_eq!(
        shown(("localhost", 5).to_endpoint()),
        Ok("tcp://localhost:5".into())
    );
    assert_eq!(shown("mem://a".to_endpoint()), Ok("mem://a".into()));
    assert_eq!(
        shown((&String::from("a:1")).to_endpoint()),
        Ok("tcp://a:1".into())
    );
    let address: SocketAddr = "10.0.0.1:3".parse().unwrap();
    assert_eq!(shown(address.to_endpoint()), Ok("tcp://10.0.0.1:3".into()));
    assert_eq!(
        shown((&Endpoint::from(address)).to_endpoint()),
        Ok("tcp://10.0.0.1:3".into())
    );
}

#[test]
fn every_scheme_is_told_by_its_name() {
    let table = [
        ("tcp://here:1", Scheme::Tcp),
        ("tls://here:1", Scheme::Tls),
        ("ws://here:1", Scheme::Ws),
        ("wss://here:1", Scheme::Wss),
        ("unix:///here", Scheme::Unix),
        ("mem://here", Scheme::Memory),
    ];
    for (text, scheme) in table {
        assert_eq!(parse(text).scheme(), scheme);
        assert!(text.starts_with(&scheme.to_string()));
    }
}

#[cfg(feature = "dns")]
#[test]
fn a_peer_that_was_found_has_the_name_where_certificates_and_requests_go_by_it() {
    let address = "192.0.2.7:5".parse().unwrap();
    for (text, keeps_name, expected) in [
        ("dns+tcp://h.example:1", false, "tcp://192.0.2.7:5"),
        ("dns+tcp://h.example:1", true, "tcp://h.example:5"),
        ("dns+tcp://_a._tcp.h.example", true, "tcp://h.example:5"),
        ("dns+tls://h.example:1", false, "tls://h.example:5"),
        ("dns+ws://h.example:1/p", false, "ws://h.example:5/p"),
    ] {
        let endpoint: Endpoint = text.parse().unwrap();
        let found = endpoint.found_at(address, keeps_name).to_string();
        assert_eq!(found, expected, "{text}");
    }
}
