//! Limits on the connections that a socket lets in: in all, in their handshake, and from one network.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout_at;

use crate::address::PeerAddress;
use crate::clock;
use crate::engine::{RateLimit, UnansweredDials};
use crate::limits::{CurrentLimits, DescriptorAccount, PROCESS};
use crate::sync::{AtomicUsize, Mutex, Ordering};

/// Connections of the socket with itself that are remembered for the ends that dialled them.
const REMEMBERED_MEETINGS: usize = 64;

/// The admission control of one socket.
#[derive(Debug)]
pub(crate) struct AdmissionControl {
    limits: Arc<CurrentLimits>,
    /// Connections now, those in their handshake included.
    connections: AtomicUsize,
    /// Those of all sockets that share the descriptors.
    descriptors: &'static DescriptorAccount,
    /// Connections that were closed before they carried anything.
    refused: AtomicU64,
    /// Those of them that the other side closed before it had said anything.
    probes: AtomicU64,
    /// The handshakes of accepted connections, the oldest first. Strangers who say nothing do not
    /// fill the socket with them.
    handshakes: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
    next_handshake: AtomicU64,
    /// The other ends of the last connections in which the socket met itself.
    met_itself: Mutex<VecDeque<PeerAddress>>,
    unanswered: Mutex<UnansweredDials>,
    /// The last dial was answered, or never will be.
    all_answered: Notify,
    /// Limit on the connection attempts of one network, if there is one.
    accept_rate: Option<Mutex<RateLimit>>,
}

/// A dial whose HELLO has not been answered, until this is dropped.
#[derive(Debug)]
pub(crate) struct UnansweredDial<'a> {
    admission: &'a AdmissionControl,
    number: u64,
}

/// The place of one handshake, which is given up when this is dropped.
#[derive(Debug)]
pub(crate) struct HandshakePlace {
    admission: Arc<AdmissionControl>,
    number: u64,
    displaced: oneshot::Receiver<()>,
}

impl AdmissionControl {
    pub(crate) fn new(limits: Arc<CurrentLimits>, accept_rate: Option<(u32, Duration)>) -> Self {
        Self::within(&PROCESS, limits, accept_rate)
    }

    fn within(
        descriptors: &'static DescriptorAccount,
        limits: Arc<CurrentLimits>,
        accept_rate: Option<(u32, Duration)>,
    ) -> Self {
        let initial = limits.current();
        if initial.shares_connections() {
            descriptors.set_share(initial.max_connections);
        }
        let accept_rate = accept_rate
            .map(|(connections, period)| Mutex::new(RateLimit::new(connections, period)));
        Self {
            limits,
            connections: AtomicUsize::new(0),
            descriptors,
            refused: AtomicU64::new(0),
            probes: AtomicU64::new(0),
            handshakes: Mutex::new(BTreeMap::new()),
            next_handshake: AtomicU64::new(0),
            met_itself: Mutex::default(),
            unanswered: Mutex::default(),
            all_answered: Notify::new(),
            accept_rate,
        }
    }

    /// Counts one more connection with this address, which [leaves](Self::leave) in any case. False if it is above the
    /// limit.
    pub(crate) fn enter(&self, address: &PeerAddress) -> bool {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let limits = self.limits.current();
        let is_within_share = !has_descriptor(address) || self.descriptors.enter();
        before < limits.max_connections && (is_within_share || !limits.shares_connections())
    }

    /// A connection that was counted has ended.
    pub(crate) fn leave(&self, address: &PeerAddress) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        if has_descriptor(address) {
            self.descriptors.leave();
        }
    }

    /// Connections now, those in their handshake included.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// True if a network connects more often than it may.
    pub(crate) fn is_too_fast(&self, now: Instant, network: u64) -> bool {
        let rate = self.accept_rate.as_ref();
        rate.is_some_and(|rate| !rate.lock().handle_accept(now, network))
    }

    /// Counts a connection that is closed before it carries anything.
    pub(crate) fn note_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that were closed before they carried anything.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// A connection from this address was one of the socket with itself. Only the bind end can tell.
    #[cold]
    pub(crate) fn note_itself(&self, address: &PeerAddress) {
        let mut met = self.met_itself.lock();
        met.truncate(REMEMBERED_MEETINGS - 1);
        // The end that dialled knows its own address, and not the process.
        met.push_front(address.without_process());
    }

    /// True if the bind end of the connection that was dialled from this address was the socket itself. That is known
    /// once: the address may be that of another connection next.
    pub(crate) fn has_met_itself(&self, address: &PeerAddress) -> bool {
        let mut met = self.met_itself.lock();
        let at = met.iter().position(|other| other == address);
        at.and_then(|at| met.remove(at)).is_some()
    }

    /// Counts a connection whose other side said nothing until it ended.
    pub(crate) fn note_probe(&self) {
        self.probes.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections whose other side said nothing until they ended.
    pub(crate) fn probes(&self) -> u64 {
        self.probes.load(Ordering::Relaxed)
    }

    /// A HELLO is about to be sent on a connection that was dialled.
    pub(crate) fn begin_dial(&self) -> UnansweredDial<'_> {
        let number = self.unanswered.lock().begin(clock::now());
        UnansweredDial {
            admission: self,
            number,
        }
    }

    /// Waits until all dials are answered, so that a verdict on a peer that has dialled this socket knows whether it was dialled in
    /// return; or for as long as that is waited for.
    pub(crate) async fn dials_answered(&self) {
        let heard = clock::now();
        loop {
            let answered = self.all_answered.notified();
            let until = self.unanswered.lock().put_off(heard, clock::now());
            let Some(until) = until else { return };
            // Whichever it is, there is another look.
            let _ = timeout_at(until.into(), answered).await;
        }
    }

    /// A place for one more handshake. There always is one: at the limit the oldest has to go, and
    /// the second part says so.
    pub(crate) fn begin_handshake(self: &Arc<Self>) -> (HandshakePlace, bool) {
        let (displace, displaced) = oneshot::channel();
        let number = self.next_handshake.fetch_add(1, Ordering::Relaxed);
        let mut handshakes = self.handshakes.lock();
        let oldest = (handshakes.len() >= self.limits.current().max_handshakes)
            .then(|| handshakes.pop_first())
            .flatten();
        handshakes.insert(number, displace);
        drop(handshakes);
        let full = oldest.is_some();
        if let Some((_, displace)) = oldest {
            // It may have finished in this moment.
            let _ = displace.send(());
        }
        let place = HandshakePlace {
            admission: Arc::clone(self),
            number,
            displaced,
        };
        (place, full)
    }
}

impl Drop for UnansweredDial<'_> {
    fn drop(&mut self) {
        let is_last = self.admission.unanswered.lock().end(self.number);
        if is_last {
            self.admission.all_answered.notify_waiters();
        }
    }
}

fn has_descriptor(address: &PeerAddress) -> bool {
    !matches!(address, PeerAddress::Memory(_))
}

impl HandshakePlace {
    /// Resolves when a newer handshake needs the place.
    pub(crate) async fn displaced(&mut self) {
        // An error cannot be: whoever takes the sender away uses it.
        let _ = (&mut self.displaced).await;
    }
}

impl Drop for HandshakePlace {
    fn drop(&mut self) {
        self.admission.handshakes.lock().remove(&self.number);
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn sockets_whose_limit_is_the_default_share_the_connections_of_the_process() {
        static ACCOUNT: DescriptorAccount = DescriptorAccount::new();
        let of =
            |limits| AdmissionControl::within(&ACCOUNT, Arc::new(CurrentLimits::new(limits)), None);
        let (former, shared) = (Limits::shared(4), Limits::shared(3));
        let mut own = former;
        own.max_connections = 2;
        let (one, other, alone) = (of(former), of(shared), of(own));
        let address = PeerAddress::Socket(([127, 0, 0, 1], 9).into());
        assert!(one.enter(&address) && one.enter(&address) && other.enter(&address));
        for full in [&one, &other] {
            assert!(!full.enter(&address));
            full.leave(&address);
        }
        // What needs no descriptor, and a limit that somebody has set, take nothing from the application by surprise.
        assert!(other.enter(&PeerAddress::Memory("a".into())));
        assert!(alone.enter(&address) && alone.enter(&address) && !alone.enter(&address));
        for _ in 0..3 {
            alone.leave(&address);
        }
        one.leave(&address);
        assert!(other.enter(&address) && !one.enter(&address));
    }

    #[test]
    fn a_meeting_with_itself_is_known_once_and_without_the_process() {
        let limits = Arc::new(CurrentLimits::new(Limits::default()));
        let admission = AdmissionControl::new(limits, None);
        let path = PeerAddress::of_path("/run/workers");
        let dialler = PeerAddress::Unix {
            path: "/run/workers".into(),
            user: Some(0),
            process: Some(17),
        };
        admission.note_itself(&dialler);
        assert!(!admission.has_met_itself(&PeerAddress::of_path("/run/others")));
        assert!(admission.has_met_itself(&path));
        assert!(!admission.has_met_itself(&path));
    }
}
