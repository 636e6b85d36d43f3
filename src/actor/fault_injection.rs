//! Panics on demand, for tests of what they cost.

use actix::{Context, Handler, Message};

use super::dialer::DialerActor;
use super::listener::ListenerActor;
use super::router::RouterActor;
use super::socket::SocketActor;

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
    /// Every connection.
    Connections,
}

/// Panic now.
#[derive(Debug)]
pub(crate) struct Crash;

impl Message for Crash {
    type Result = ();
}

macro_rules! crashes {
    ($($actor:ty),*) => {$(
        impl Handler<Crash> for $actor {
            type Result = ();

            fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
                panic!("on demand");
            }
        }
    )*};
}

crashes!(RouterActor, ListenerActor, DialerActor);

/// Make a part of the socket panic.
#[derive(Debug)]
pub(crate) struct CrashPart(pub(crate) Part);

impl Message for CrashPart {
    type Result = ();
}

impl Handler<CrashPart> for SocketActor {
    type Result = ();

    fn handle(&mut self, CrashPart(part): CrashPart, _: &mut Context<Self>) {
        self.crash(part);
    }
}
