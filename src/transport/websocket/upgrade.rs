//! The upgrade to WebSocket at both ends.

use bytes::BytesMut;

use super::stream::{Stream, WebSocketStream};
use super::{answer, head, key, request, response};
use crate::address::{Endpoint, Role, UpgradeFault};
#[cfg(feature = "actix-web")]
use crate::event::RefusalReason;
use crate::transport::error::TransportError;
use crate::transport::request_headers::RequestHeaders;
use crate::transport::upgrade_request::UpgradeRequest;

/// The bind end's part, from the first bytes of an HTTP request on. A request that is refused is
/// answered, and its sender has at most 1 s to read the answer, before this returns.
pub(in crate::transport) async fn accept<S: Stream>(
    mut stream: S,
    mut read: BytesMut,
    allowed_origins: &[String],
) -> Result<(WebSocketStream<S>, UpgradeRequest), TransportError> {
    let head = head::read(&mut stream, &mut read).await?;
    let asked = match &head {
        Ok(head) => request::judge(head, allowed_origins),
        Err(fault) => Err(*fault),
    };
    match asked {
        Ok(asked) => {
            answer::switch(&mut stream, &asked.accept).await?;
            Ok((serve(stream, read), asked.request))
        }
        Err(fault) => {
            answer::refuse(stream, fault).await;
            Err(refused(fault, head.ok().as_deref()))
        }
    }
}

fn refused(fault: UpgradeFault, head: Option<&[u8]>) -> TransportError {
    match (fault, head) {
        (UpgradeFault::Origin, Some(head)) => TransportError::OriginRefused {
            origin: request::told_origin(head),
        },
        _ => TransportError::UpgradeRefused { fault },
    }
}

/// The bind end's frames, from behind the upgrade on; `read` are the first of them.
pub(in crate::transport) fn serve<S: Stream>(stream: S, read: BytesMut) -> WebSocketStream<S> {
    WebSocketStream::new(stream, Role::BindEnd, read)
}

/// Judges the head of a request that somebody else has read, by the same rules and limits: the
/// request, and the answer to its key.
///
/// # Errors
///
/// What is wrong, for the answer, and why the peer is refused.
#[cfg(feature = "actix-web")]
pub(crate) fn judge_head(
    head: &[u8],
    allowed_origins: &[String],
) -> Result<(UpgradeRequest, String), (UpgradeFault, RefusalReason)> {
    let judged = match head.len() {
        ..=head::MAX_HEAD_BYTES => request::judge(head, allowed_origins),
        _ => Err(UpgradeFault::TooLong),
    };
    judged
        .map(|asked| (asked.request, asked.accept))
        .map_err(|fault| (fault, refused(fault, Some(head)).into()))
}

/// The connect end's part: asks, and checks the answer.
pub(in crate::transport) async fn connect<S: Stream>(
    mut stream: S,
    endpoint: &Endpoint,
    headers: &RequestHeaders,
) -> Result<WebSocketStream<S>, TransportError> {
    let key = key::random();
    response::ask(&mut stream, endpoint, headers, &key).await?;
    let mut read = BytesMut::new();
    let head = match head::read(&mut stream, &mut read).await? {
        Ok(head) => head,
        Err(_) => {
            let what = match read.starts_with(b"HTTP/") {
                true => "an HTTP answer whose head does not end, or is longer than 8 KiB",
                false => "no HTTP answer; if the peer speaks TLS, connect with wss",
            };
            return Err(TransportError::UpgradeAnswer { what });
        }
    };
    response::judge(&head, &key, endpoint)?;
    Ok(WebSocketStream::new(stream, Role::ConnectEnd, read))
}
