//! Answers of a closure that changes limits.

use std::fmt::Display;

/// The answer of a closure that changes [`Limits`](crate::limits::Limits): `()`, or a `Result` whose error leaves all as it was.
pub trait LimitsChange: sealed::Sealed {
    /// The answer as a result, its error as a sentence.
    #[doc(hidden)]
    fn into_result(self) -> Result<(), String>;
}

impl LimitsChange for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: Display> LimitsChange for Result<(), E> {
    fn into_result(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for () {}
    impl<E> Sealed for Result<(), E> {}
}
