//! A message to a service, as it travels.

use crate::payload::{AskEnvelope, AskId, AskKind, ServiceAddress};

/// A message to a service.
pub(super) struct ServiceMessage<'a> {
    pub(super) envelope: AskEnvelope,
    pub(super) address: ServiceAddress<'a>,
    pub(super) body: &'a [u8],
}

impl<'a> ServiceMessage<'a> {
    pub(super) fn read(payload: &'a [u8]) -> Option<Self> {
        let (envelope, body) = AskEnvelope::read(payload)?;
        if !matches!(envelope.kind, AskKind::ServiceAsk | AskKind::ServiceTell) {
            return None;
        }
        let (address, body) = ServiceAddress::read(body)?;
        Some(Self {
            envelope,
            address,
            body,
        })
    }
}

/// The id of an ask of a service that is in a payload.
pub(super) fn ask_in(payload: &[u8]) -> Option<AskId> {
    let (envelope, _) = AskEnvelope::read(payload)?;
    (envelope.kind == AskKind::ServiceAsk).then_some(envelope.id)
}

/// True if a payload is a message to a service.
pub(crate) fn is_to_service(payload: &[u8]) -> bool {
    address_in(payload).is_some()
}

/// The address of a message to a service.
pub(super) fn address_in(payload: &[u8]) -> Option<ServiceAddress<'_>> {
    ServiceMessage::read(payload).map(|message| message.address)
}
