//! Dead letters that are delivered once more, to those who are subscribed or to a service.

use std::sync::Arc;

use bytes::BytesMut;
use tokio_util::codec::Encoder;

use super::socket_core::SocketCore;
use crate::id::{ID_BYTES, MessageId};
use crate::inbox::Chunk;
use crate::link::{Entry, Link, Redelivery, Target};
use crate::outbox::{KeptLetter, Letter};
use crate::services::is_to_service;
use crate::subscription::PushMode;
use crate::wire::{Envelope, FrameCodec};

impl SocketCore {
    /// Hands a letter to those who are subscribed, or to the service that it is for; it leaves the queue when they are through with it.
    /// False if nobody takes it, or the socket closes.
    pub(crate) fn redeliver(self: &Arc<Self>, letter: KeptLetter) -> bool {
        let Some(peer) = letter.peer else {
            return false;
        };
        let to_service = is_to_service(&letter.payload);
        let subscriptions = &self.inbound.subscriptions;
        if !self.lifecycle.is_open() || !(to_service || subscriptions.has_subscribers()) {
            return false;
        }
        let this = Arc::downgrade(self);
        let redelivery = Redelivery::new(move |ids, _| {
            let Some(core) = this.upgrade() else { return };
            // One that was not handled is a letter anew by now.
            if let Some(letters) = core.events.letters() {
                ids.iter().for_each(|id| letters.remove(letter_of(*id)));
            }
        });
        let owner = Arc::downgrade(&self.router);
        let limits = self.router.link_limits();
        let link = Link::of_redelivery(peer, owner, limits, redelivery);
        let envelope = Envelope::DataReq(id_of(letter.id), letter.payload);
        let mut frame = BytesMut::new();
        let mut codec = FrameCodec::with_limit(u32::MAX);
        if codec.encode(envelope, &mut frame).is_err() {
            return false;
        }
        let cost = frame.capacity();
        let chunk = Chunk::new(Arc::new(link), frame.freeze(), 1, cost);
        if to_service {
            return self.services.deliver_again(chunk);
        }
        subscriptions.deliver(&subscriptions.load_list(), chunk, PushMode::Over);
        true
    }

    /// Sends a letter to an instance of the service that it was for, by its own id. False if that is not possible now.
    pub(crate) fn tell_again(&self, letter: Letter) -> bool {
        let guarantee = letter.guarantee();
        let limit = Link::max_payload(guarantee, self.config.max_frame_bytes);
        if letter.payload.len() > limit {
            return false;
        }
        let mut entry = Entry::new(Target::Service, guarantee, letter.payload);
        if letter.message.is_some() || !letter.envelope.is_empty() {
            let extras = entry.extras.get_or_insert_default();
            (extras.id, extras.envelope) = (letter.message, letter.envelope);
        }
        self.services.tell_again(entry)
    }
}

/// The id of a message that is a letter.
fn id_of(letter: u64) -> MessageId {
    let mut bytes = [0; ID_BYTES];
    bytes[8..].copy_from_slice(&letter.to_be_bytes());
    MessageId::from_bytes(bytes)
}

fn letter_of(id: MessageId) -> u64 {
    let bytes = id.as_bytes();
    bytes[8..]
        .iter()
        .fold(0, |id, byte| id << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_message_says_which_letter_it_is() {
        for letter in [0, 1, 0x0102_0304_0506_0708, u64::MAX] {
            assert_eq!(letter_of(id_of(letter)), letter);
        }
    }
}
