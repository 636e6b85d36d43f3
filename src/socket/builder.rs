//! The settings of a socket, and its start.

use std::sync::Arc;
use std::time::Duration;

use actix::{Arbiter, Recipient};

use super::handle::Socket;
use super::local_tasks;
use super::registry;
use crate::actor::{Watch, start_socket};
use crate::authorize::{Authorize, Authorizer, Inquirer, Introspection};
use crate::clock;
use crate::config::Config;
use crate::connection::connections::Connections;
use crate::core::{SocketCore, warn_of_timers};
use crate::engine::Backoff;
use crate::error::{OutboxError, StartError};
use crate::event::{DeadLetter, PeerEvent, SocketEvent};
use crate::id::Identity;
use crate::limits::{
    AbsentPeer, AckPolicy, Capacity, Dedupe, DeliveryGuarantee, DuplicateIdentity, Overflow,
    SendMode, Unheard, limits_table,
};
use crate::outbox::{DeadLetterBounds, Letters, Outbox};
use crate::payload::Codec;

/// Sets up a [`Socket`]. Every setting has a default; [`start`](Self::start) checks them together.
/// Bounds, overflow policies and timers can be changed later, by [`Socket::reconfigure`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct SocketBuilder {
    config: Config,
    watches: Vec<Watch>,
    arbiters: usize,
    /// The identity that was set, if any.
    identity: Option<Identity>,
    outbox: Option<Outbox>,
    #[cfg(feature = "inspection")]
    inspection: Option<std::path::PathBuf>,
    letters: Option<DeadLetterBounds>,
    #[cfg(feature = "otel")]
    traces: Option<crate::trace::SpanRelation>,
}

impl SocketBuilder {
    pub(crate) fn new() -> Self {
        Self {
            config: Config::new(),
            watches: Vec::new(),
            arbiters: 1,
            identity: None,
            outbox: None,
            #[cfg(feature = "inspection")]
            inspection: None,
            letters: None,
            #[cfg(feature = "otel")]
            traces: None,
        }
    }

    /// Sets how [`send`](Socket::send) distributes messages (WIRE §7.1). Default: round-robin.
    pub fn send_mode(mut self, mode: SendMode) -> Self {
        self.config.send_mode = mode;
        self
    }

    /// Sets the guarantee of every send that does not say otherwise (WIRE §6). Default: at most once.
    pub fn delivery_guarantee(mut self, guarantee: DeliveryGuarantee) -> Self {
        self.config.guarantee = guarantee;
        self
    }

    /// Sets the codec of serde types; a subscription may have one of its
    /// own. Default: JSON.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.config.codec = codec;
        self
    }

    /// The name of the socket, which peers see and reply to (WIRE §3.3). Default: random. One that stands for an empty name is
    /// refused at the start.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Keeps what is sent at least once in a file at `path`, from where the next start sends what was not acknowledged.
    /// Short for [`outbox_with`](Self::outbox_with)`(`[`Outbox::new`]`(path))`. Default: what waits is lost with the process.
    #[cfg(feature = "outbox")]
    #[cfg_attr(docsrs, doc(cfg(feature = "outbox")))]
    pub fn outbox(self, path: impl Into<std::path::PathBuf>) -> Self {
        self.outbox_with(Outbox::new(path))
    }

    /// Keeps what is sent at least once beyond the life of the process: see [`outbox`](mod@crate::outbox). The identity of the
    /// socket is kept with it.
    ///
    /// [`start`](Self::start) opens it, and blocks for as long as that takes. A socket that publishes is refused, because nobody
    /// acknowledges what is published.
    pub fn outbox_with(mut self, outbox: Outbox) -> Self {
        self.outbox = Some(outbox);
        self
    }

    /// Lets processes of the same user look into the socket, at a Unix socket that stands at `path` while the socket is open:
    /// see [`inspection`](mod@crate::inspection). Default: nobody can.
    ///
    /// The directory is made if it is not there. [`start`](Self::start) fails if others can enter it, or if somebody listens
    /// at the path.
    #[cfg(feature = "inspection")]
    #[cfg_attr(docsrs, doc(cfg(feature = "inspection")))]
    pub fn inspection(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.inspection = Some(path.into());
        self
    }

    /// Keeps dead letters within these bounds, so that they can be listed, exported, sent or delivered once more, and thrown away:
    /// [`Socket::dead_letter_queue`]. They are kept in the store of the [outbox](Self::outbox_with), if the socket has one, and in memory
    /// otherwise. Default: they are announced, and gone.
    ///
    /// All of them are kept, whether the socket was to send the message or has received it. Without an outbox a thread has them.
    pub fn dead_letter_queue(mut self, bounds: DeadLetterBounds) -> Self {
        self.letters = Some(bounds);
        self
    }

    /// Sets the wait before a connection that ended, or could not be made, is dialled again.
    /// Default: exponential with full jitter, from 0.1 s to 1 s. A closure goes through
    /// [`Backoff::from_fn`], and pauses for 10 ms at least. A `fixed`, `initial` or `cap` of zero is refused at the start.
    ///
    /// A dialer that finds its peer connected, because that has dialled us meanwhile, waits until
    /// that connection ends. A bind end that refuses us for it says no HELLO and so not who it is:
    /// a dialer that has never been let in by it goes on at this pace.
    pub fn reconnect(mut self, backoff: Backoff) -> Self {
        self.config.reconnect = backoff;
        self
    }

    /// Limits the time that making a TCP connection may take. Default: 1 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self
    }

    /// Limits the time that TLS, upgrade and HELLO may take together (WIRE §4.6). Default: 8 s.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.config.handshake_timeout = timeout;
        self
    }

    /// Asks `authorizer` about each peer before it counts as connected: an async closure from
    /// [`Candidate`](crate::authorize::Candidate) to [`Admission`](crate::authorize::Admission), or the recipient of an
    /// actor that handles candidates. It is asked about peers that dialled us and about those that
    /// we dialled.
    ///
    /// While it decides, nothing is read from the peer and nothing is sent to it, and its
    /// connection counts towards [`max_connections`](Self::max_connections). An authorizer that
    /// panics or is gone refuses. Default: everybody is admitted, as the peers in the wild have it
    /// (WIRE §8.5).
    pub fn authorize<By>(mut self, authorizer: impl Authorize<By>) -> Self {
        self.config.authorizer = Some(Authorizer::new(authorizer));
        self
    }

    /// Answers asks about the socket itself, of the peers that `may` says. Default: there are none, and such asks go to
    /// handlers as any other.
    ///
    /// They are plain asks with the topics `$aiomsg/ping`, `$aiomsg/info` and `$aiomsg/stats`, and the answers are JSON. They
    /// are taken out before the inboxes, a hundred a second at most. Where an inbox is full its connections are not read, so that
    /// these asks wait, too, unless the socket offers a service. Other peers are told that it is not allowed. `may` is called on the connection's arbiter for each of them, and must not block.
    pub fn introspection(
        mut self,
        may: impl Fn(&Inquirer<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.config.introspection = Some(Introspection::new(may));
        self
    }

    /// Limits the time that the authorizer may take; after it the peer is refused. Default: 5 s,
    /// and no longer than what is left of the handshake timeout.
    pub fn authorization_timeout(mut self, timeout: Duration) -> Self {
        self.config.authorization_timeout = timeout;
        self
    }

    /// Sets the policy for a connection whose peer has the identity of one that is connected already.
    /// Default: it is refused.
    pub fn duplicate_identity(mut self, policy: DuplicateIdentity) -> Self {
        self.config.duplicate_identity = policy;
        self
    }

    /// Deliveries of a message that wants an acknowledgement to a handler that fails,
    /// before it becomes a dead letter. Default: 3.
    pub fn max_delivery_attempts(mut self, attempts: u32) -> Self {
        self.config.max_attempts = attempts.max(1);
        self
    }

    /// When a message that wants an acknowledgement gets it. Default: when it is handled.
    pub fn ack_policy(mut self, policy: AckPolicy) -> Self {
        self.config.ack_policy = policy;
        self
    }

    /// Does not deliver again what a peer sends again because it has not seen the acknowledgement:
    /// such a message is acknowledged once more, or absorbed while the first copy is being handled.
    /// Default: everything that comes is delivered.
    ///
    /// A repetition is known by the peer's identity and the message's id. Peers whose
    /// implementation gives a message a new id when it resends it cannot be helped by this.
    ///
    /// With an [outbox](Self::outbox_with), also one that has nothing to send, the window is kept there, and a restart of
    /// this socket changes nothing either: a message is acknowledged once it is committed that it was handled.
    pub fn dedupe(mut self, dedupe: Dedupe) -> Self {
        self.config.dedupe = Some(dedupe);
        self
    }

    /// Reads the metadata of messages: headers, content type and trace ([`Received::metadata`](crate::Received::metadata)).
    /// Peers are told so, and only then do they send any. Default: false.
    ///
    /// Peers of other implementations take no notice. From them, too, a payload that begins with the bytes `a1 45 4e 56` is read as
    /// an envelope of metadata: docs/ENVELOPE.md has its bytes.
    pub fn read_metadata(mut self, reads: bool) -> Self {
        self.config.read_metadata = reads;
        self
    }

    /// Makes spans of what the socket sends, receives, asks and answers, by the global provider of OpenTelemetry that the program has
    /// set before; see [`trace`](mod@crate::trace). The relation is that of a received message to the span that sent it. Default: no spans.
    ///
    /// Contexts travel as metadata, so that this [reads metadata](Self::read_metadata), too.
    #[cfg(feature = "otel")]
    #[cfg_attr(docsrs, doc(cfg(feature = "otel")))]
    pub fn traces(mut self, relation: crate::trace::SpanRelation) -> Self {
        self.traces = Some(relation);
        self.config.read_metadata = true;
        self
    }

    /// Sets the policy for messages by identity to a peer that went away. Default: they wait for 30 s.
    ///
    /// A peer that was never seen is unknown while others are connected; while nobody is, messages
    /// for it wait in the outbox, and once somebody is for no longer than the time set here, or 30 s.
    pub fn absent_peer(mut self, policy: AbsentPeer) -> Self {
        match policy {
            AbsentPeer::HoldFor(grace) => {
                self.config.hold_for_absent = true;
                self.config.absence_grace = grace.min(clock::LONGEST);
            }
            AbsentPeer::DeadLetter => self.config.hold_for_absent = false,
        }
        self
    }

    /// The policy for messages that are published while nobody is connected. Default: they wait in the
    /// outbox.
    pub fn unheard(mut self, policy: Unheard) -> Self {
        self.config.unheard = policy;
        self
    }

    /// Short for [`absent_peer`](Self::absent_peer)`(`[`AbsentPeer::HoldFor`]`(grace))`.
    pub fn absence_grace(self, grace: Duration) -> Self {
        self.absent_peer(AbsentPeer::HoldFor(grace))
    }

    /// Short for [`publish_overflow`](Self::publish_overflow)`(`[`Overflow::WaitFor`]`(patience))`.
    pub fn publish_patience(self, patience: Duration) -> Self {
        self.publish_overflow(Overflow::WaitFor(patience))
    }

    /// Time that [`close`](Socket::close) has to deliver accepted messages. Default: 10 s.
    pub fn close_deadline(mut self, deadline: Duration) -> Self {
        self.config.close_deadline = deadline;
        self
    }

    /// Limits what a length prefix may announce: bytes of one frame, its type byte included (WIRE §2.3).
    /// Default: 64 MiB. A connection that exceeds it is closed; nothing is allocated for what was
    /// only announced.
    pub fn max_frame_bytes(mut self, bytes: u32) -> Self {
        self.config.max_frame_bytes = bytes;
        self
    }

    /// Greatest number of connections from one IP address, or from one IPv6 network of 64 bits, within `period`.
    /// Connections above it are accepted, counted and closed at once. The connections may come all at
    /// once, and then one for each share of the period. 65,536 addresses are told apart at a time.
    /// Default: no limit.
    pub fn accept_rate(mut self, connections: u32, period: Duration) -> Self {
        self.config.accept_rate = Some((connections, period.min(clock::LONGEST)));
        self
    }

    /// Tells an actor of peers that come and go, from the very first.
    pub fn on_peer_event(mut self, recipient: Recipient<PeerEvent>) -> Self {
        self.watches.push(Watch::Peers(recipient));
        self
    }

    /// Tells an actor what the socket does, from the very first listener and dialer.
    pub fn on_socket_event(mut self, recipient: Recipient<SocketEvent>) -> Self {
        self.watches.push(Watch::Socket(recipient));
        self
    }

    /// Gives an actor every accepted message that will not arrive.
    pub fn on_dead_letter(mut self, recipient: Recipient<DeadLetter>) -> Self {
        self.watches.push(Watch::DeadLetters(recipient));
        self
    }

    /// Makes the socket known by a name in its system: [`Socket::named`] finds it. It then stays
    /// open until it is closed or the system stops. Default: no name. An empty one is refused at the start.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = Some(name.into());
        self
    }

    /// Spreads the connections that it accepts over so many arbiters: the one that the socket is
    /// started in, and others that are started for it. Those that it makes itself, with
    /// [`connect`](Socket::connect), all stay in the arbiter that it is started in. Default: 1.
    pub fn arbiters(mut self, arbiters: usize) -> Self {
        self.arbiters = arbiters.max(1);
        self
    }

    /// The bounds, policies and timers that are set so far.
    #[cfg(feature = "config")]
    pub(crate) fn limits_mut(&mut self) -> &mut crate::limits::Limits {
        &mut self.config.limits
    }

    /// Starts the socket's actors on this thread's arbiter.
    ///
    /// # Errors
    ///
    /// [`StartError::NoSystem`] outside of an actix system and of a `LocalSet`;
    /// [`StartError::Configuration`] when settings contradict each other or one cannot be meant; [`StartError::Outbox`] when the outbox cannot be
    /// opened; `StartError::Inspection` when the inspection endpoint cannot be opened.
    pub fn start(mut self) -> Result<Socket, StartError> {
        if let Some(identity) = self.identity {
            self.config.identity = identity;
        }
        self.config.check()?;
        warn_of_timers(&self.config.limits);
        check_outbox(self.outbox.as_ref(), self.config.send_mode)?;
        if !local_tasks::run_here() {
            return Err(StartError::NoSystem);
        }
        if self.arbiters > 1 && !actix::System::is_registered() {
            return Err(StartError::Configuration(
                "several arbiters need an actix system".to_owned(),
            ));
        }
        let dedupes = self.config.dedupe.is_some();
        let outbox = self.outbox;
        let outbox = outbox.map(|outbox| outbox.open(self.identity, self.letters, dedupes));
        let outbox = outbox.transpose()?;
        let letters = match (&outbox, self.letters) {
            (Some(outbox), _) => Letters::stored(&outbox.journal),
            (None, Some(bounds)) => Some(letters_in_memory(bounds)?),
            (None, None) => None,
        };
        if let Some(outbox) = &outbox {
            self.config.identity = outbox.identity;
        }
        #[cfg(feature = "otel")]
        if let Some(relation) = self.traces {
            let Config { identity, name, .. } = &self.config;
            self.config.tracing =
                crate::trace::Tracing::start(relation, *identity, name.as_deref());
        }
        let core = SocketCore::with_outbox(self.config, clock::now(), outbox, letters);
        core.standing.note_thread();
        let connections = Connections::new(core);
        #[cfg(feature = "inspection")]
        let kept = match self.inspection {
            None => None,
            Some(path) => Some(crate::inspection::Endpoint::open(&path, &connections)?),
        };
        #[cfg(not(feature = "inspection"))]
        let kept = ();
        // Nothing fails from here on: an arbiter goes on when its handle is dropped.
        let arbiters: Vec<Arbiter> = (1..self.arbiters).map(|_| Arbiter::new()).collect();
        for arbiter in &arbiters {
            let core = Arc::clone(connections.core());
            arbiter.spawn_fn(move || core.standing.note_thread());
        }
        let actor = start_socket(&connections, arbiters, kept);
        for watch in self.watches {
            actor.do_send(watch);
        }
        let socket = Socket::new(connections, actor);
        registry::register(&socket)?;
        Ok(socket)
    }
}

impl Socket {
    /// Sets up a socket.
    pub fn builder() -> SocketBuilder {
        SocketBuilder::new()
    }

    /// Starts a socket with default settings.
    ///
    /// # Errors
    ///
    /// See [`SocketBuilder::start`].
    pub fn start() -> Result<Self, StartError> {
        Self::builder().start()
    }
}

/// One method for each row of the table of limits.
macro_rules! setters {
    ($($(#[$doc:meta])* $kind:ident $name:ident: $type:ty = $default:expr;)*) => {
        impl SocketBuilder {
            $(setter! { $kind $name $type, $(#[$doc])* })*
        }
    };
}

macro_rules! setter {
    (value $name:ident $type:ty, $(#[$doc:meta])*) => {
        $(#[$doc])*
        pub fn $name(mut self, value: $type) -> Self {
            self.config.limits.$name = value;
            self
        }
    };
    (bytes $name:ident $type:ty, $(#[$doc:meta])*) => {
        setter! { value $name $type, $(#[$doc])* }
    };
    (optional $name:ident $type:ty, $(#[$doc:meta])*) => {
        $(#[$doc])*
        pub fn $name(mut self, value: $type) -> Self {
            self.config.limits.$name = Some(value);
            self
        }
    };
    (capacity $name:ident $type:ty, $(#[$doc:meta])*) => {
        $(#[$doc])*
        pub fn $name(mut self, messages: usize, bytes: usize) -> Self {
            self.config.limits.$name = <$type>::new(messages, bytes);
            self
        }
    };
}

limits_table!(setters);

/// Objections to an outbox that need no look at its store.
fn check_outbox(outbox: Option<&Outbox>, mode: SendMode) -> Result<(), StartError> {
    let Some(outbox) = outbox else { return Ok(()) };
    let problem = match mode {
        SendMode::RoundRobin => outbox.problem(),
        SendMode::Publish => Some(
            "a socket that publishes cannot have an outbox that outlives the process: what is published is not \
             acknowledged, so that nobody could say for how long to keep it; send what is to be kept by a socket of its own",
        ),
    };
    match problem {
        None => Ok(()),
        Some(text) => Err(StartError::Configuration(text.to_owned())),
    }
}

fn letters_in_memory(bounds: DeadLetterBounds) -> Result<Letters, StartError> {
    Letters::in_memory(bounds).map_err(|error| {
        StartError::Outbox(OutboxError::Failed {
            store: "the dead-letter queue in memory".to_owned(),
            error,
        })
    })
}
