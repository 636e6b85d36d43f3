//! The headers that a connect end adds to its WebSocket upgrade.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::address::UnusableEndpoint;

/// A name and a value.
type HeaderField = (String, String);

/// Headers that are always the same, and a closure that is asked for more at each attempt.
#[derive(Clone, Default)]
pub(crate) struct RequestHeaders {
    fixed: Vec<HeaderField>,
    asked: Option<Arc<dyn Fn() -> Vec<HeaderField> + Send + Sync>>,
}

impl RequestHeaders {
    pub(super) fn add(&mut self, name: String, value: String) {
        self.fixed.push((name, value));
    }

    pub(super) fn ask(&mut self, headers: impl Fn() -> Vec<HeaderField> + Send + Sync + 'static) {
        self.asked = Some(Arc::new(headers));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fixed.is_empty() && self.asked.is_none()
    }

    /// Finds out whether the headers that are known already can be sent.
    pub(super) fn check(&self) -> Result<(), UnusableEndpoint> {
        self.fixed.iter().try_for_each(check)
    }

    /// The headers of one attempt.
    ///
    /// # Errors
    ///
    /// A sentence, if the closure panics or names a header that cannot be sent.
    pub(super) fn of_attempt(&self) -> Result<Vec<HeaderField>, String> {
        let mut headers = self.fixed.clone();
        if let Some(asked) = &self.asked {
            // A panic is the application's; the dialer tries again.
            let asked = catch_unwind(AssertUnwindSafe(|| asked()));
            headers.extend(asked.map_err(|_| "the closure for the request headers panicked")?);
        }
        for header in &headers {
            check(header).map_err(|error| error.to_string())?;
        }
        Ok(headers)
    }
}

/// Shows names alone; values are secrets.
impl fmt::Debug for RequestHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        list.entries(self.fixed.iter().map(|(name, _)| name));
        if self.asked.is_some() {
            list.entry(&"…");
        }
        list.finish()
    }
}

/// Holds a header to RFC 9110 §5, and keeps it from contradicting the upgrade.
fn check((name, value): &HeaderField) -> Result<(), UnusableEndpoint> {
    let wrong = |problem| {
        let name = name.clone();
        Err(UnusableEndpoint::Header { name, problem })
    };
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return wrong("its name is not a token of letters, digits and hyphens");
    }
    if !value
        .bytes()
        .all(|byte| byte == b'\t' || !byte.is_ascii_control())
    {
        return wrong("its value holds a control character");
    }
    let lower = name.to_ascii_lowercase();
    let ours = [
        "connection",
        "upgrade",
        "content-length",
        "transfer-encoding",
    ];
    if ours.contains(&&lower[..]) || lower.starts_with("sec-websocket-") {
        return wrong("it belongs to the WebSocket upgrade");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_cannot_be_sent_is_refused_by_name() {
        for (name, value) in [
            ("", "x"),
            ("two words", "x"),
            ("X-Split", "a\r\nX-Other: b"),
            ("Upgrade", "h2c"),
            ("sec-websocket-key", "x"),
        ] {
            let mut headers = RequestHeaders::default();
            headers.add(name.into(), value.into());
            match headers.check() {
                Err(UnusableEndpoint::Header { name: refused, .. }) => {
                    assert_eq!(refused, name)
                }
                other => panic!("{name}: {other:?}"),
            }
            assert!(headers.of_attempt().is_err());
        }
        let mut headers = RequestHeaders::default();
        headers.add("Authorization".into(), "Bearer äöü=".into());
        assert_eq!(headers.check(), Ok(()));
    }

    #[test]
    fn values_are_not_shown_and_a_panic_is_a_sentence() {
        let mut headers = RequestHeaders::default();
        headers.add("Cookie".into(), "secret".into());
        headers.ask(|| panic!("no token"));
        let shown = format!("{headers:?}");
        assert!(
            shown.contains("Cookie") && !shown.contains("secret"),
            "{shown}"
        );
        assert!(headers.of_attempt().unwrap_err().contains("panicked"));
    }
}
