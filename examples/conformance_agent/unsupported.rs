//! What the options can ask for and the crate does not offer yet, all in one place.

use crate::options::Options;

/// The sentence that says why `options` cannot be served, if they cannot.
pub(crate) fn reason(options: &Options) -> Option<&'static str> {
    if options.tls {
        Some("TLS is not implemented yet: use --tls false")
    } else if options.require_client_cert {
        Some("--require-client-cert belongs to TLS, which is not implemented yet")
    } else if options.outbox.is_some() {
        Some("a durable outbox is not implemented yet: leave --outbox out")
    } else {
        None
    }
}
