//! The session handshake (WIRE §4): from the first byte to "this peer is admitted".

use crate::address::Role;
use crate::event::RefusalReason;
use crate::id::Identity;
use crate::wire::{
    EnvelopeType, HELLO_FRAME_BYTES, KNOWN, PREFIX_BYTES, PROTOCOL_VERSION, Walk, hello_frame,
    read_known, walk,
};

/// Largest length prefix before the peer's HELLO is accepted (WIRE §4.5).
pub(crate) const MAX_HELLO_ENVELOPE_BYTES: u32 = 4 * 1024;

/// The bytes of our HELLO.
pub(crate) type HelloFrame = [u8; HELLO_FRAME_BYTES];

/// The meaning of the bytes received so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// No verdict yet: keep the bytes and read on.
    NeedMore,
    /// The peer's HELLO. Ask the roster, then call [`Handshake::admit`], or close
    /// the connection without another byte.
    PeerHello {
        /// The socket at the other end.
        identity: Identity,
        /// Bytes of the buffer that the HELLO took. What follows is traffic (WIRE §4.4), to be
        /// decoded once the peer is admitted and without waiting for another read.
        consumed: usize,
    },
    /// The bind end, which is this socket, says that we are connected to it already. It closes the connection.
    Known(Identity),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandshakeState {
    AwaitingHello,
    AwaitingVerdict,
    Finished,
}

/// The handshake of one connection.
#[derive(Debug)]
pub(crate) struct Handshake {
    role: Role,
    ours: Identity,
    /// The connect end asks to be told if it is connected already.
    asks_whether_known: bool,
    state: HandshakeState,
}

impl Handshake {
    /// A handshake of which nothing has come yet.
    pub(crate) const fn new(role: Role, ours: Identity) -> Self {
        Self {
            role,
            ours,
            asks_whether_known: false,
            state: HandshakeState::AwaitingHello,
        }
    }

    /// The connect end asks to be told if it is refused because it is connected already (WIRE §10).
    pub(crate) const fn asking_whether_known(mut self, asks: bool) -> Self {
        self.asks_whether_known = asks;
        self
    }

    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    /// True if the question goes along with our HELLO.
    pub(crate) const fn asks_whether_known(&self) -> bool {
        self.asks_whether_known
    }

    /// The HELLO to write when the byte stream stands. The connect end speaks first; the bind end waits,
    /// because a peer takes our HELLO for admission and sends what it has queued (WIRE §4.1).
    pub(crate) fn start(&self) -> Option<HelloFrame> {
        (self.role == Role::ConnectEnd).then(|| hello_frame(self.ours))
    }

    /// Looks at everything received so far. The verdict falls as early as the bytes allow, and is
    /// the same however they were split.
    ///
    /// A buffer seen after the HELLO was found is traffic: it is not looked at.
    pub(crate) fn handle_bytes(&mut self, buffer: &[u8]) -> Result<Step, RefusalReason> {
        if self.state != HandshakeState::AwaitingHello {
            return Ok(Step::NeedMore);
        }
        let step = match self.asks_whether_known && buffer.get(PREFIX_BYTES) == Some(&KNOWN) {
            true => known_by(buffer),
            false => first_frame(buffer),
        };
        self.state = match step {
            Ok(Step::NeedMore) => return step,
            Ok(Step::PeerHello { .. }) => HandshakeState::AwaitingVerdict,
            Ok(Step::Known(_)) | Err(_) => HandshakeState::Finished,
        };
        step
    }

    /// The roster accepted the peer: yields the HELLO to write before anything else, at the bind end.
    /// `None` where no verdict is awaited.
    pub(crate) fn admit(&mut self) -> Option<HelloFrame> {
        if self.state != HandshakeState::AwaitingVerdict {
            return None;
        }
        self.state = HandshakeState::Finished;
        (self.role == Role::BindEnd).then(|| hello_frame(self.ours))
    }
}

/// The answer to the question whether we are connected already.
fn known_by(buffer: &[u8]) -> Result<Step, RefusalReason> {
    match walk(buffer, MAX_HELLO_ENVELOPE_BYTES)? {
        Walk::Partial(_) => Ok(Step::NeedMore),
        Walk::Frame(frame) => {
            let known = read_known(frame.envelope).map(Step::Known);
            known.ok_or(RefusalReason::NotHello(KNOWN))
        }
    }
}

/// Judges the first frame byte by byte: its length, its type, its version, and the rest.
fn first_frame(buffer: &[u8]) -> Result<Step, RefusalReason> {
    walk(buffer, MAX_HELLO_ENVELOPE_BYTES)?;
    let Some((prefix, envelope)) = buffer.split_first_chunk::<PREFIX_BYTES>() else {
        return Ok(Step::NeedMore);
    };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length == 0 {
        return Err(RefusalReason::Empty);
    }
    match envelope.first() {
        Some(&kind) if kind != EnvelopeType::Hello as u8 => {
            return Err(RefusalReason::NotHello(kind));
        }
        Some(_) if length == 1 => return Err(RefusalReason::Short { length }),
        Some(_) | None => {}
    }
    match envelope.get(1) {
        Some(&version) if version != PROTOCOL_VERSION => {
            return Err(RefusalReason::Version(version));
        }
        Some(_) if PREFIX_BYTES + length < HELLO_FRAME_BYTES => {
            return Err(RefusalReason::Short { length });
        }
        Some(_) | None => {}
    }
    let Some(hello) = envelope.get(..length) else {
        return Ok(Step::NeedMore);
    };
    let identity = hello[2..].first_chunk().expect("the length was checked");
    Ok(Step::PeerHello {
        identity: Identity::from_bytes(*identity),
        consumed: PREFIX_BYTES + length,
    })
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
