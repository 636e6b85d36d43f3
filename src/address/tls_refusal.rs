//! Failed checks of a TLS handshake, and whose they were.

use std::fmt;

/// The end that refused a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusedBy {
    /// This end refused what the peer showed.
    Us,
    /// The peer refused what this end showed.
    Peer,
}

impl fmt::Display for RefusedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Us => "we refused the peer",
            Self::Peer => "the peer refused us",
        })
    }
}

/// The check of a TLS handshake that failed. A peer's report of its own checks is coarser than the
/// result of ours: it reports a wrong name as [`BadCertificate`](Self::BadCertificate).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TlsRefusal {
    /// No trusted authority signed the certificate.
    #[error(
        "the certificate is not signed by a trusted authority; add its authority to the file of authorities"
    )]
    UnknownAuthority,
    /// The certificate is for another host.
    #[error(
        "the certificate is for another name; dial a name that it is for, or set the server name"
    )]
    WrongName,
    /// The certificate has no subjectAltName, and the common name does not count.
    #[error("the certificate has no subjectAltName; issue one that names the host there")]
    NoName,
    /// The certificate is that of an authority, which may sign others and not be shown.
    #[error(
        "the certificate is an authority's own; have it sign another one, with CA:FALSE, for this end"
    )]
    AuthorityCertificate,
    /// The key of the certificate is too short: of RSA, 2048 bits are needed.
    #[error("the key of the certificate is too short; use P-256, or RSA with 2048 bits")]
    WeakKey,
    /// The key of the certificate is of a kind that is not supported, such as P-521, Ed448 or RSA-PSS.
    #[error(
        "the key of the certificate is of a kind that is not supported; use P-256, or RSA with 2048 bits"
    )]
    UnsupportedKey,
    /// The certificate is signed in a way that is not accepted any more, with SHA-1 for instance.
    #[error("the certificate is signed in a way that is not accepted; have it signed with SHA-256")]
    WeakSignature,
    /// The certificate has expired.
    #[error("the certificate has expired; renew it")]
    Expired,
    /// The certificate is valid only later; a clock may be wrong.
    #[error("the certificate is not valid yet; look at the clocks of both ends")]
    NotYetValid,
    /// Its authority has revoked the certificate.
    #[error("the certificate was revoked")]
    Revoked,
    /// There are revocation lists, but none of the authority that signed the certificate.
    #[error("no revocation list covers the certificate; add the list of its authority")]
    RevocationUnknown,
    /// A certificate is required and none was shown. An end shows none, too, if the kind of its key is not supported by
    /// the other one.
    #[error(
        "a certificate is required and none was shown; an end without one, or with a key of a kind that is not supported, shows none"
    )]
    NoCertificate,
    /// The certificate is malformed, for another purpose, or was refused for a reason untold.
    #[error("the certificate is not acceptable")]
    BadCertificate,
    /// The bytes that arrived were not TLS.
    #[error("plain text came where TLS was expected")]
    PlainText,
    /// One end wants a TLS version that the other does not speak; ours are 1.2 and 1.3.
    #[error("the ends share no TLS version")]
    Version,
    /// The peer closed during the handshake, as one does that does not speak TLS.
    #[error("the peer closed during the handshake; it may not speak TLS")]
    Closed,
    /// Anything else; the source of the error has the details.
    #[error("the handshake failed")]
    Protocol,
}
