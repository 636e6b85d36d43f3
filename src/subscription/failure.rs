//! Errors of handlers.

use std::fmt;

/// The error that a handler returned, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(String);

impl Failure {
    /// The alternate form has the causes, too, where an error has them.
    pub(super) fn new(error: &impl fmt::Display) -> Self {
        Self(format!("{error:#}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
