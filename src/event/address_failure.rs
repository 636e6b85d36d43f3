//! One address of an endpoint that was dialled in vain.

use std::fmt;
use std::time::{Duration, Instant};

use super::refusal::RefusalReason;
use crate::address::PeerAddress;
use crate::clock;

/// One address of an endpoint that was dialled in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressFailure {
    /// The address; `None` where the name had none.
    pub address: Option<PeerAddress>,
    /// Duration of the attempt.
    pub after: Duration,
    /// The step that failed, and why.
    pub reason: RefusalReason,
}

impl AddressFailure {
    /// A failure just now of an attempt that began at `since`.
    pub(crate) fn new(address: Option<PeerAddress>, since: Instant, reason: RefusalReason) -> Self {
        Self {
            address,
            after: clock::now().saturating_duration_since(since),
            reason,
        }
    }

    /// The reason that tells most of an endpoint: that of the last address which could be reached, else
    /// the last one.
    pub(crate) fn most_telling(failures: &[Self]) -> RefusalReason {
        let reached = |failure: &&Self| !matches!(failure.reason, RefusalReason::Unreachable(_));
        let told = failures.iter().rfind(reached).or(failures.last());
        told.map_or_else(
            || RefusalReason::Unreachable("the endpoint has no address".to_owned()),
            |failure| failure.reason.clone(),
        )
    }

    /// All of them in one line.
    pub(crate) fn list(failures: &[Self]) -> String {
        let shown: Vec<_> = failures.iter().map(ToString::to_string).collect();
        shown.join("; ")
    }
}

impl fmt::Display for AddressFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            after,
            reason,
        } = self;
        match address {
            Some(address) => write!(f, "{address} after {after:.1?}: {reason}"),
            None => write!(f, "no address after {after:.1?}: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_that_could_be_reached_tells_most() {
        let failure = |port: u16, reason: RefusalReason| AddressFailure {
            address: Some(PeerAddress::Socket(([10, 0, 0, 1], port).into())),
            after: Duration::from_millis(8_001),
            reason,
        };
        let refused = || RefusalReason::Unreachable("refused".into());
        let failures = [
            failure(1, RefusalReason::TimedOut),
            failure(2, RefusalReason::NotHello(9)),
            failure(3, refused()),
        ];
        assert_eq!(
            AddressFailure::most_telling(&failures),
            RefusalReason::NotHello(9)
        );
        assert_eq!(AddressFailure::most_telling(&failures[2..]), refused());
        assert_eq!(
            AddressFailure::list(&failures[..1]),
            "10.0.0.1:1 after 8.0s: the handshake was not finished in time"
        );
    }
}
