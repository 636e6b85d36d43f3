//! The settings of a socket, checked once; a configuration that exists is valid.

use std::time::Duration;

use crate::authorize::{Authorizer, Introspection};
use crate::engine::Backoff;
use crate::error::StartError;
use crate::id::Identity;
use crate::limits::{
    AckPolicy, Dedupe, DeliveryGuarantee, DuplicateIdentity, Limits, SendMode, Unheard,
};
use crate::payload::Codec;
use crate::trace::Tracing;

const MIB: usize = 1024 * 1024;

/// All settings of one socket. All but the initial [`Limits`] hold for its life.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) name: Option<String>,
    pub(crate) identity: Identity,
    pub(crate) send_mode: SendMode,
    pub(crate) guarantee: DeliveryGuarantee,
    pub(crate) codec: Codec,
    pub(crate) reconnect: Backoff,
    /// Limits at the start. The core knows those that hold later.
    pub(crate) limits: Limits,
    pub(crate) handshake_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) authorizer: Option<Authorizer>,
    pub(crate) authorization_timeout: Duration,
    /// Time for which a peer that went away is known.
    pub(crate) absence_grace: Duration,
    /// True if messages wait for such a peer meanwhile.
    pub(crate) hold_for_absent: bool,
    pub(crate) unheard: Unheard,
    pub(crate) close_deadline: Duration,
    pub(crate) max_frame_bytes: u32,
    pub(crate) accept_rate: Option<(u32, Duration)>,
    pub(crate) max_attempts: u32,
    pub(crate) ack_policy: AckPolicy,
    pub(crate) dedupe: Option<Dedupe>,
    pub(crate) duplicate_identity: DuplicateIdentity,
    /// The application reads metadata, which its peers are told.
    pub(crate) read_metadata: bool,
    /// The spans of the socket, from its start on.
    pub(crate) tracing: Tracing,
    /// Who may ask about the socket itself, if anybody may.
    pub(crate) introspection: Option<Introspection>,
}

impl Config {
    pub(crate) fn new() -> Self {
        Self {
            name: None,
            identity: Identity::random(),
            send_mode: SendMode::default(),
            guarantee: DeliveryGuarantee::default(),
            codec: Codec::default(),
            reconnect: Backoff::exponential(Duration::from_millis(100), Duration::from_secs(1)),
            limits: Limits::default(),
            handshake_timeout: Duration::from_secs(8),
            connect_timeout: Duration::from_secs(1),
            authorizer: None,
            authorization_timeout: Duration::from_secs(5),
            absence_grace: Duration::from_secs(30),
            hold_for_absent: true,
            unheard: Unheard::Wait,
            close_deadline: Duration::from_secs(10),
            max_frame_bytes: 64 * MIB as u32,
            accept_rate: None,
            max_attempts: 3,
            ack_policy: AckPolicy::default(),
            dedupe: None,
            duplicate_identity: DuplicateIdentity::default(),
            read_metadata: false,
            tracing: Tracing::default(),
            introspection: None,
        }
    }

    /// Checks what one setting alone cannot tell.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let wrong = |text: &str| Err(StartError::Configuration(text.to_owned()));
        if self.send_mode == SendMode::Publish && self.guarantee == DeliveryGuarantee::AtLeastOnce {
            return wrong(
                "a socket that publishes cannot deliver at least once, because nobody could say \
                 which peers a message was still waiting for: publish at most once, or use \
                 round-robin",
            );
        }
        if self.identity.stands_for_an_empty_name() {
            return wrong("the identity stands for an empty name; is a variable unset?");
        }
        if self.name.as_deref() == Some("") {
            return wrong("the name of the socket is empty; is a variable unset?");
        }
        if let Err(text) = self.limits.check() {
            return wrong(text);
        }
        if self.handshake_timeout.is_zero() {
            return wrong("the handshake timeout must be longer than zero");
        }
        if self.reconnect.never_pauses() {
            return wrong("the pause before a reconnect must be longer than zero");
        }
        if self.authorization_timeout.is_zero() {
            return wrong("the authorization timeout must be longer than zero");
        }
        if let Some(dedupe) = &self.dedupe
            && (dedupe.count == 0 || dedupe.total == 0 || dedupe.window.is_zero())
        {
            return wrong("a window for repeated messages must hold at least one, for some time");
        }
        if let Some((connections, period)) = self.accept_rate
            && (connections == 0 || period.is_zero())
        {
            return wrong("an accept rate allows at least one connection, in some time");
        }
        if self.max_frame_bytes < 18 {
            return wrong("the frame limit must be 18 bytes or more, so that a HELLO fits");
        }
        Ok(())
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;
    use crate::limits::{Capacity, Overflow};

    const KIB: usize = 1024;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_reconnect_without_a_pause_is_refused() {
        let with = |reconnect| Config {
            reconnect,
            ..Config::new()
        };
        let none = Duration::ZERO;
        for spinning in [Backoff::fixed(none), Backoff::exponential(none, secs(1))] {
            let error = with(spinning).check().unwrap_err().to_string();
            assert!(error.contains("before a reconnect"), "{error}");
        }
        with(Backoff::fixed(Duration::from_millis(1)))
            .check()
            .unwrap();
    }

    #[test]
    fn an_empty_name_is_refused_as_the_name_of_a_socket_and_as_its_identity() {
        let unnamed = Config {
            name: Some(String::new()),
            ..Config::new()
        };
        let error = unnamed.check().unwrap_err().to_string();
        assert!(error.contains("the name of the socket is empty"), "{error}");
        let anybody = Config {
            identity: Identity::from_name(""),
            ..Config::new()
        };
        let error = anybody.check().unwrap_err().to_string();
        assert!(error.contains("stands for an empty name"), "{error}");
    }

    #[test]
    fn the_defaults_are_those_that_the_guarantees_name() {
        let config = Config::new();
        assert_eq!(config.guarantee, DeliveryGuarantee::AtMostOnce);
        assert_eq!(config.ack_policy, AckPolicy::OnHandled);
        assert_eq!(config.unheard, Unheard::Wait);
        assert!(config.hold_for_absent && config.authorizer.is_none());
        assert!(config.dedupe.is_none() && config.accept_rate.is_none());
        assert_eq!(config.absence_grace, secs(30));
        assert_eq!(config.handshake_timeout, secs(8));
        assert_eq!(config.authorization_timeout, secs(5));
        assert_eq!(config.max_frame_bytes as usize, 64 * MIB);
        assert_eq!(Dedupe::within(1, secs(1)).total, 1_000_000);

        let limits = config.limits;
        assert_eq!(limits.heartbeat_timeout, secs(15));
        assert_eq!(limits.write_timeout, secs(10));
        assert_eq!(
            limits.standstill_timeout, None,
            "six times the write timeout"
        );
        assert_eq!(
            (limits.resend_timeout, limits.resend_limit),
            (secs(5), None)
        );
        assert_eq!(limits.link_overflow, Overflow::Wait);
        assert_eq!(limits.outbox_overflow, Overflow::Wait);
        assert_eq!(limits.publish_overflow, Overflow::WaitFor(secs(1)));
        assert_eq!(limits.min_subscriber_rate, None);
        assert_eq!(limits.max_handshakes, 4096);
        assert_eq!(limits.link_capacity, Capacity::new(4096, 256 * KIB));
        assert_eq!(
            limits.unacknowledged_capacity,
            Capacity::new(1024, 256 * KIB)
        );
        assert_eq!(limits.outbox_capacity, Capacity::new(100_000, 16 * MIB));
        assert_eq!(limits.inbox_capacity, Capacity::new(4096, 256 * KIB));
        assert_eq!(limits.memory_budget, 64 * MIB);
    }
}
