//! Authorization: the facts that a socket's authorizer gets about each peer, and its answers.
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
//! use actix_aiomsg::prelude::*;
//!
//! # fn user_of(token: &str) -> Option<String> { (token == "secret").then(|| "ada".into()) }
//! # async fn start() -> Result<(), actix_aiomsg::error::StartError> {
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
mod credentials;
mod introspection;
mod service_rights;

pub use admission::Admission;
pub(crate) use admission::Verdict;
pub use candidate::Candidate;
#[cfg(feature = "tls")]
pub use certificate::identity_from_certificate;
pub(crate) use credentials::Credentials;
pub use introspection::Inquirer;
pub(crate) use introspection::Introspection;
pub(crate) use service_rights::ServiceRights;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use actix::Recipient;

/// An answer that is on its way. It is awaited on the connection's own arbiter, so it need not be
/// `Send`.
pub type Deciding = Pin<Box<dyn Future<Output = Admission>>>;

/// Decides who may come in: an async closure or function from [`Candidate`] to [`Admission`], or the
/// recipient of an actor that handles [`Candidate`]. `By` tells the two apart; it is always
/// inferred.
///
/// Whoever keeps the socket itself in an authorizer keeps it open for ever: a
/// [`WeakSocket`](crate::WeakSocket) does not.
pub trait Authorize<By>: Send + Sync + 'static {
    /// Begins to decide. Each connection asks once; the answer is dropped, unasked for, when the
    /// deadline is over or the connection is given up.
    fn authorize(self: Arc<Self>, candidate: Candidate) -> Deciding;
}

/// [By](Authorize) a closure or a function.
#[derive(Debug)]
pub enum ByClosure {}

/// [By](Authorize) an actor.
#[derive(Debug)]
pub enum ByActor {}

impl<F> Authorize<ByClosure> for F
where
    F: AsyncFn(Candidate) -> Admission + Send + Sync + 'static,
{
    fn authorize(self: Arc<Self>, candidate: Candidate) -> Deciding {
        Box::pin(async move { self(candidate).await })
    }
}

/// An actor that is gone, or that panics over a candidate, refuses it.
impl Authorize<ByActor> for Recipient<Candidate> {
    fn authorize(self: Arc<Self>, candidate: Candidate) -> Deciding {
        Box::pin(async move {
            let answer = self.send(candidate).await;
            answer.unwrap_or_else(|_| Admission::failed())
        })
    }
}

/// A socket's authorizer.
#[derive(Clone)]
pub(crate) struct Authorizer(Arc<dyn Fn(Candidate) -> Deciding + Send + Sync>);

impl Authorizer {
    pub(crate) fn new<By>(authorizer: impl Authorize<By>) -> Self {
        let authorizer = Arc::new(authorizer);
        Self(Arc::new(move |candidate| {
            Arc::clone(&authorizer).authorize(candidate)
        }))
    }

    pub(crate) fn authorize(&self, candidate: Candidate) -> Deciding {
        (self.0)(candidate)
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorizer")
    }
}
