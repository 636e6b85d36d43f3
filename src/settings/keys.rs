//! All keys, and what they set.

use serde::Deserialize;

use super::endpoints::{BindPlace, ConnectPlace, Place};
use super::error::OpenError;
#[cfg(feature = "outbox")]
use super::outbox::OutboxParts;
use super::policies::{
    AbsentPeerName, AcceptRateParts, AckPolicyName, BackoffParts, CapacityParts, CodecName,
    DeadLetterParts, DedupeParts, DuplicateIdentityName, GuaranteeName, IdentityParts, Name,
    OverflowName, SendModeName, Setting, UnheardName,
};
use super::units::{Size, Time};
use crate::address::Endpoint;
#[cfg(doc)]
use crate::limits::Overflow;
use crate::limits::{Limits, limits_table};
use crate::socket::{Socket, SocketBuilder};

/// How a row of the table of limits is written.
macro_rules! written {
    (value Duration) => {
        Time
    };
    (value Overflow) => {
        OverflowName
    };
    (value usize) => {
        usize
    };
    (bytes usize) => {
        Size
    };
    (capacity Capacity) => {
        CapacityParts
    };
    (optional Duration) => {
        Time
    };
    (optional u32) => {
        u32
    };
    (optional u64) => {
        Size
    };
}

macro_rules! define {
    ($($(#[$doc:meta])* $kind:ident $name:ident: $type:ident = $default:expr;)*) => {
        /// The settings of one socket, as they were read; those that nobody set have the defaults of
        /// [`SocketBuilder`].
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[cfg_attr(test, derive(schemars::JsonSchema), schemars(title = "Settings of a socket"))]
        pub struct Settings {
            /// The endpoints to listen at.
            #[serde(default)]
            bind: Vec<Place<BindPlace>>,
            /// The endpoints to connect to.
            #[serde(default)]
            connect: Vec<Place<ConnectPlace>>,
            /// The name of the socket in its program, in its log and metrics.
            #[cfg_attr(test, schemars(with = "Option<String>"))]
            name: Option<Name>,
            /// Who the socket is to its peers. Default: random.
            identity: Option<IdentityParts>,
            /// How messages are distributed. Default: round-robin.
            send_mode: Option<SendModeName>,
            /// What is promised for a message that does not say otherwise. Default: at most once.
            delivery_guarantee: Option<GuaranteeName>,
            /// How values of serde types travel. Default: JSON.
            codec: Option<CodecName>,
            /// The file in which messages at least once outlive the process. Default: none.
            #[cfg(feature = "outbox")]
            outbox: Option<Place<OutboxParts>>,
            /// Where processes of the same user can look into the socket: the path of a Unix socket. Default: nowhere.
            #[cfg(feature = "inspection")]
            inspection: Option<std::path::PathBuf>,
            /// Dead letters are kept, so that they can be listed and sent or delivered once more. Default: they are announced, and gone.
            dead_letter_queue: Option<DeadLetterParts>,
            /// The pauses before a connection is dialled again. Default: exponential with jitter, from 100 ms to 1 s.
            reconnect: Option<BackoffParts>,
            /// The longest time that making a TCP connection takes. Default: 1 s.
            connect_timeout: Option<Time>,
            /// The longest time that TLS, upgrade and HELLO take together. Default: 8 s.
            handshake_timeout: Option<Time>,
            /// The longest time that the authorizer takes. Default: 5 s.
            authorization_timeout: Option<Time>,
            /// What becomes of a second connection under one identity. Default: it is refused.
            duplicate_identity: Option<DuplicateIdentityName>,
            /// Deliveries to a handler that fails before a message becomes a dead letter. Default: 3.
            max_delivery_attempts: Option<u32>,
            /// When a message is acknowledged. Default: when it is handled.
            ack_policy: Option<AckPolicyName>,
            /// Repeated messages are known, and not delivered again. Default: all are delivered.
            dedupe: Option<DedupeParts>,
            /// The metadata of messages is read, and peers are told so. Default: false.
            read_metadata: Option<bool>,
            /// Spans are made of what is sent and handled; how those of received messages relate to their senders'. Default: no spans.
            #[cfg(feature = "otel")]
            traces: Option<super::policies::SpanRelationName>,
            /// What becomes of messages by identity to a peer that went away. Default: they wait for 30 s.
            absent_peer: Option<AbsentPeerName>,
            /// What becomes of what is published while nobody is connected. Default: it waits.
            unheard: Option<UnheardName>,
            /// Time that closing has to deliver accepted messages. Default: 10 s.
            close_deadline: Option<Time>,
            /// The longest frame. Default: 64 MiB.
            max_frame_bytes: Option<Size>,
            /// The most connections from one address within a time. Default: no limit.
            accept_rate: Option<AcceptRateParts>,
            /// Threads that accepted connections are spread over. Default: 1.
            arbiters: Option<usize>,
            $($(#[$doc])* $name: Option<written!($kind $type)>,)*
        }

        impl Settings {
            /// Sets the bounds, overflow policies and timers that were given, and leaves the others: for
            /// [`Socket::reconfigure`], when the settings were read again.
            pub fn change_limits(&self, limits: &mut Limits) {
                $(if let Some(setting) = &self.$name {
                    setting.change(&mut limits.$name);
                })*
            }
        }
    };
}

limits_table!(define);

impl Settings {
    /// A builder with these settings, to be started as it is or after what only code can set: authorizers, and
    /// the actors that hear of events. The endpoints are those of [`open`](Self::open).
    pub fn builder(&self) -> SocketBuilder {
        let mut builder = Socket::builder();
        self.change_limits(builder.limits_mut());
        macro_rules! set {
            ($($setting:ident: $value:ident => $given:expr;)*) => {
                $(if let Some($value) = &self.$setting {
                    builder = builder.$setting($given);
                })*
            };
        }
        set! {
            name: name => &name.0;
            identity: identity => identity.into();
            send_mode: mode => (*mode).into();
            delivery_guarantee: guarantee => (*guarantee).into();
            codec: codec => (*codec).into();
            dead_letter_queue: bounds => (*bounds).into();
            reconnect: backoff => (*backoff).into();
            connect_timeout: timeout => timeout.0;
            handshake_timeout: timeout => timeout.0;
            authorization_timeout: timeout => timeout.0;
            duplicate_identity: policy => (*policy).into();
            max_delivery_attempts: attempts => *attempts;
            ack_policy: policy => (*policy).into();
            dedupe: dedupe => (*dedupe).into();
            read_metadata: reads => *reads;
            absent_peer: policy => (*policy).into();
            unheard: policy => (*policy).into();
            close_deadline: deadline => deadline.0;
            max_frame_bytes: bytes => bytes.in_u32();
            arbiters: arbiters => *arbiters;
        }
        #[cfg(feature = "outbox")]
        if let Some(Place(outbox)) = &self.outbox {
            builder = builder.outbox_with(outbox.into());
        }
        #[cfg(feature = "inspection")]
        if let Some(path) = &self.inspection {
            builder = builder.inspection(path);
        }
        #[cfg(feature = "otel")]
        if let Some(relation) = &self.traces {
            builder = builder.traces((*relation).into());
        }
        if let Some(rate) = &self.accept_rate {
            builder = builder.accept_rate(rate.connections, rate.period.0);
        }
        builder
    }

    /// Binds `socket` at all endpoints of `bind`, in order, and then connects it to all of `connect`. It yields where it
    /// listens, with the ports that were chosen.
    ///
    /// # Errors
    ///
    /// At the first endpoint that cannot be used; the socket keeps those before it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the socket has begun with some of the endpoints.
    pub async fn open(&self, socket: &Socket) -> Result<Vec<Endpoint>, OpenError> {
        let mut listening = Vec::with_capacity(self.bind.len());
        for Place(place) in &self.bind {
            let endpoint = place.endpoint.clone();
            let bound = socket.bind_with(endpoint.clone(), place.options()).await;
            listening.push(bound.map_err(|source| OpenError::Bind { endpoint, source })?);
        }
        for Place(place) in &self.connect {
            let endpoint = place.endpoint.clone();
            let connected = socket.connect_with(endpoint.clone(), place.options()).await;
            connected.map_err(|source| OpenError::Connect { endpoint, source })?;
        }
        Ok(listening)
    }

    /// Reads the certificate files of all endpoints again, for the connections from now on.
    ///
    /// # Errors
    ///
    /// When one cannot be used; it keeps its certificates then, and so do those behind it.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn reload_tls(&self) -> Result<(), crate::tls::TlsConfigError> {
        for tls in self
            .bind
            .iter()
            .filter_map(|Place(place)| place.tls.as_ref())
        {
            tls.config.reload()?;
        }
        for tls in self
            .connect
            .iter()
            .filter_map(|Place(place)| place.tls.as_ref())
        {
            tls.config.reload()?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> String {
        let bind: Vec<_> = self
            .bind
            .iter()
            .map(|Place(place)| (&place.endpoint, place.options()))
            .collect();
        let connect: Vec<_> = self
            .connect
            .iter()
            .map(|Place(place)| (&place.endpoint, place.options()))
            .collect();
        format!("{bind:?} {connect:?}")
    }
}
