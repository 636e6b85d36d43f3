//! The question that a handshake asks before its peer counts as connected.

use std::sync::Arc;

use actix::{MailboxError, Message, Recipient};

use super::membership::Peer;
use crate::link::Link;
use crate::routing::JoinOutcome;

/// A peer has said who it is, and asks to be admitted.
#[derive(Debug)]
pub(crate) struct Admit {
    pub(crate) link: Arc<Link>,
    pub(crate) peer: Peer,
}

impl Message for Admit {
    type Result = JoinOutcome;
}

/// Decides about peers, one after the other.
pub(crate) trait Admitter {
    /// The verdict on a peer that has said who it is.
    ///
    /// # Errors
    ///
    /// Whoever was to decide has failed.
    async fn admit(&self, link: Arc<Link>, peer: Peer) -> Result<JoinOutcome, MailboxError>;
}

impl Admitter for Recipient<Admit> {
    async fn admit(&self, link: Arc<Link>, peer: Peer) -> Result<JoinOutcome, MailboxError> {
        self.send(Admit { link, peer }).await
    }
}
