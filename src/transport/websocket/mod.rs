//! WebSocket at both ends (WIRE §8): the upgrade, then frames as a byte stream.

mod answer;
mod decoder;
mod frame;
mod head;
mod key;
mod request;
mod response;
mod stream;
mod violation;

use bytes::BytesMut;

use super::endpoint::Endpoint;
use super::error::TransportError;
use super::stream::ByteStream;
use super::upgrade_request::UpgradeRequest;
use frame::Role;

pub use answer::UpgradeFault;
pub use violation::WebSocketViolation;

pub(super) use stream::{POLICY, WebSocketStream};

/// The bind end's part, from the first bytes of an HTTP request on. A request that is refused is
/// answered, and its sender has at most 1 s to read the answer, before this returns.
pub(super) async fn accept(
    mut stream: ByteStream,
    mut read: BytesMut,
    allowed_origins: &[String],
) -> Result<(ByteStream, UpgradeRequest), TransportError> {
    let asked = match head::read(&mut stream, &mut read).await? {
        Ok(head) => request::judge(&head, allowed_origins),
        Err(fault) => Err(fault),
    };
    match asked {
        Ok(asked) => {
            answer::switch(&mut stream, &asked.accept).await?;
            Ok((serve(stream, read), asked.request))
        }
        Err(fault) => {
            answer::refuse(stream, fault).await;
            Err(TransportError::UpgradeRefused { fault })
        }
    }
}

/// The bind end's frames, from behind the upgrade on; `read` are the first of them.
pub(super) fn serve(stream: ByteStream, read: BytesMut) -> ByteStream {
    let stream = WebSocketStream::new(stream, Role::Server, read);
    ByteStream::WebSocket(Box::new(stream))
}

/// Judges the head of a request that somebody else has read, by the same rules and limits: the
/// request, and the answer to its key.
#[cfg(feature = "actix-web")]
pub(crate) fn judge_head(
    head: &[u8],
    allowed_origins: &[String],
) -> Result<(UpgradeRequest, String), UpgradeFault> {
    if head.len() > head::MAX_HEAD_BYTES {
        return Err(UpgradeFault::TooLong);
    }
    request::judge(head, allowed_origins).map(|asked| (asked.request, asked.accept))
}

/// The connect end's part: asks, and checks the answer.
pub(super) async fn connect(
    mut stream: ByteStream,
    endpoint: &Endpoint,
) -> Result<ByteStream, TransportError> {
    let key = key::random();
    response::ask(&mut stream, endpoint, &key).await?;
    let mut read = BytesMut::new();
    let head = match head::read(&mut stream, &mut read).await? {
        Ok(head) => head,
        Err(_) => {
            return Err(TransportError::UpgradeAnswer {
                what: "no HTTP answer",
            });
        }
    };
    response::judge(&head, &key)?;
    let stream = WebSocketStream::new(stream, Role::Client, read);
    Ok(ByteStream::WebSocket(Box::new(stream)))
}

#[cfg(test)]
mod tests;
