//! Sockets by name, so that actors of a system find one without being handed it.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::handle::Socket;
use crate::error::StartError;

/// Sockets by the system that they run in and their name. Each is kept open until it is closed or
/// its system stops.
static SOCKETS: Mutex<Option<HashMap<(usize, String), Socket>>> = Mutex::new(None);

/// The system of this thread; threads without one share a number of their own.
fn system() -> usize {
    actix::System::try_current().map_or(usize::MAX, |system| system.id())
}

/// Registers a socket by its name, if it has one, unless the name is taken by one that is still open.
pub(crate) fn register(socket: &Socket) -> Result<(), StartError> {
    let Some(name) = &socket.core().config.name else {
        return Ok(());
    };
    let mut sockets = SOCKETS.lock();
    let sockets = sockets.get_or_insert_default();
    // Handles of closed sockets hold nothing but memory; this is when it is given back.
    sockets.retain(|_, socket| !socket.is_closed());
    let key = (system(), name.clone());
    if sockets.contains_key(&key) {
        return Err(StartError::NameTaken(name.clone()));
    }
    sockets.insert(key, socket.clone());
    Ok(())
}

/// The open socket of this name in this thread's system.
fn find(name: &str) -> Option<Socket> {
    let sockets = SOCKETS.lock();
    let socket = sockets.as_ref()?.get(&(system(), name.to_owned()))?;
    (!socket.is_closed()).then(|| socket.clone())
}

impl Socket {
    /// The open socket of this name in this thread's system; see
    /// [`SocketBuilder::name`](crate::SocketBuilder::name).
    pub fn named(name: &str) -> Option<Self> {
        find(name)
    }
}
