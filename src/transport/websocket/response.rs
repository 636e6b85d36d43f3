//! The connect end: the upgrade request, and what its answer has to say.

use tokio::io::AsyncWriteExt;

use super::denial;
use super::head::{MAX_FIELDS, has_token, values};
use super::key;
use super::stream::Stream;
use crate::address::Endpoint;
use crate::transport::error::TransportError;
use crate::transport::request_headers::RequestHeaders;

/// Sends the request.
pub(super) async fn ask(
    stream: &mut impl Stream,
    endpoint: &Endpoint,
    headers: &RequestHeaders,
    key: &str,
) -> Result<(), TransportError> {
    let headers = headers
        .of_attempt()
        .map_err(|problem| TransportError::Headers { problem })?;
    let target = endpoint.request_target();
    let mut request = format!("GET {target} HTTP/1.1\r\n");
    let mut put = |name: &str, value: &str| {
        for part in [name, ": ", value, "\r\n"] {
            request.push_str(part);
        }
    };
    // A proxy may serve several hosts at one address.
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        put("Host", &endpoint.http_host());
    }
    put("Upgrade", "websocket");
    put("Connection", "Upgrade");
    put("Sec-WebSocket-Key", key);
    put("Sec-WebSocket-Version", "13");
    for (name, value) in &headers {
        put(name, value);
    }
    request.push_str("\r\n");
    let io = || TransportError::io("asking for a WebSocket upgrade");
    stream.write_all(request.as_bytes()).await.map_err(io())?;
    stream.flush().await.map_err(io())
}

/// Judges the whole head of the answer (RFC 6455 §4.1).
pub(super) fn judge(head: &[u8], key: &str, asked: &Endpoint) -> Result<(), TransportError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let wrong = |what| Err(TransportError::UpgradeAnswer { what });
    match response.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) | Err(_) => {
            return wrong("no HTTP answer; if the peer speaks TLS, connect with wss");
        }
    }
    let status = response.code.unwrap_or_default();
    if status != 101 {
        let location = values(response.headers, "location").next();
        let advice = denial::advice(status, location, asked);
        return Err(TransportError::UpgradeStatus { status, advice });
    }
    let fields = &*response.headers;
    if !has_token(fields, "upgrade", "websocket") || !has_token(fields, "connection", "upgrade") {
        return wrong("an upgrade to something else");
    }
    if !values(fields, "sec-websocket-accept").eq([key::accept(key.as_bytes()).as_bytes()]) {
        return wrong("an answer to another key");
    }
    let mentions = |name| values(fields, name).next().is_some();
    if mentions("sec-websocket-extensions") || mentions("sec-websocket-protocol") {
        return wrong("an extension or subprotocol that was not asked for");
    }
    Ok(())
}
