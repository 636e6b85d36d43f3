//! Origins of web pages, as options list them and as browsers name them (WIRE §8.5).

/// The ports that browsers leave out.
const DEFAULT_PORTS: [(&str, &str); 2] = [("https://", ":443"), ("http://", ":80")];

/// So much of an origin is told that a stranger has named.
const MAX_TOLD_CHARS: usize = 100;

/// An origin as browsers write it, of one that may have a slash behind it or the port of its scheme.
fn normal(origin: &str) -> String {
    let origin = origin.trim_end_matches('/').to_ascii_lowercase();
    for (scheme, port) in DEFAULT_PORTS {
        if origin.starts_with(scheme)
            && let Some(without) = origin.strip_suffix(port)
        {
            return without.to_owned();
        }
    }
    origin
}

/// Whether the origin that a browser names is the one that was listed.
pub(super) fn is_listed(listed: &str, named: &[u8]) -> bool {
    named.eq_ignore_ascii_case(normal(listed).as_bytes())
}

/// Finds out whether a browser can ever name this origin.
pub(crate) fn check(origin: &str) -> Result<(), String> {
    if is_origin(&normal(origin)) {
        return Ok(());
    }
    Err(format!(
        "no browser sends the origin {origin:?}: it is https://host or https://host:port, without a path; to admit pages of \
         every origin, list none"
    ))
}

fn is_origin(text: &str) -> bool {
    // As pages without an origin send it, those of a file for instance.
    if text == "null" {
        return true;
    }
    let Some((scheme, place)) = text.split_once("://") else {
        return false;
    };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (place, None),
    };
    let is_host = |letter: char| {
        letter.is_ascii_graphic() && !matches!(letter, '/' | '?' | '#' | '@' | '*' | '\\' | ',')
    };
    scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && !host.is_empty()
        && host.chars().all(is_host)
        && (host.starts_with('[') || !host.contains(':'))
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// An origin as a line of the log has it. A stranger may have written it, at any length.
pub(super) fn told(named: &[u8]) -> String {
    let text = String::from_utf8_lossy(named);
    let cut: String = text.chars().take(MAX_TOLD_CHARS).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{more}", cut.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_that_no_browser_sends_is_refused() {
        for wrong in [
            "",
            "*",
            "app.example",
            "https://",
            "https://*.app.example",
            "https://app.example/chat",
            "https://app.example?x",
            "https://user@app.example",
            "https://app.example:port",
            "https://a.example,https://b.example",
            "https://ä.example",
            "https://::1",
        ] {
            let error = check(wrong).expect_err(wrong);
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
        for right in [
            "https://app.example",
            "HTTPS://app.example/",
            "https://app.example:443",
            "http://localhost:3000",
            "http://[::1]:3000",
            "http://[::1]",
            "tauri://localhost",
            "null",
        ] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
    }

    #[test]
    fn the_port_of_the_scheme_goes_without_saying() {
        for (listed, named, is_same) in [
            ("https://App.example:443/", "https://app.example", true),
            ("http://app.example:80", "http://app.example", true),
            ("https://app.example", "https://APP.example", true),
            ("https://app.example:80", "https://app.example", false),
            ("https://app.example:8443", "https://app.example:8443", true),
            ("https://app.example", "http://app.example", false),
        ] {
            assert_eq!(is_listed(listed, named.as_bytes()), is_same, "{listed}");
        }
    }

    #[test]
    fn what_a_stranger_names_is_told_in_one_short_line() {
        assert_eq!(told(b"https://a\r\n\x1b[1m"), "https://a\\r\\n\\u{1b}[1m");
        assert_eq!(told(&[b'x'; 1000]).chars().count(), MAX_TOLD_CHARS + 1);
    }
}
