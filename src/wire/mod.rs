//! The bytes that cross the network (WIRE §2 and §3), and nothing else: no sockets, no clock,
//! no decisions.
//!
//! [`walk`] finds whole frames in a buffer, [`Envelope`] reads and writes what a frame holds, and
//! [`FrameCodec`] joins the two for tokio-util's `Framed`. The data path of a socket uses the walk
//! and the header writers directly, because it never wants one allocation for each message.

mod codec;
mod envelope;
mod extension;
mod frame;
mod service_frames;

pub use codec::{FrameCodec, FrameError};
pub use envelope::{Envelope, EnvelopeType, Malformed, PROTOCOL_VERSION};
pub use frame::{Frame, Oversize, Walk, walk};

pub(crate) use envelope::{
    ACK_FRAME_BYTES, DATA_HEADER_BYTES, DATA_REQ_HEADER_BYTES, HEARTBEAT_FRAME, HELLO_FRAME_BYTES,
    MessageHead, data_header, data_req_header, hello_frame, payload_offset, put_ack,
};
pub(crate) use extension::{
    ASKS_WHETHER_KNOWN, Extension, KNOWN, NotHandled, READS_FRAME, Verdict, is_extension,
    known_frame, put_refused, read_known, taken_frame,
};
pub(crate) use frame::PREFIX_BYTES;
pub(crate) use service_frames::{
    LoadEntry, LoadFrame, OfferFrame, OfferHead, OfferedState, ServiceEntry, put_load, put_offer,
    seen_frame,
};
