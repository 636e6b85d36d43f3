//! Heartbeats that another thread writes to a WebSocket connection, whose own thread is blocked.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;

use super::frame::{Opcode, put_frame};
use crate::address::Role;
use crate::wire::HEARTBEAT_FRAME;

/// What a connection and whoever writes its heartbeats have in common. Whoever writes holds it.
#[derive(Debug, Default)]
pub(super) struct WriteTurn {
    /// All that the connection has begun to write is written, it is in no message, and it has not closed.
    pub(super) is_between_messages: bool,
    /// The rest of a heartbeat that is begun. The connection writes it before anything else.
    pub(super) rest: BytesMut,
}

/// Writes heartbeats between the messages of a connection, each as a message of its own.
#[derive(Debug)]
pub(in crate::transport) struct WebSocketHeartbeats {
    pub(super) role: Role,
    pub(super) turn: Arc<Mutex<WriteTurn>>,
}

impl WebSocketHeartbeats {
    /// Writes a heartbeat by `write`, and leaves to the connection what that does not take.
    ///
    /// # Errors
    ///
    /// Those of `write`; `WouldBlock` where the connection is writing, or is not between two messages.
    pub(in crate::transport) fn try_heartbeat(
        &self,
        write: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let turn = self.turn.try_lock();
        let Some(mut turn) = turn.filter(|turn| turn.is_between_messages) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let rest = &mut turn.rest;
        if rest.is_empty() {
            let heartbeat = std::iter::once(&HEARTBEAT_FRAME[..]);
            put_frame(rest, Opcode::Binary, self.role, heartbeat);
        }
        let written = write(rest)?;
        rest.advance(written);
        Ok(())
    }
}
