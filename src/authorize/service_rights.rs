//! The services that a peer may offer and ask.

use std::sync::Arc;

/// Services by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServiceNames {
    All,
    These(Arc<[String]>),
}

impl ServiceNames {
    pub(super) fn none() -> Self {
        Self::These(Arc::new([]))
    }

    pub(super) fn of(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::These(names.into_iter().map(Into::into).collect())
    }

    pub(crate) fn contain(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.iter().any(|known| known == name),
        }
    }
}

/// The services that a peer may offer and ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceRights {
    pub(crate) offer: ServiceNames,
    pub(crate) ask: ServiceNames,
}

impl ServiceRights {
    /// Those of a peer that an authorizer has let in, if it does not say more.
    pub(super) fn none() -> Self {
        Self {
            offer: ServiceNames::none(),
            ask: ServiceNames::none(),
        }
    }

    /// Those of a browser that nobody has judged.
    pub(crate) fn ask_alone() -> Self {
        Self {
            offer: ServiceNames::none(),
            ask: ServiceNames::All,
        }
    }
}
