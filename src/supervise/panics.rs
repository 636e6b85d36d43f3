//! Panics as values: reports of them, and containment of code that may panic.

use std::any::Any;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

/// A panic that supervision caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanicReport {
    pub(crate) actor: Arc<str>,
    pub(crate) message: Arc<str>,
    pub(crate) place: PanicPlace,
    pub(crate) restarts: u64,
}

impl PanicReport {
    /// The name of the actor that panicked.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// The text that was given to `panic!`, or a placeholder if the payload was not text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The part of the actor that panicked.
    pub fn place(&self) -> PanicPlace {
        self.place
    }

    /// The number of the actor's restarts before this panic.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }
}

impl fmt::Display for PanicReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} panicked in {}: {}",
            self.actor, self.place, self.message
        )
    }
}

/// The part of an actor in which a panic began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PanicPlace {
    /// The factory panicked, so there was no actor yet.
    Factory,
    /// `Actor::started` panicked, or something that it made the actor wait for.
    Started,
    /// A message handler panicked, with the message in its hands.
    Message,
    /// A future, timer or stream of the actor's context panicked.
    Future,
    /// `Actor::stopping` or `Actor::stopped` panicked.
    Stopping,
}

impl fmt::Display for PanicPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Factory => "its factory",
            Self::Started => "started",
            Self::Message => "a message handler",
            Self::Future => "a future",
            Self::Stopping => "stopping",
        })
    }
}

/// True if this program was built so that a panic unwinds.
///
/// With `panic = "abort"` the first panic ends the process and nothing can be supervised. Starting a
/// supervised actor then logs an error once.
pub const fn panics_unwind() -> bool {
    cfg!(panic = "unwind")
}

/// Says once per process that supervision cannot work in this build.
pub(crate) fn warn_unless_panics_unwind() {
    static SAID: Once = Once::new();
    warn_once(panics_unwind(), &SAID);
}

fn warn_once(unwind: bool, said: &Once) {
    if !unwind {
        said.call_once(|| {
            tracing::error!(
                "built with panic = \"abort\": a panic ends the process, no actor is restarted"
            );
        });
    }
}

/// Runs `step` and turns a panic into its message.
pub(crate) fn contain<R>(step: impl FnOnce() -> R) -> Result<R, Arc<str>> {
    catch_unwind(AssertUnwindSafe(step)).map_err(into_message)
}

/// Drops `value`, whatever its destructor does.
pub(crate) fn drop_contained<T>(value: T, what: &str) {
    if let Err(message) = contain(|| drop(value)) {
        tracing::error!(%message, "{what} panicked while it was dropped");
    }
}

/// A payload may have a destructor that panics; that second panic is not looked at any more.
fn into_message(payload: Box<dyn Any + Send>) -> Arc<str> {
    let message = if let Some(text) = payload.downcast_ref::<&'static str>() {
        Arc::from(*text)
    } else if let Some(text) = payload.downcast_ref::<String>() {
        Arc::from(text.as_str())
    } else {
        Arc::from("(a payload that is not text)")
    };
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    message
}

/// A value whose destructor may panic without harm.
pub(crate) struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    pub(crate) fn into_inner(mut self) -> T {
        self.0.take().expect(PRESENT)
    }
}

/// Only `into_inner` and the destructor take the value out, and nothing comes after those.
const PRESENT: &str = "a contained value is there until it is dropped";

impl<T> Deref for Contained<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect(PRESENT)
    }
}

impl<T> DerefMut for Contained<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect(PRESENT)
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            drop_contained(value, std::any::type_name::<T>());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_aborts_says_so_once_and_one_that_unwinds_does_not() {
        use std::io::Write;
        use std::sync::Mutex;

        #[derive(Clone, Default)]
        struct Log(Arc<Mutex<Vec<u8>>>);
        impl Write for Log {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .finish();
        let said = Once::new();
        tracing::subscriber::with_default(subscriber, || {
            warn_once(panics_unwind(), &said);
            assert!(log.0.lock().unwrap().is_empty());
            warn_once(false, &said);
            warn_once(false, &said);
        });
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.matches("no actor is restarted").count(), 1, "{log}");
        assert!(log.contains("ERROR"), "{log}");
    }

    struct PanicsWhenDropped;

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[test]
    fn the_message_of_a_panic_is_kept_whatever_type_it_has() {
        assert_eq!(contain(|| 5), Ok(5));
        let text = contain(|| panic!("literal")).map(|()| 0);
        assert_eq!(text, Err(Arc::from("literal")));
        let formatted = contain(|| panic!("number {}", 7)).map(|()| 0);
        assert_eq!(formatted, Err(Arc::from("number 7")));
        let other = contain(|| std::panic::panic_any(7u8)).map(|()| 0);
        assert_eq!(other, Err(Arc::from("(a payload that is not text)")));
    }

    #[test]
    fn a_payload_that_panics_when_dropped_is_contained() {
        let caught = contain(|| std::panic::panic_any(PanicsWhenDropped)).map(|()| 0);
        assert_eq!(caught, Err(Arc::from("(a payload that is not text)")));
        drop(Contained::new(PanicsWhenDropped));
    }
}
