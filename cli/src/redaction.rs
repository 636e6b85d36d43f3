//! Texts of the command line, without what may be a secret in them.

use std::path::Path;

use actix_aiomsg::Endpoint;
use clap::error::{ContextKind, ContextValue};

/// An endpoint as it may be shown: without a user and a password, which have no place in one, and without the query, which may
/// hold a token.
pub(crate) fn shown(endpoint: &str) -> String {
    if let Ok(endpoint) = endpoint.parse::<Endpoint>() {
        return endpoint.to_string();
    }
    let (scheme, rest) = match endpoint.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['@', ':']) => (format!("{scheme}://"), rest),
        _ => (String::new(), endpoint),
    };
    // A password may hold any character, so what stands before the last `@` may be part of one.
    let (hidden, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("…@", rest),
        None => ("", rest),
    };
    match rest.split_once('?') {
        Some((rest, _)) => format!("{scheme}{hidden}{rest}?…"),
        None => format!("{scheme}{hidden}{rest}"),
    }
}

/// A text that may be an endpoint in the place of something else: what no endpoint with a secret can be is shown as it is.
fn shown_if_endpoint(text: &str) -> String {
    let before_host = text.rsplit_once('@').map_or("", |(before, _)| before);
    match text.contains("://") || before_host.contains(':') {
        true => shown(text),
        false => text.to_owned(),
    }
}

/// A path as it may be shown. An endpoint stands in the place of one where its option was forgotten.
pub(crate) fn shown_path(path: &Path) -> String {
    shown_if_endpoint(&path.display().to_string())
}

/// A slip on the command line, as it may be shown.
pub(crate) fn without_secrets(mut slip: clap::Error) -> clap::Error {
    let text_of = |slip: &clap::Error, kind| match slip.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let option = text_of(&slip, ContextKind::InvalidArg).unwrap_or_default();
    for kind in [
        ContextKind::InvalidValue,
        ContextKind::InvalidArg,
        ContextKind::InvalidSubcommand,
    ] {
        let Some(text) = text_of(&slip, kind) else {
            continue;
        };
        let is_header = option.starts_with("--header ") && kind == ContextKind::InvalidValue;
        let text = match is_header {
            true => "…".to_owned(),
            false => shown_if_endpoint(&text),
        };
        slip.insert(kind, ContextValue::String(text));
    }
    slip
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_shown_without_password_and_query() {
        for (text, expected) in [
            ("tcp://user:s3cret@host:1", "tcp://…@host:1"),
            ("ws://u:s3cret@h:1/x?t=s3cret", "ws://…@h:1/x?…"),
            ("u:s3cret@h", "…@h"),
            ("tcp://u:s3c://ret@h", "tcp://…@h"),
            ("u:s3cret://@h", "…@h"),
            ("ws://h/p?token=s3cret", "ws://h:80/p?…"),
            ("wsx://h/p?token=s3cret", "wsx://h/p?…"),
            ("tpc://h:1", "tpc://h:1"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn a_path_is_shown_as_it_is_unless_it_may_be_an_endpoint() {
        for (text, expected) in [
            ("photo@2x.png", "photo@2x.png"),
            ("what?.txt", "what?.txt"),
            ("bind:tcp://u:s3cret@h", "…@h"),
            ("u:s3cret@h", "…@h"),
        ] {
            assert_eq!(shown_path(Path::new(text)), expected, "{text}");
        }
    }
}
