//! The first bytes of a connection: drives the engine's handshake over a byte stream.

use std::cell::Cell;
use std::sync::Arc;

use actix::Recipient;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::admission::{Admit, Admitter};
use super::authorization;
use super::connections::EntryRef;
use super::membership::{Membership, Peer};
use crate::address::{PeerAddress, RefusedBy, Role, TlsRefusal, TransportKind};
use crate::admission::HandshakePlace;
use crate::authorize::{Candidate, Credentials, ServiceRights, Verdict};
use crate::clock;
use crate::core::SocketCore;
use crate::engine::{Handshake, MAX_HELLO_ENVELOPE_BYTES, Step, gives_way};
use crate::event::RefusalReason;
use crate::id::Identity;
use crate::limits::DuplicateIdentity;
use crate::link::Link;
use crate::routing::JoinOutcome;
use crate::transport::{
    Accepted, ByteStream, ConnectionMeta, Dismissal, Established, TransportError,
};
use crate::wire::{self, ASKS_WHETHER_KNOWN, Extension, READS_FRAME, Walk, known_frame};

/// First bytes of a TLS port's answer to a HELLO in plain text.
const TLS_ALERT: &[u8] = &[0x15, 0x03];

/// Where a connection comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A listener accepted it; the transport's own handshakes are still to be done.
    Accepted(Accepted, HandshakePlace),
    /// A dialer made it, whose handshakes below ours have used some of the time until the deadline.
    /// The bind end is asked whether we are connected to it already, or is not.
    Dialled {
        established: Box<Established>,
        deadline: Instant,
        asks_whether_known: bool,
    },
}

impl Origin {
    pub(super) fn role(&self) -> Role {
        match self {
            Self::Accepted(..) => Role::BindEnd,
            Self::Dialled { .. } => Role::ConnectEnd,
        }
    }

    pub(super) fn address(&self) -> PeerAddress {
        match self {
            Self::Accepted(accepted, _) => accepted.remote().clone(),
            Self::Dialled { established, .. } => established.meta.remote.clone(),
        }
    }
}

/// A connection whose peer has been admitted.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(super) stream: ByteStream,
    pub(crate) membership: Membership,
    /// Bytes that came behind the HELLO.
    pub(super) behind_hello: BytesMut,
}

/// A connection that carried nothing.
#[derive(Debug)]
pub(crate) struct NotOpened {
    pub(super) peer: Option<Identity>,
    /// None where nobody refused anybody: the socket was closed meanwhile, or its router panicked
    /// over this very peer. Both are told as what they are.
    pub(crate) reason: Option<RefusalReason>,
    /// The peer, as the table has it, that is connected already.
    pub(crate) duplicate: Option<Identity>,
    /// The connection that it has is one that we dialled: it dials us in return, which is no trouble.
    pub(super) dials_in_return: bool,
    /// The peer said nothing at all, as health probes and port scanners do.
    pub(super) silent: bool,
    /// Where the peer can be told so, if it can.
    pub(super) stream: Option<ByteStream>,
}

impl NotOpened {
    /// The notice to a refused peer, if the transport has a word for the reason.
    pub(super) fn dismissal(reason: &RefusalReason) -> Option<Dismissal> {
        match reason {
            RefusalReason::Unauthorized(_)
            | RefusalReason::AuthorizationTimedOut
            | RefusalReason::AuthorizerFailed
            | RefusalReason::Duplicate
            | RefusalReason::Itself => Some(Dismissal::NotWanted),
            RefusalReason::Empty
            | RefusalReason::NotHello(_)
            | RefusalReason::Version(_)
            | RefusalReason::Short { .. } => Some(Dismissal::Violation),
            RefusalReason::Oversize(_) => Some(Dismissal::TooLarge),
            _ => None,
        }
    }

    fn because(reason: impl Into<RefusalReason>) -> Self {
        let reason = reason.into();
        Self {
            silent: reason.is_silence(),
            reason: Some(reason),
            ..Self::without_reason()
        }
    }

    /// The bind end, which is this socket, says that we are connected to it already.
    fn known_by(peer: Identity) -> Self {
        Self {
            peer: Some(peer),
            duplicate: Some(peer),
            ..Self::because(RefusalReason::Ended { received: 0 })
        }
    }

    fn without_reason() -> Self {
        Self {
            peer: None,
            reason: None,
            duplicate: None,
            dials_in_return: false,
            silent: false,
            stream: None,
        }
    }

    /// The handshake timeout passed.
    fn timed_out(heard: bool) -> Self {
        Self {
            silent: !heard,
            ..Self::because(RefusalReason::TimedOut)
        }
    }

    fn broke(step: &'static str, source: std::io::Error) -> Self {
        Self::because(TransportError::broken(step, source))
    }
}

/// Brings a connection from its first byte to its admission, all within the handshake timeout
/// (WIRE §4.6).
pub(super) async fn open(
    entry: EntryRef,
    router: Recipient<Admit>,
    origin: Origin,
) -> Result<Opened, NotOpened> {
    let core = entry.core();
    let deadline = match origin {
        Origin::Accepted(..) => Instant::from_std(clock::after(core.config.handshake_timeout)),
        Origin::Dialled { deadline, .. } => deadline,
    };
    let heard = Cell::new(false);
    let attempt = async {
        let handshake = Handshake::new(origin.role(), core.config.identity);
        let (accepted, mut place) = match origin {
            Origin::Accepted(accepted, place) => (accepted, place),
            Origin::Dialled {
                established,
                asks_whether_known,
                ..
            } => {
                let handshake = handshake.asking_whether_known(asks_whether_known);
                return introduce(&entry, &router, handshake, *established).await;
            }
        };
        let introduced = async {
            let established = accepted.establish_noting(&heard).await;
            let established = established.map_err(NotOpened::because)?;
            introduce(&entry, &router, handshake, established).await
        };
        tokio::select! {
            introduced = introduced => introduced,
            () = place.displaced() => Err(NotOpened::because(RefusalReason::Displaced)),
        }
    };
    match timeout_at(deadline, attempt).await {
        Ok(result) => result,
        Err(_) => Err(NotOpened::timed_out(heard.get())),
    }
}

/// Exchanges HELLOs on a byte stream that stands, and has the peer admitted.
pub(crate) async fn introduce(
    entry: &EntryRef,
    admitter: &impl Admitter,
    mut handshake: Handshake,
    established: Established,
) -> Result<Opened, NotOpened> {
    let core = entry.core();
    let Established {
        mut stream,
        already_read,
        meta,
    } = established;
    let role = handshake.role();
    let mut buffer = BytesMut::from(&already_read[..]);
    // Ends with the verdict.
    let _unanswered = (role == Role::ConnectEnd).then(|| core.admission.begin_dial());
    if let Some(hello) = handshake.start() {
        let io = |error| NotOpened::broke("sending HELLO", error);
        let question: &[u8] = match handshake.asks_whether_known() {
            true => &ASKS_WHETHER_KNOWN,
            false => &[],
        };
        let hello = with_reads(&[&hello, question].concat(), core.config.read_metadata);
        stream.write_all(&hello).await.map_err(io)?;
        stream.flush().await.map_err(io)?;
    }
    let hello = read_hello(&mut handshake, &mut stream, &mut buffer).await;
    let (identity, mut consumed) = match hello {
        Ok(hello) => hello,
        Err(mut refusal) => {
            refusal.stream = Some(stream);
            match refusal.duplicate {
                Some(known) if core.router.is_connected(known) => {
                    refusal.reason = Some(RefusalReason::Duplicate);
                }
                // It has not noticed yet that our connection has ended.
                _ => refusal.duplicate = None,
            }
            return Err(refusal);
        }
    };
    let asks_whether_known =
        role == Role::BindEnd && buffer[consumed..].starts_with(&ASKS_WHETHER_KNOWN);
    if asks_whether_known {
        consumed += ASKS_WHETHER_KNOWN.len();
    }
    let peer = Peer {
        identity,
        address: meta.remote.clone(),
        transport: meta.transport,
        role,
        since: entry.serial(),
        reads_metadata: begins_with_reads(&buffer[consumed..]),
    };
    match admit(entry, admitter, &mut handshake, peer, meta).await {
        Ok(membership) => Ok(Opened {
            stream,
            membership,
            behind_hello: behind(&buffer, consumed),
        }),
        Err(mut refusal) => {
            refusal.peer = Some(identity);
            let is_connected = |peer| core.router.is_connected(peer);
            if asks_whether_known && refusal.duplicate.is_some_and(is_connected) {
                let known = known_frame(core.config.identity);
                // Whoever is gone need not know.
                let _ = stream.write_all(&known).await;
                let _ = stream.flush().await;
            }
            refusal.stream = Some(stream);
            Err(refusal)
        }
    }
}

/// What was read behind the HELLO. Mostly it is nothing, for which an idle connection is to keep no buffer.
fn behind(buffer: &BytesMut, consumed: usize) -> BytesMut {
    BytesMut::from(&buffer[consumed..])
}

/// Our first bytes. That we read metadata is said at once, so that the peer knows before it sends anything.
fn with_reads(hello: &[u8], reads: bool) -> Vec<u8> {
    match reads {
        false => hello.to_vec(),
        true => [hello, &READS_FRAME].concat(),
    }
}

/// True if what came behind a peer's HELLO begins with its word that it reads metadata. Wherever else that stands, the
/// reader finds it.
fn begins_with_reads(behind_hello: &[u8]) -> bool {
    match wire::walk(behind_hello, MAX_HELLO_ENVELOPE_BYTES) {
        Ok(Walk::Frame(frame)) => {
            Extension::decode(frame.envelope) == Ok(Extension::Reads { metadata: true })
        }
        Ok(Walk::Partial(_)) | Err(_) => false,
    }
}

async fn read_hello(
    handshake: &mut Handshake,
    stream: &mut ByteStream,
    buffer: &mut BytesMut,
) -> Result<(Identity, usize), NotOpened> {
    loop {
        let step = handshake.handle_bytes(buffer);
        let step = step.map_err(|reason| NotOpened::because(recognised(buffer, reason)))?;
        match step {
            Step::PeerHello { identity, consumed } => return Ok((identity, consumed)),
            Step::Known(peer) => return Err(NotOpened::known_by(peer)),
            Step::NeedMore => {}
        }
        buffer.reserve(256);
        let read = stream
            .read_buf(buffer)
            .await
            .map_err(|error| NotOpened::broke("waiting for HELLO", error))?;
        if read == 0 {
            return Err(NotOpened::because(match stream.was_refused() {
                true => RefusalReason::NotWanted,
                false => RefusalReason::Ended {
                    received: buffer.len(),
                },
            }));
        }
    }
}

/// What the first bytes of a peer are that are no HELLO, as far as they tell.
fn recognised(read: &[u8], reason: RefusalReason) -> RefusalReason {
    match (read.first(), &reason) {
        _ if read.starts_with(TLS_ALERT) => RefusalReason::Tls {
            by: RefusedBy::Peer,
            refusal: TlsRefusal::PlainText,
            detail: String::new(),
        },
        // No HELLO is so long, and the texts of other protocols begin with letters.
        (Some(&first_byte), RefusalReason::Oversize(_)) if first_byte != 0 => {
            RefusalReason::UnknownProtocol { first_byte }
        }
        _ => reason,
    }
}

/// Has the authorizer, if there is one, and then the router judge a peer that has said who it is.
/// Nothing is read from it meanwhile.
async fn admit(
    entry: &EntryRef,
    admitter: &impl Admitter,
    handshake: &mut Handshake,
    mut peer: Peer,
    meta: ConnectionMeta,
) -> Result<Membership, NotOpened> {
    let core = entry.core();
    let said = peer.identity;
    let mut principal = None;
    // A browser that nobody has judged is not to answer for us.
    let is_browser = matches!(
        peer.transport,
        TransportKind::WebSocket | TransportKind::Wss
    );
    let mut rights = (is_browser && peer.role == Role::BindEnd).then(ServiceRights::ask_alone);
    if let Some(authorizer) = &core.config.authorizer {
        let candidate = Candidate {
            identity: peer.identity,
            address: peer.address.clone(),
            local: meta.local,
            transport: peer.transport,
            role: peer.role,
            certificates: meta.certificates.clone(),
            request: meta.request,
        };
        let deadline = core.config.authorization_timeout;
        let admission = authorization::decide(authorizer, candidate, deadline)
            .await
            .map_err(NotOpened::because)?;
        if let Verdict::AdmitAs(identity) = admission.verdict {
            peer.identity = identity;
        }
        principal = admission.principal;
        rights = Some(admission.rights);
    }
    let credentials = Credentials::new(meta.certificates, principal, rights);
    if peer.role == Role::BindEnd && gives_way(core.config.identity, said) {
        core.admission.dials_answered().await;
    }
    ask(entry, admitter, handshake, peer, credentials).await
}

/// Asks the router whether the peer is admitted. Our bind end's HELLO becomes the first bytes of
/// the link, so that nothing can go out before it.
async fn ask(
    entry: &EntryRef,
    admitter: &impl Admitter,
    handshake: &mut Handshake,
    peer: Peer,
    credentials: Option<Box<Credentials>>,
) -> Result<Membership, NotOpened> {
    let core = entry.core();
    let preamble = handshake.admit().map_or_else(Vec::new, |hello| {
        with_reads(&hello, core.config.read_metadata)
    });
    let (identity, role) = (peer.identity, peer.role);
    let serial = match role {
        Role::ConnectEnd => peer.since,
        // It sends nothing but its HELLO until it is admitted.
        Role::BindEnd => core.lifecycle.next_serial(),
    };
    let link = Link::new(
        peer.identity,
        serial,
        Arc::downgrade(&core.router),
        core.router.link_limits(),
        preamble,
    );
    let link = link
        .with_credentials(credentials)
        .with_role(role)
        .with_network(peer.address.network())
        .with_metadata_reader(peer.reads_metadata);
    let link = Arc::new(link);
    link.note_frame(clock::uptime(clock::now()));
    let membership = Membership::new(entry.clone(), Arc::clone(&link), peer.transport);
    let mut verdict = admitter.admit(Arc::clone(&link), peer.clone()).await;
    if let Ok(JoinOutcome::Duplicate(Some(kept))) = &verdict
        && may_replace(core, role)
        && has_ended(core, kept).await
    {
        verdict = admitter.admit(link, peer).await;
    }
    match verdict {
        Ok(JoinOutcome::Accepted) => Ok(membership),
        Ok(JoinOutcome::Duplicate(kept)) => Err(NotOpened {
            duplicate: Some(identity),
            dials_in_return: kept.is_some_and(|kept| kept.is_dialled()),
            ..NotOpened::because(RefusalReason::Duplicate)
        }),
        Ok(JoinOutcome::Itself) => Err(NotOpened::because(RefusalReason::Itself)),
        Ok(JoinOutcome::Closed) | Err(_) => Err(NotOpened::without_reason()),
    }
}

/// Only a connection that the peer made may take the place of another: if both ends dialled, each
/// would put an end to what the other keeps.
fn may_replace(core: &SocketCore, role: Role) -> bool {
    core.config.duplicate_identity == DuplicateIdentity::Probe && role == Role::BindEnd
}

/// Waits until a peer that is connected by `kept` has shown that it lives, or has lost that
/// connection. What the link held is where it belongs by then.
async fn has_ended(core: &SocketCore, kept: &Link) -> bool {
    let mut state = core.lifecycle.state();
    let mut alive = std::pin::pin!(kept.probe());
    while core.router.is_member(kept) {
        tokio::select! {
            () = &mut alive => return false,
            changed = state.changed() => if changed.is_err() {
                return false;
            },
        }
    }
    true
}
