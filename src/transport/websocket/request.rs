//! The bind end: what an upgrade request has to say (WIRE §8.7).

use super::head::{MAX_FIELDS, has_token, values};
use super::key;
use crate::address::UpgradeFault;
use crate::transport::origin;
use crate::transport::upgrade_request::UpgradeRequest;

/// The one version of RFC 6455.
const VERSION: &[u8] = b"13";

/// A request that may become a WebSocket connection.
#[derive(Debug)]
pub(super) struct WebSocketRequest {
    pub(super) request: UpgradeRequest,
    /// The answer to its key.
    pub(super) accept: String,
}

/// Judges the whole head of a request. Cookies and tokens are for the authorization hook; an
/// origin is looked at only if origins are listed.
pub(super) fn judge(
    head: &[u8],
    allowed_origins: &[String],
) -> Result<WebSocketRequest, UpgradeFault> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(UpgradeFault::TooLong),
        Ok(httparse::Status::Partial) | Err(_) => return Err(UpgradeFault::Malformed),
    }
    if request.method != Some("GET") {
        return Err(UpgradeFault::Malformed);
    }
    let fields = &*request.headers;
    let wants_upgrade = has_token(fields, "upgrade", "websocket");
    let mentions = |name| values(fields, name).next().is_some();
    if !wants_upgrade && !mentions("sec-websocket-key") && !mentions("sec-websocket-version") {
        return Err(UpgradeFault::PlainGet);
    }
    if !wants_upgrade || request.version != Some(1) {
        return Err(UpgradeFault::NoUpgrade);
    }
    if !has_token(fields, "connection", "upgrade") {
        return Err(UpgradeFault::NoConnection);
    }
    if !values(fields, "sec-websocket-version").eq([VERSION]) {
        return Err(UpgradeFault::Version);
    }
    let mut keys = values(fields, "sec-websocket-key");
    let key = match (keys.next(), keys.next()) {
        (Some(key), None) if key::is_valid(key) => key,
        _ => return Err(UpgradeFault::Key),
    };
    let allows = |named: &[u8]| {
        let mut listed = allowed_origins.iter();
        listed.any(|listed| origin::is_listed(listed, named))
    };
    if !allowed_origins.is_empty() && !values(fields, "origin").all(allows) {
        return Err(UpgradeFault::Origin);
    }
    let headers = fields.iter().map(|field| (field.name, field.value));
    Ok(WebSocketRequest {
        accept: key::accept(key),
        request: UpgradeRequest::new(request.path.unwrap_or_default(), headers),
    })
}

/// The origin that a request names, for whoever reads the log.
pub(super) fn told_origin(head: &[u8]) -> String {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    // What was judged can be parsed.
    let _ = request.parse(head);
    let named = values(request.headers, "origin").next();
    origin::told(named.unwrap_or_default())
}
