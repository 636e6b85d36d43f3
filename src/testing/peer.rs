//! A peer that says exactly what the test says.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::address::Endpoint;
use crate::id::{Identity, MessageId};
use crate::transport::connect_memory;
use crate::wire::{Envelope, PROTOCOL_VERSION};

/// One end of a connection within the process that says exactly what the test says, to a socket
/// that is bound at an endpoint of the kit.
#[derive(Debug)]
pub struct ScriptedPeer {
    stream: DuplexStream,
}

impl ScriptedPeer {
    /// Connects, and says nothing.
    ///
    /// # Errors
    ///
    /// When nobody listens at the endpoint, or it is not within the process.
    pub async fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        let name = endpoint.name().ok_or(io::ErrorKind::Unsupported)?;
        let patience = std::time::Duration::from_secs(1);
        let stream = connect_memory(name, patience).await?;
        Ok(Self { stream })
    }

    /// Connects and shakes hands as `identity`; yields the identity of the other end, too.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and when the handshake is refused.
    pub async fn introduced(
        endpoint: &Endpoint,
        identity: Identity,
    ) -> io::Result<(Self, Identity)> {
        let mut peer = Self::connect(endpoint).await?;
        let version = PROTOCOL_VERSION;
        peer.say(&Envelope::Hello { version, identity }).await?;
        match peer.next().await? {
            Envelope::Hello { identity, .. } => Ok((peer, identity)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Says bytes as they are.
    ///
    /// # Errors
    ///
    /// When the other end has closed.
    pub async fn say_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Says one frame.
    ///
    /// # Errors
    ///
    /// When the other end has closed.
    pub async fn say(&mut self, envelope: &Envelope) -> io::Result<()> {
        let length = u32::try_from(envelope.encoded_len());
        let length = length.map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut frame = length.to_be_bytes().to_vec();
        envelope.encode(&mut frame);
        self.say_bytes(&frame).await
    }

    /// Sends a message at most once.
    ///
    /// # Errors
    ///
    /// When the other end has closed.
    pub async fn send(&mut self, payload: impl Into<Bytes>) -> io::Result<()> {
        self.say(&Envelope::Data(payload.into())).await
    }

    /// Sends a message that wants an acknowledgement.
    ///
    /// # Errors
    ///
    /// When the other end has closed.
    pub async fn send_acknowledged(
        &mut self,
        id: MessageId,
        payload: impl Into<Bytes>,
    ) -> io::Result<()> {
        self.say(&Envelope::DataReq(id, payload.into())).await
    }

    /// The next frame that is not a heartbeat, nor one that only this crate knows (WIRE §10): other
    /// implementations skip those.
    ///
    /// # Errors
    ///
    /// When the other end has closed, or says nonsense.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, part of a frame may be lost.
    pub async fn next(&mut self) -> io::Result<Envelope> {
        loop {
            match self.next_of_any_kind().await? {
                Some(Envelope::Heartbeat | Envelope::Unknown(0xC0..=0xC7)) => {}
                Some(envelope) => return Ok(envelope),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// The next frame, heartbeats included; `None` when the other end has closed between frames.
    ///
    /// # Errors
    ///
    /// When the other end has closed inside of a frame, or says nonsense.
    ///
    /// # Cancel safety
    ///
    /// As that of [`next`](Self::next).
    pub async fn next_of_any_kind(&mut self) -> io::Result<Option<Envelope>> {
        let mut length = [0; 4];
        // The first byte alone tells a clean end from a truncated frame.
        if self.stream.read(&mut length[..1]).await? == 0 {
            return Ok(None);
        }
        self.stream.read_exact(&mut length[1..]).await?;
        let mut envelope = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut envelope).await?;
        let buffer = Bytes::from(envelope);
        match Envelope::decode(&buffer) {
            Ok(envelope) => Ok(Some(envelope.into_owned(&buffer))),
            Err(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// The payload of the next frame, which must be a message.
    ///
    /// # Errors
    ///
    /// When it is none, or the other end has closed.
    ///
    /// # Cancel safety
    ///
    /// As that of [`next`](Self::next).
    pub async fn receive(&mut self) -> io::Result<Bytes> {
        match self.next().await? {
            Envelope::Data(payload) | Envelope::DataReq(_, payload) => Ok(payload),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
