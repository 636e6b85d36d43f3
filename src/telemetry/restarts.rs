//! The count of restarts of supervised actors, where metrics are built in.

/// The metric, with the name of the actor as its label `child`.
#[cfg(feature = "metrics")]
pub(crate) const RESTARTS: &str = "aiomsg_restarts_total";

/// A supervised actor or tree is started again. A recorder that the program has installed is told at once, because restarts
/// are rare, and an actor that has ended for good could not be asked any more.
#[cfg_attr(
    not(feature = "metrics"),
    allow(unused_variables, reason = "nobody counts")
)]
pub(crate) fn note_restart(child: &str) {
    #[cfg(feature = "metrics")]
    metrics::counter!(RESTARTS, "child" => child.to_owned()).increment(1);
}
