//! Who may come in: what an authorizer is shown, and what it answers.
//!
//! By default everybody is admitted, as the protocol has it (WIRE §8.5). A socket with an
//! [authorizer](crate::SocketBuilder::authorize) asks it about each peer that has said HELLO and
//! before the peer counts as connected: before that peer can be sent to, and before anything that
//! it sends is delivered. The authorizer may
//!
//! - admit the peer as who it says it is,
//! - admit it under an identity that it has proved, whatever it says,
//! - or refuse it, with a reason that goes into an event.
//!
//! ```
//! use actix_aiomsg::{Admission, Candidate, Identity, Socket};
//!
//! # fn user_of(token: &str) -> Option<String> { (token == "secret").then(|| "ada".into()) }
//! # async fn start() -> Result<(), actix_aiomsg::StartError> {
//! let socket = Socket::builder()
//!     .authorize(|peer: Candidate| async move {
//!         let token = peer.request.as_ref().and_then(|request| request.cookie("session"));
//!         match token.and_then(user_of) {
//!             Some(user) => Admission::admit_as(Identity::from_name(&user)).with_principal(user),
//!             None => Admission::refuse("no session"),
//!         }
//!     })
//!     .start()?;
//! # Ok(()) }
//! ```

mod admission;
mod candidate;
#[cfg(feature = "tls")]
mod certificate;
mod passport;

pub use admission::Admission;
pub(crate) use admission::Verdict;
pub use candidate::Candidate;
#[cfg(feature = "tls")]
pub use certificate::identity_from_certificate;
pub(crate) use passport::Passport;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use actix::Recipient;

/// An answer that is on its way. It is awaited on the connection's own arbiter, so it need not be
/// `Send`.
pub type Deciding = Pin<Box<dyn Future<Output = Admission>>>;

/// Decides who may come in.
///
/// Async closures and functions from [`Candidate`] to [`Admission`] do, and so do recipients of
/// actors that handle [`Candidate`]. Whoever keeps the socket itself in one keeps it open for ever:
/// a [`WeakSocket`](crate::WeakSocket) does not.
pub trait Authorize: Send + Sync + 'static {
    /// Begins to decide. Each connection asks once; the answer is dropped, unasked for, when the
    /// deadline is over or the connection is given up.
    fn authorize(&self, candidate: Candidate) -> Deciding;
}

impl<F, D> Authorize for F
where
    F: Fn(Candidate) -> D + Send + Sync + 'static,
    D: Future<Output = Admission> + 'static,
{
    fn authorize(&self, candidate: Candidate) -> Deciding {
        Box::pin(self(candidate))
    }
}

/// An actor that is gone, or that panics over a candidate, refuses it.
impl Authorize for Recipient<Candidate> {
    fn authorize(&self, candidate: Candidate) -> Deciding {
        let answer = self.send(candidate);
        Box::pin(async move { answer.await.unwrap_or_else(|_| Admission::failed()) })
    }
}

/// A socket's authorizer.
#[derive(Clone)]
pub(crate) struct Authorizer(Arc<dyn Authorize>);

impl Authorizer {
    pub(crate) fn new(authorizer: impl Authorize) -> Self {
        Self(Arc::new(authorizer))
    }

    pub(crate) fn authorize(&self, candidate: Candidate) -> Deciding {
        self.0.authorize(candidate)
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorizer")
    }
}
