//! Payloads: user types, their formats and topics, and the bytes that they travel as.
//!
//! A type says once how it travels: its [`Format`], and the topic or matcher that tells its payloads
//! from others. Nothing is ever decoded to find out what it is.

mod codec;
mod envelope;
mod filter;
mod format;
mod metadata;
mod payload_type;
mod service_address;

pub use codec::Codec;
pub use envelope::TraceContext;
pub(crate) use envelope::{AskEnvelope, AskId, AskKind};
pub use filter::Filter;
#[cfg(feature = "protobuf")]
pub use format::Protobuf;
#[cfg(feature = "serde")]
pub use format::Serde;
pub use format::{Format, Raw};
pub use metadata::Metadata;
pub(crate) use metadata::{EMPTY_ENVELOPE, begins_as_envelope, envelope_length, read_envelope};
pub use payload_type::{IntoPayload, Payload};
pub(crate) use payload_type::{decode, encode};
pub(crate) use service_address::{AskRefusal, ServiceAddress};
