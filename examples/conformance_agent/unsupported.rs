//! What the options can ask for and this build does not offer, all in one place.

use crate::options::Options;

/// The sentence that says why `options` cannot be served, if they cannot.
pub(crate) fn reason(options: &Options) -> Option<&'static str> {
    if options.tls && !cfg!(feature = "tls") {
        Some("this build has no TLS: build it with --features tls")
    } else if options.require_client_cert && !options.tls {
        Some("--require-client-cert true needs --tls true")
    } else if options.outbox.is_some() && !cfg!(feature = "outbox") {
        Some("this build has no outbox: build it with --features outbox")
    } else {
        None
    }
}
