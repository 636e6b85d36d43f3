//! Metadata of a message that is sent.

use super::sending::{Detour, Sending};
use crate::error::SendError;
use crate::limits::SendMode;
use crate::link::Target;
use crate::payload::{Metadata, TraceContext};
use crate::routing::Router;
use crate::subscription::Received;
use crate::trace::{Outgoing, SendSpan};

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
        let Some(Detour::Metadata(mut metadata)) = self.detour.take().map(|detour| *detour) else {
            return Ok(false);
        };
        self.begin_span(&mut metadata);
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

    /// The span begins where metadata is encoded, with which its context travels.
    #[cold]
    pub(super) fn with_span(
        router: &Router,
        topic: &'static str,
    ) -> (SendSpan, Option<Box<Detour>>) {
        let span = router.config().tracing.prepare_send(topic);
        (span, Some(Box::new(Detour::Metadata(Metadata::new()))))
    }

    /// The span of the send begins, and its context goes along with the message, unless the program has given it another one.
    fn begin_span(&mut self, metadata: &mut Metadata) {
        let Self {
            router,
            entry,
            span,
            ..
        } = self;
        let Some(entry) = entry else { return };
        let config = router.config();
        span.begin(|parent, topic| {
            config.tracing.send(parent, topic, || Outgoing {
                publishes: config.send_mode == SendMode::Publish && entry.target == Target::Mode,
                peer: entry.target.peer(),
                bytes: entry.payload.len(),
                id: entry.extras.as_ref().and_then(|extras| extras.id),
                given: metadata.trace(),
            })
        });
        if metadata.trace().is_none()
            && let Some(trace) = span.context()
        {
            metadata.set_trace(trace);
        }
    }
}
