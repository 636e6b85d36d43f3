//! Why a program ends early, as its user reads it.

use std::error::Error;
use std::fmt;

/// Any error. `main` shows the `Debug` of what it returns, which here is the text.
pub(crate) struct Failure(Box<dyn Error>);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}
