//! WebSocket at both ends (WIRE §8): the upgrade, then frames as a byte stream.

mod answer;
mod decoder;
mod denial;
mod frame;
mod head;
mod heartbeats;
mod key;
mod request;
mod response;
mod stream;
mod upgrade;

#[cfg(feature = "actix-web")]
pub(crate) use answer::page;
pub(super) use heartbeats::WebSocketHeartbeats;
pub(super) use stream::{POLICY, WebSocketStream};
#[cfg(feature = "actix-web")]
pub(crate) use upgrade::judge_head;
#[cfg(feature = "actix-web")]
pub(super) use upgrade::serve;
pub(super) use upgrade::{accept, connect};

#[cfg(test)]
mod tests;
