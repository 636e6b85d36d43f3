//! Metadata of a message that is sent.

use super::sending::{Detour, Sending};
use crate::error::SendError;
use crate::payload::{Metadata, TraceContext};
use crate::subscription::Received;

impl Sending<'_> {
    /// Adds a header: metadata that goes beside the payload to peers that [read it](crate::SocketBuilder::read_metadata). One
    /// of the same name is replaced.
    ///
    /// Other peers get the payload alone, which `stats().metadata_left_out` counts. A message has at most 64 headers, and
    /// 8 KiB of metadata; more is [`SendError::Metadata`].
    ///
    /// ```no_run
    /// # use actix_aiomsg::prelude::*;
    /// # async fn order(socket: &Socket) -> Result<(), Box<dyn std::error::Error>> {
    /// socket.send(r#"{"apples":10}"#)
    ///     .content_type("application/json")
    ///     .header("tenant", "a")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        if let Some(metadata) = self.metadata_mut() {
            metadata.set_header(name.as_ref(), value.as_ref());
        }
        self
    }

    /// Says which media type the payload is of, such as `application/json`: metadata, as a [`header`](Self::header).
    pub fn content_type(mut self, content_type: impl AsRef<str>) -> Self {
        if let Some(metadata) = self.metadata_mut() {
            metadata.set_content_type(content_type.as_ref());
        }
        self
    }

    /// Says which trace the message belongs to: metadata, as a [`header`](Self::header).
    pub fn trace(mut self, trace: TraceContext) -> Self {
        if let Some(metadata) = self.metadata_mut() {
            metadata.set_trace(trace);
        }
        self
    }

    /// Sets all metadata at once, such as that of a [received](crate::Received::metadata) message that is sent on.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        if let Some(old) = self.metadata_mut() {
            *old = metadata;
        }
        self
    }

    /// The metadata of a received message goes along, if it has some.
    pub(crate) fn metadata_of<T>(self, message: &Received<T>) -> Self {
        match message.metadata().is_empty() {
            true => self,
            false => self.metadata(message.metadata().clone()),
        }
    }

    /// The metadata; `None` if there is no message.
    fn metadata_mut(&mut self) -> Option<&mut Metadata> {
        let new = || Box::new(Detour::Metadata(Metadata::new()));
        match &mut **self.detour.get_or_insert_with(new) {
            Detour::Metadata(metadata) => Some(metadata),
            Detour::Line(_) | Detour::Storing(_) | Detour::Unencodable(_) => None,
        }
    }

    /// Encodes the metadata, if there is some. False if there was none.
    #[cold]
    pub(super) fn seal(&mut self) -> Result<bool, SendError> {
        if !matches!(self.detour.as_deref(), Some(Detour::Metadata(_))) {
            return Ok(false);
        }
        let Some(Detour::Metadata(metadata)) = self.detour.take().map(|detour| *detour) else {
            return Ok(false);
        };
        match metadata.envelope() {
            Ok(envelope) if envelope.is_empty() => {}
            Ok(envelope) => self.extras().envelope = envelope,
            Err(error) => {
                let payload = self.entry.take().map(|entry| entry.payload);
                let payload = payload.unwrap_or_default();
                return Err(SendError::Metadata { payload, error });
            }
        }
        Ok(true)
    }
}
