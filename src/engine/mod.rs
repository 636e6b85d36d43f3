//! Decisions, and nothing else: no IO, no clock, no runtime and no actors.
//!
//! A machine here is told facts (`handle_<fact>`) and answers with what is to be done about them.
//! The time is an argument, so that a test can be exact about it.

// The layers that drive these machines arrive one by one.
#![allow(dead_code, unused_imports)]

pub(crate) mod backoff;
mod handshake;
pub(crate) mod intensity;
mod liveness;
mod recent;
mod roster;
mod rotation;

pub use backoff::{Backoff, Delays};
pub use handshake::Role;

pub(crate) use handshake::{Effect, Effects, Handshake, MAX_HELLO_ENVELOPE_BYTES, Refusal, Step};
pub(crate) use liveness::{Liveness, Receiving, Verdict};
pub(crate) use recent::{Recent, Sighting};
pub(crate) use roster::{Admission, Departure, Roster};
pub(crate) use rotation::Rotation;
