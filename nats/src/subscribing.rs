//! From a subject without a stream to peers of the socket.

use std::collections::HashMap;

use actix_aiomsg::error::SendError;
use actix_aiomsg::{DeliveryGuarantee, Identity};
use async_nats::Subscriber;
use futures_util::StreamExt;

use crate::BridgeError;
use crate::outbound::Ended;
use crate::pause::LOOK;
use crate::shared::Shared;
use crate::stats::add;

/// One subscription, and whom its messages are for.
#[derive(Debug)]
pub(crate) struct Forwarding {
    pub(crate) subject: String,
    pub(crate) subscriber: Subscriber,
    /// By identity: the names that the last part of a subject may be.
    pub(crate) peers: Option<HashMap<String, Identity>>,
}

impl Forwarding {
    /// Sends what comes, until the socket or the bridge ends.
    pub(crate) async fn forward(mut self, shared: &Shared) -> Ended {
        loop {
            if shared.takes_nothing_in() {
                // The client forgets the subscription when this is dropped.
                return Ended::Done;
            }
            let message = match tokio::time::timeout(LOOK, self.subscriber.next()).await {
                Err(_) => continue,
                Ok(Some(message)) => message,
                Ok(None) => {
                    return Ended::Lost(BridgeError::Lost {
                        what: format!("the subscription of {}", self.subject),
                        reason: "the client is closed".to_owned(),
                    });
                }
            };
            let name = message.subject.as_str().rsplit('.').next();
            let peer = self
                .peers
                .as_ref()
                .map(|peers| name.and_then(|name| peers.get(name)));
            let sending = match peer {
                None => shared.socket.send(message.payload),
                Some(Some(peer)) => shared.socket.send_to(*peer, message.payload),
                Some(None) => {
                    add(&shared.counters.dropped);
                    shared.dropped("no peer has the name that its subject ends with");
                    continue;
                }
            };
            match sending.guarantee(DeliveryGuarantee::AtMostOnce).await {
                Ok(()) => add(&shared.counters.forwarded),
                Err(SendError::Closed(_)) => return Ended::Done,
                Err(error) => {
                    add(&shared.counters.dropped);
                    let reason = error.to_string();
                    match error {
                        SendError::TooLarge { .. } => {
                            shared.refused(peer.flatten().copied(), &reason);
                        }
                        _ => shared.dropped(&reason),
                    }
                }
            }
        }
    }
}
