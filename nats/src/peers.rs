//! Peers that have a subject of their own.

use std::collections::HashMap;

use actix_aiomsg::Identity;

use crate::BridgeError;

/// Peers at most.
const MOST: usize = 1024;

/// The peers that have a subject of their own, by the name that is the last part of it. Others have none: what they send is
/// refused, and a subject with another name is not read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers(Vec<(String, Identity)>);

impl Peers {
    /// Nobody yet. At most 1,024.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a peer. Its name has letters, digits, `-` and `_`.
    #[must_use]
    pub fn peer(mut self, name: impl Into<String>, identity: Identity) -> Self {
        self.0.push((name.into(), identity));
        self
    }

    /// Peers whose identities are [derived](Identity::from_name) from these names.
    #[must_use]
    pub fn named<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        let pair = |name: N| {
            let name = name.into();
            let identity = Identity::from_name(&name);
            (name, identity)
        };
        Self(names.into_iter().map(pair).collect())
    }

    pub(crate) fn check(&self) -> Result<(), BridgeError> {
        if self.0.is_empty() || self.0.len() > MOST {
            let count = self.0.len();
            return Err(BridgeError::configuration(format!(
                "{count} peers: a route by identity wants 1 to {MOST}"
            )));
        }
        for (name, _) in &self.0 {
            if !is_plain(name) {
                return Err(BridgeError::configuration(format!(
                    "the peer {name:?}: a name has letters, digits, `-` and `_`"
                )));
            }
        }
        if self.by_name().len() < self.0.len() || self.by_identity().len() < self.0.len() {
            return Err(BridgeError::configuration(
                "two peers of a route by identity have one name or one identity",
            ));
        }
        Ok(())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Identity)> {
        self.0.iter().map(|(name, peer)| (name.as_str(), *peer))
    }

    pub(crate) fn by_name(&self) -> HashMap<String, Identity> {
        self.0.iter().cloned().collect()
    }

    pub(crate) fn by_identity(&self) -> HashMap<Identity, String> {
        let turned = self.0.iter().map(|(name, peer)| (*peer, name.clone()));
        turned.collect()
    }
}

/// True for the name of a stream, a consumer or a peer that needs no quoting anywhere.
pub(crate) fn is_plain(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.len() <= 64 && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_peers_is_unambiguous_or_refused() {
        let till = Identity::from_name("till");
        Peers::named(["till", "desk"]).check().unwrap();
        for (peers, problem) in [
            (Peers::new(), "0 peers"),
            (Peers::named((0..1025).map(|n| n.to_string())), "1025 peers"),
            (Peers::named(["a.b"]), "\"a.b\""),
            (Peers::named([">"]), "\">\""),
            (Peers::named([""]), "\"\""),
            (Peers::named(["till", "till"]), "one name"),
            (Peers::named(["till"]).peer("other", till), "one identity"),
        ] {
            let told = peers.check().unwrap_err().to_string();
            assert!(told.contains(problem), "{told}");
        }
    }
}
