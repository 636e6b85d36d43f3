//! Panics on demand, for tests of what they cost.

use actix::Message;

/// An actor of a socket that a test makes panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The actor that takes the socket's commands.
    Socket,
    /// The actor that admits peers.
    Router,
    /// Every actor that accepts.
    Listener,
    /// Every actor that dials.
    Dialer,
    /// Every actor that follows a source of peers.
    Discovery,
    /// Every connection.
    Connections,
}

/// Panic now.
#[derive(Debug)]
pub(crate) struct Crash;

impl Message for Crash {
    type Result = ();
}

/// Makes actors panic when they are told to.
macro_rules! crash_on_demand {
    ($actor:ty) => {
        impl actix::Handler<$crate::actor::fault_injection::Crash> for $actor {
            type Result = ();

            fn handle(
                &mut self,
                _: $crate::actor::fault_injection::Crash,
                _: &mut actix::Context<Self>,
            ) {
                panic!("on demand");
            }
        }
    };
}

pub(super) use crash_on_demand;

/// Make a part of the socket panic.
#[derive(Debug)]
pub(crate) struct CrashPart(pub(crate) Part);

impl Message for CrashPart {
    type Result = ();
}
