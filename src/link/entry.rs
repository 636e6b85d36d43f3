//! One accepted message while it is not yet in a link, or no longer.

use std::time::Instant;

use bytes::Bytes;

use super::receipt::ReceiptSender;
use crate::detach::detach;
use crate::engine::{Blame, Standing};
use crate::error::ReceiptError;
use crate::id::{Identity, MessageId};
use crate::limits::DeliveryGuarantee;
use crate::outbox::{Durability, Stored};
use crate::payload::{EMPTY_ENVELOPE, Metadata, begins_as_envelope};

/// Addressee of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Whomever the socket's send mode picks.
    Mode,
    /// One peer, whatever the send mode.
    Peer(Identity),
    /// The peer of the link that the message is in: it was published, and others have copies of
    /// their own, so that nobody else is to get this one.
    Copy,
    /// An instance of a service: the peer of the link that the message is in, and not its next process. Whoever chose the
    /// instance has it back when the link goes, and chooses again.
    Service,
}

impl Target {
    /// The peer that a message is for, if it is for one by its identity.
    pub(crate) const fn peer(self) -> Option<Identity> {
        match self {
            Self::Peer(peer) => Some(peer),
            Self::Mode | Self::Copy | Self::Service => None,
        }
    }
}

/// Options that only few messages carry.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// When the message is no longer worth sending.
    pub(crate) expires: Option<Instant>,
    /// The id that it was transmitted by before, which stays the same.
    pub(crate) id: Option<MessageId>,
    /// The receipt that waits for its acknowledgement.
    pub(crate) receipt: Option<ReceiptSender>,
    /// Transmissions on earlier connections, none of which was acknowledged.
    pub(crate) transmissions: u32,
    /// When it is accepted, if that is not left to the outbox.
    pub(crate) durability: Option<Durability>,
    /// Its place in the store of the outbox, where it stays until it has come to its end.
    pub(crate) stored: Option<Stored>,
    /// The envelope of its metadata; empty if it has none.
    pub(crate) envelope: Bytes,
    /// Peers that have ended connections on which it was sent.
    pub(super) blames: Vec<(Identity, Blame)>,
}

impl Extras {
    /// The message has come to its end: it leaves the store of the outbox, and its receipt learns how.
    pub(crate) fn end(self, outcome: Result<(), ReceiptError>) {
        if let Some(stored) = self.stored {
            stored.remove();
        }
        if let Some(receipt) = self.receipt {
            receipt.resolve(outcome);
        }
    }
}

/// Peers with a case that a message remembers.
const MOST_BLAMES: usize = 16;

/// One accepted message.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) target: Target,
    pub(crate) guarantee: DeliveryGuarantee,
    pub(crate) payload: Bytes,
    pub(crate) extras: Option<Box<Extras>>,
}

impl Entry {
    /// A message without extras.
    #[inline]
    pub(crate) const fn new(target: Target, guarantee: DeliveryGuarantee, payload: Bytes) -> Self {
        Self {
            target,
            guarantee,
            payload,
            extras: None,
        }
    }

    /// True for a message that goes by the send mode, at most once, without further options.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.target == Target::Mode
            && self.guarantee == DeliveryGuarantee::AtMostOnce
            && self.extras.is_none()
    }

    /// True for a message that is [plain](Self::is_plain) but for its metadata.
    #[cold]
    pub(crate) fn is_plain_with_metadata(&self) -> bool {
        self.target == Target::Mode
            && self.guarantee == DeliveryGuarantee::AtMostOnce
            && self.extras.as_ref().is_some_and(|extras| {
                extras.expires.is_none()
                    && extras.receipt.is_none()
                    && extras.blames.is_empty()
                    && extras.stored.is_none()
            })
    }

    /// The envelope of its metadata; empty if it has none.
    pub(crate) fn envelope(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        (self.extras.as_ref()).map_or(&NONE, |extras| &extras.envelope)
    }

    /// What stands before the payload for a peer that reads metadata.
    pub(crate) fn envelope_for_reader(&self) -> &Bytes {
        static EMPTY: Bytes = Bytes::from_static(EMPTY_ENVELOPE);
        let envelope = self.envelope();
        match envelope.is_empty() && begins_as_envelope(&self.payload) {
            true => &EMPTY,
            false => envelope,
        }
    }

    /// Its case at a peer, which is a new one if there is none.
    #[cold]
    pub(crate) fn blame_of(&mut self, peer: Identity) -> &mut Blame {
        let blames = &mut self.extras.get_or_insert_default().blames;
        let known = blames.iter().position(|(blamed, _)| *blamed == peer);
        let index = known.unwrap_or_else(|| {
            if blames.len() == MOST_BLAMES {
                blames.remove(0);
            }
            blames.push((peer, Blame::default()));
            blames.len() - 1
        });
        &mut blames[index].1
    }

    /// Its case at a peer, if there is one.
    pub(crate) fn blame_at(&self, peer: Identity) -> Option<&Blame> {
        let blames = &self.extras.as_ref()?.blames;
        let case = blames.iter().find(|(blamed, _)| *blamed == peer);
        case.map(|(_, blame)| blame)
    }

    /// How it may be sent to a peer, unless among others as any other.
    #[inline]
    pub(crate) fn suspicion_at(&self, peer: Identity) -> Option<Standing> {
        match &self.extras {
            Some(extras) if !extras.blames.is_empty() => {
                let standing = self.blame_at(peer)?.standing();
                (standing != Standing::Free).then_some(standing)
            }
            Some(_) | None => None,
        }
    }

    /// Makes it a message that can wait for long: it keeps nothing of the reads that its payload and its metadata may have come with.
    pub(crate) fn detach(&mut self) {
        detach(&mut self.payload);
        if let Some(extras) = &mut self.extras {
            detach(&mut extras.envelope);
        }
    }

    /// Its place in the store of the outbox, if it has one.
    pub(crate) fn stored(&self) -> Option<&Stored> {
        self.extras.as_ref()?.stored.as_ref()
    }

    /// True if the outbox has it in its store.
    pub(crate) fn is_stored(&self) -> bool {
        self.stored().is_some()
    }

    /// True if its turn comes only when the outbox reads it.
    pub(crate) fn is_in_tail(&self) -> bool {
        self.stored().is_some_and(Stored::is_in_tail)
    }

    /// Until when it waits for its peer, if the outbox has it in its store.
    pub(crate) fn waits_until(&self) -> Option<Instant> {
        self.stored()?.waits_until
    }

    /// True if the message is no longer worth sending.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.expires().is_some_and(|expires| expires <= now)
    }

    /// When the message is no longer worth sending, if ever.
    #[inline]
    pub(crate) fn expires(&self) -> Option<Instant> {
        self.extras.as_ref().and_then(|extras| extras.expires)
    }

    /// Cost of the message in a queue: its payload, its metadata and the overhead of keeping it.
    #[inline]
    pub(crate) fn cost(&self) -> usize {
        self.payload.len() + self.envelope().len() + size_of::<Self>()
    }
}

/// True if a message is within a limit of payloads, together with what stands before its payload for a peer that reads metadata.
#[inline]
pub(crate) fn fits_frame(entry: &Entry, limit: usize) -> bool {
    let fits = |envelope: usize| entry.payload.len() + envelope <= limit;
    // Most are so far from the limit that nobody has to look at them.
    fits(Metadata::MAX_BYTES) || fits(entry.envelope_for_reader().len())
}

/// Moves a message out of the hand of its sender.
pub(crate) fn take(entry: &mut Entry) -> Entry {
    Entry {
        target: entry.target,
        guarantee: entry.guarantee,
        payload: std::mem::take(&mut entry.payload),
        extras: entry.extras.take(),
    }
}
