//! Identities that are bound to certificates.

use super::{Admission, Candidate};

/// An authorizer that gives each peer the identity of its certificate, so that nobody can take
/// another's: [`CertificateChain::identity`](crate::transport::CertificateChain::identity). A peer without a
/// certificate, or whose certificate names nobody, is refused.
///
/// ```
/// use actix_aiomsg::{Socket, authorize::identity_from_certificate};
///
/// # async fn start() -> Result<(), actix_aiomsg::error::StartError> {
/// let socket = Socket::builder().authorize(identity_from_certificate).start()?;
/// # Ok(()) }
/// ```
///
/// It is asked about the peers that the socket dials too. A bind end whose clients need no
/// certificate of their own is dialled by another socket, or by an authorizer that looks at
/// [`role`](Candidate::role).
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub async fn identity_from_certificate(candidate: Candidate) -> Admission {
    let Some(certificates) = &candidate.certificates else {
        return Admission::refuse("the peer has shown no certificate");
    };
    match certificates.identity() {
        Some(identity) => Admission::admit_as(identity),
        None => Admission::refuse("the peer's certificate names nobody"),
    }
}
