//! The peer of a link: its identity, its proofs, and the time it was last heard of.

use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use super::liveness_probe::LivenessProbe;
use crate::address::Role;
use crate::authorize::Credentials;
use crate::id::Identity;
use crate::sync::{AtomicBool, Ordering};

/// The socket at the other end of a link.
#[derive(Debug)]
pub(super) struct RemotePeer {
    identity: Identity,
    /// Tells this connection from an earlier one of the same peer.
    serial: u64,
    /// Our end of the connection.
    role: Role,
    /// Whom the log takes for one: the peers of a network, or the peer where there is no address.
    log_source: u64,
    credentials: Option<Box<Credentials>>,
    probe: LivenessProbe,
    /// Messages have come from it, on this connection or an earlier one.
    heard: AtomicBool,
    /// Another connection of it was turned away for this one.
    turned_away_another: AtomicBool,
    /// Another connection of it waits for the end of this one.
    newcomer: AtomicBool,
    /// Asks that it has yet to answer on this connection.
    open_asks: AtomicU32,
    /// The uptime of the process, in tenths of a second, at which a sweep last found a new frame.
    last_frame: AtomicU32,
    /// Its messages that our handlers were through with, on this connection.
    handled: AtomicU64,
    /// Reads that brought a frame of any kind. One task counts, and it may wrap.
    reads: AtomicU32,
}

const fn log_source_of(identity: Identity) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *identity.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

impl RemotePeer {
    pub(super) fn new(identity: Identity, serial: u64) -> Self {
        Self {
            identity,
            serial,
            role: Role::BindEnd,
            log_source: log_source_of(identity),
            credentials: None,
            probe: LivenessProbe::default(),
            heard: AtomicBool::new(false),
            turned_away_another: AtomicBool::new(false),
            newcomer: AtomicBool::new(false),
            open_asks: AtomicU32::new(0),
            last_frame: AtomicU32::new(0),
            handled: AtomicU64::new(0),
            reads: AtomicU32::new(0),
        }
    }

    #[inline]
    pub(super) const fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) const fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn set_role(&mut self, role: Role) {
        self.role = role;
    }

    pub(super) fn set_network(&mut self, network: u64) {
        self.log_source = network;
    }

    pub(super) const fn log_source(&self) -> u64 {
        self.log_source
    }

    pub(super) fn set_credentials(&mut self, credentials: Option<Box<Credentials>>) {
        self.credentials = credentials;
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_deref()
    }

    #[inline]
    pub(super) const fn probe(&self) -> &LivenessProbe {
        &self.probe
    }

    #[inline]
    pub(super) fn note_heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    pub(super) fn was_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    pub(super) fn is_dialled(&self) -> bool {
        self.role == Role::ConnectEnd
    }

    pub(super) fn note_turned_away_another(&self) {
        self.turned_away_another.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_turned_away_another(&self) -> bool {
        self.turned_away_another.load(Ordering::Relaxed)
    }

    pub(super) fn note_newcomer(&self) {
        self.newcomer.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_newcomer(&self) -> bool {
        self.newcomer.load(Ordering::Relaxed)
    }

    pub(super) fn note_asked(&self) {
        self.open_asks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_ask_ended(&self) {
        self.open_asks.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn owes_answer(&self) -> bool {
        self.open_asks.load(Ordering::Relaxed) > 0
    }

    pub(super) fn note_frame(&self, uptime: Duration) {
        let tenths = u32::try_from(uptime.as_millis() / 100).unwrap_or(u32::MAX);
        self.last_frame.store(tenths, Ordering::Relaxed);
    }

    pub(super) fn last_frame(&self) -> Duration {
        Duration::from_millis(100) * self.last_frame.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn note_read(&self) {
        let reads = self.reads.load(Ordering::Relaxed);
        self.reads.store(reads.wrapping_add(1), Ordering::Relaxed);
    }

    pub(super) fn reads(&self) -> u32 {
        self.reads.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn note_handled(&self, messages: usize) {
        self.handled.fetch_add(messages as u64, Ordering::Relaxed);
    }

    pub(super) fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    /// True if it may have sent messages by this connection before one that ended at `serial` was admitted,
    /// counted in connections.
    ///
    /// Whoever accepted a connection of ours may send as soon as it has our HELLO, before we admit it. By
    /// then it may have given the connection up and made one itself, which we have admitted and which
    /// has ended: what lies in the older one comes too late. It is read no more, as when a connection
    /// breaks.
    pub(super) fn may_be_overtaken(&self, serial: u64) -> bool {
        self.is_dialled() && self.serial < serial
    }
}
