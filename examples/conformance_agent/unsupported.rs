//! What the options can ask for and the crate does not offer yet, all in one place.

use crate::options::{Behavior, Delivery, Mode, Options};

/// The sentence that says why `options` cannot be served, if they cannot.
pub(crate) fn reason(options: &Options) -> Option<&'static str> {
    let sends = options.behavior != Behavior::Sink;
    let at_least_once = sends && options.delivery == Delivery::AtLeastOnce;
    if at_least_once && options.send_mode == Mode::Publish && options.behavior != Behavior::Echo {
        Some(
            "at-least-once delivery does not go with --send-mode publish: no single peer would owe the acknowledgement",
        )
    } else if at_least_once {
        Some("at-least-once sends are not implemented yet: use --delivery at-most-once")
    } else if options.resend_timeout.is_some() {
        Some("--resend-timeout-ms belongs to at-least-once sends, which are not implemented yet")
    } else if options.tls {
        Some("TLS is not implemented yet: use --tls false")
    } else if options.require_client_cert {
        Some("--require-client-cert belongs to TLS, which is not implemented yet")
    } else if options.outbox.is_some() {
        Some("a durable outbox is not implemented yet: leave --outbox out")
    } else {
        None
    }
}
