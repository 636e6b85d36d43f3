//! Ids of messages on both sides of the bridge.

use actix_aiomsg::{Identity, MessageId};

/// The `Nats-Msg-Id` of a message that the socket has received: the identity of its sender and its own id.
///
/// It is the same whenever and by whichever bridge the message is published, so that JetStream recognises it within the duplicate window
/// of the stream.
#[must_use]
pub fn outbound_id(origin: (Identity, MessageId)) -> String {
    format!("{}-{}", origin.0, origin.1)
}

/// The id by which a message of a stream is sent to peers: the first half stands for the stream, by its name and the
/// time of its creation in nanoseconds since 1970; the second half is the sequence, big-endian.
///
/// It is the same whenever and by whichever bridge the message is sent.
#[must_use]
pub fn inbound_id(stream: &str, created: i128, sequence: u64) -> MessageId {
    StreamIds::new(stream, created).id_of(sequence)
}

/// The ids of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamIds {
    stream: [u8; 8],
}

impl StreamIds {
    pub(crate) fn new(stream: &str, created: i128) -> Self {
        let digest = Identity::from_name(&format!("NATS stream {stream} of {created}"));
        let mut half = [0; 8];
        half.copy_from_slice(&digest.as_bytes()[..8]);
        Self { stream: half }
    }

    pub(crate) fn id_of(&self, sequence: u64) -> MessageId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.stream);
        bytes[8..].copy_from_slice(&sequence.to_be_bytes());
        MessageId::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbound_id_is_of_one_place_in_one_stream() {
        let id = inbound_id("ORDERS", 5, 258);
        assert_eq!(id, inbound_id("ORDERS", 5, 258));
        assert_eq!(id.as_bytes()[8..], [0, 0, 0, 0, 0, 0, 1, 2]);
        // A stream that is made again begins at 1 again, and is another one.
        assert_ne!(id, inbound_id("ORDERS", 6, 258));
        assert_ne!(id, inbound_id("INVOICES", 5, 258));
        assert_ne!(id, inbound_id("ORDERS", 5, 259));
    }

    #[test]
    fn an_outbound_id_names_the_sender_and_the_message() {
        let origin = (
            Identity::from_bytes([1; 16]),
            MessageId::from_bytes([2; 16]),
        );
        let id = outbound_id(origin);
        assert_eq!(id, format!("{}-{}", "01".repeat(16), "02".repeat(16)));
    }
}
