//! What to do about an answer that denies a WebSocket upgrade.

use crate::address::{Endpoint, Scheme};

/// What an HTTP status that is no upgrade means for whoever connects to `asked`. Redirects are not followed: a
/// credential of ours would go wherever an answer says.
pub(super) fn advice(status: u16, location: Option<&[u8]>, asked: &Endpoint) -> String {
    match (status, location) {
        (301 | 302 | 303 | 307 | 308, None) => {
            "a redirect that does not say where to; the host, the path or the scheme (ws, wss) of the endpoint is not \
             that of the bind end"
                .to_owned()
        }
        (301 | 302 | 303 | 307 | 308, Some(location)) => match target(location, asked) {
            Some(to) if to == *asked => {
                "a redirect to the same endpoint; what answers may want a cookie or a login first".to_owned()
            }
            Some(to) => format!("a redirect, which is not followed; connect to {to} if that is meant"),
            None => {
                "a redirect to what is no endpoint, which is not followed; connect to the endpoint of the bind end"
                    .to_owned()
            }
        },
        (200..=299, _) => "a web server that serves no WebSocket at this path".to_owned(),
        // So do web servers answer plain text at a port of TLS.
        (400, _) if asked.scheme() == Scheme::Ws => {
            "what answers may want TLS: connect with wss then; or a proxy on the way drops the headers Upgrade and \
             Connection"
                .to_owned()
        }
        (400 | 426, _) => {
            "what answers sees no upgrade; does a proxy on the way drop the headers Upgrade and Connection?".to_owned()
        }
        (404 | 405 | 410, _) => "nobody serves a WebSocket at this path".to_owned(),
        (407, _) => "a proxy on the way wants credentials".to_owned(),
        (429, _) => "there were too many attempts".to_owned(),
        (502..=504, _) => "a proxy answers, and the bind end behind it does not".to_owned(),
        _ => "this is no bind end, or a proxy before it that does not pass it on".to_owned(),
    }
}

/// The endpoint that the header `Location` of an answer names.
fn target(location: &[u8], asked: &Endpoint) -> Option<Endpoint> {
    let location = std::str::from_utf8(location).ok()?.trim();
    let (location, _fragment) = location.split_once('#').unwrap_or((location, ""));
    let scheme = asked.scheme();
    let text = match location.split_once("://") {
        Some((given, rest)) => {
            let scheme = match &given.to_ascii_lowercase()[..] {
                "http" | "ws" => "ws",
                "https" | "wss" => "wss",
                _ => return None,
            };
            format!("{scheme}://{rest}")
        }
        None if location.starts_with("//") => format!("{scheme}:{location}"),
        None if location.starts_with('/') => format!("{scheme}://{}{location}", asked.http_host()),
        None => return None,
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advised(status: u16, location: Option<&str>) -> String {
        let asked = "ws://here.example/a?token=ours".parse().unwrap();
        advice(status, location.map(str::as_bytes), &asked)
    }

    #[test]
    fn a_redirect_says_where_to_as_an_endpoint_and_shows_no_query() {
        for (location, expected) in [
            ("https://here.example/a", Some("wss://here.example:443/a ")),
            (
                "HTTP://other.example:81/b#c",
                Some("ws://other.example:81/b "),
            ),
            (
                "wss://here.example/a?token=theirs",
                Some("wss://here.example:443/a?… "),
            ),
            ("//other.example/b", Some("ws://other.example:80/b ")),
            ("/login", Some("ws://here.example:80/login ")),
            ("login", None),
            ("mailto:somebody@here.example", None),
            ("ftp://here.example/a", None),
            ("https://user:secret@here.example/a", None),
            ("https://", None),
            ("", None),
            ("\u{7f}", None),
        ] {
            let said = advised(302, Some(location));
            match expected {
                Some(endpoint) => assert!(said.contains(endpoint), "{location}: {said}"),
                None => assert!(said.contains("no endpoint"), "{location}: {said}"),
            }
            assert!(
                !said.contains("theirs") && !said.contains("secret"),
                "{said}"
            );
        }
        let said = advised(307, Some("/a?token=ours"));
        assert!(said.contains("same endpoint"), "{said}");
        let said = advised(308, None);
        assert!(said.contains("does not say where to"), "{said}");
        let odd = "ws://here.example".parse().unwrap();
        assert!(advice(301, Some(b"\xff"), &odd).contains("no endpoint"));
    }

    #[test]
    fn a_bad_request_may_be_a_port_of_tls() {
        assert!(advised(400, None).contains("connect with wss"));
        let asked = "wss://here.example".parse().unwrap();
        assert!(!advice(400, None, &asked).contains("wss"));
    }

    #[test]
    fn what_is_no_redirect_does_not_speak_of_one() {
        for status in [
            100, 200, 204, 300, 304, 400, 404, 407, 426, 429, 500, 502, 503, 504, 999,
        ] {
            let said = advised(status, Some("https://elsewhere.example"));
            assert!(
                !said.contains("redirect") && !said.is_empty(),
                "{status}: {said}"
            );
        }
    }
}
