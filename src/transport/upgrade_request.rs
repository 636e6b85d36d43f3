//! The HTTP request that a WebSocket peer came with.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The HTTP request that a WebSocket peer came with, for authorization.
///
/// Whatever the peer wrote into it is unverified: a cookie or a token proves something only once
/// the application has looked at its signature, or has found it in its own table. On a port of our
/// own it holds at most 8 KiB. Cloning it is cheap.
///
/// Requests can be made by hand, to test an authorizer without a connection:
///
/// ```
/// use actix_aiomsg::transport::UpgradeRequest;
///
/// let headers = [("Cookie", "session=abc; theme=dark")];
/// let request = UpgradeRequest::new("/socket?room=blue%20one", headers);
/// assert_eq!(request.path(), "/socket");
/// assert_eq!(request.query_value("room").as_deref(), Some("blue one"));
/// assert_eq!(request.cookie("session"), Some("abc"));
/// ```
#[derive(Clone)]
pub struct UpgradeRequest(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    target: String,
    fields: Vec<Field>,
    /// Names and values of all fields, one after the other.
    text: Vec<u8>,
    /// At most one value of each type, as web frameworks keep them.
    extensions: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

#[derive(Clone)]
struct Field {
    name: Range<usize>,
    value: Range<usize>,
}

impl UpgradeRequest {
    /// A request for `target`, a path that may have a query, with these header fields.
    pub fn new<N, V>(target: &str, headers: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let (mut text, mut fields) = (Vec::new(), Vec::new());
        let mut keep = |bytes: &[u8]| {
            let start = text.len();
            text.extend_from_slice(bytes);
            start..text.len()
        };
        for (name, value) in headers {
            fields.push(Field {
                name: keep(name.as_ref().as_bytes()),
                value: keep(value.as_ref()),
            });
        }
        Self(Arc::new(Inner {
            target: target.to_owned(),
            fields,
            text,
            extensions: HashMap::new(),
        }))
    }

    /// The same request with a value that [`extension`](Self::extension) finds by its type; it
    /// replaces an earlier one of that type. This is how what a web framework knows of a request,
    /// such as the user of its session, reaches the authorizer.
    #[must_use]
    pub fn with_extension<T: Any + Send + Sync>(mut self, value: T) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.extensions.insert(TypeId::of::<T>(), Arc::new(value));
        self
    }

    /// The path that was asked for, without its query and still percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        let target = &self.0.target[..];
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// The query behind the path, still percent-encoded; `None` without a question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.0.target.split_once('?').map(|(_, query)| query)
    }

    /// The decoded value of the first query parameter of this name.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        form_urlencoded::parse(self.query()?.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// The first header field of this name, without regard to case, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// Every header field, its name as it was written, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let inner = &*self.0;
        inner.fields.iter().map(|field| {
            let name = str::from_utf8(&inner.text[field.name.clone()]).unwrap_or_default();
            (name, &inner.text[field.value.clone()])
        })
    }

    /// The value of the first cookie of this name, as it was written but for quotes around it.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.values("cookie")
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.split_once('='))
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| unquoted(value.trim()))
    }

    /// The value of this type that a web framework's request carried.
    #[must_use]
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.extensions.get(&TypeId::of::<T>())?.downcast_ref()
    }

    fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .filter_map(|(_, value)| str::from_utf8(value).ok())
    }
}

/// Quotes around a cookie's value are no part of it (RFC 6265 §4.1.1).
fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value)
}

/// Shows the path and the names of the fields; queries and values may hold secrets.
impl fmt::Debug for UpgradeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers().map(|(name, _)| name).collect();
        f.debug_struct("UpgradeRequest")
            .field("path", &self.path())
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [(&str, &str); 0] = [];

    #[test]
    fn a_target_is_split_into_path_and_query() {
        let request = UpgradeRequest::new("/a/b?x=1&y=a%2Bb+c&x=2", NONE);
        assert_eq!(request.path(), "/a/b");
        assert_eq!(request.query(), Some("x=1&y=a%2Bb+c&x=2"));
        assert_eq!(request.query_value("x").as_deref(), Some("1"));
        assert_eq!(request.query_value("y").as_deref(), Some("a+b c"));
        assert_eq!(request.query_value("z"), None);
        let bare = UpgradeRequest::new("/", NONE);
        assert_eq!((bare.path(), bare.query()), ("/", None));
    }

    #[test]
    fn fields_are_found_without_regard_to_case_and_listed_in_order() {
        let headers: [(&str, &[u8]); 3] = [("Host", b"h"), ("X-Odd", b"\xff"), ("x-odd", b"text")];
        let request = UpgradeRequest::new("/", headers);
        assert_eq!(request.header("HOST"), Some("h"));
        assert_eq!(request.header("x-odd"), Some("text"));
        assert_eq!(request.header("absent"), None);
        assert!(request.headers().eq(headers));
    }

    #[test]
    fn a_cookie_is_found_among_others_and_over_several_fields() {
        let headers = [
            ("Cookie", "a=1; token=\"q u\"; b"),
            ("cookie", "late= x=y ;token=second"),
        ];
        let request = UpgradeRequest::new("/", headers);
        assert_eq!(request.cookie("a"), Some("1"));
        assert_eq!(request.cookie("token"), Some("q u"));
        assert_eq!(request.cookie("late"), Some("x=y"));
        assert_eq!(request.cookie("b"), None);
        assert_eq!(request.cookie("A"), None);
    }

    #[test]
    fn extensions_are_found_by_type_and_shared_by_clones() {
        let request = UpgradeRequest::new("/", NONE).with_extension(7_u32);
        let second = request.clone().with_extension("user").with_extension(8_u32);
        assert_eq!(request.extension::<u32>(), Some(&7));
        assert_eq!(request.extension::<&str>(), None);
        assert_eq!(second.extension::<u32>(), Some(&8));
        assert_eq!(second.extension::<&str>(), Some(&"user"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let headers = [("Cookie", "token=hidden"), ("Authorization", "hidden")];
        let shown = format!("{:?}", UpgradeRequest::new("/p?token=hidden", headers));
        assert!(!shown.contains("hidden"), "{shown}");
        assert!(shown.contains("/p") && shown.contains("Cookie"), "{shown}");
    }
}
