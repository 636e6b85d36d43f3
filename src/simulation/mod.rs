//! Deterministic simulation: whole sockets, with a clock and a network that one seed decides.
//!
//! Two to five sockets run the code of the real ones: routing, links, inboxes, pumps, handshakes,
//! readers, writers, liveness. What is simulated is the network below them, the runtime around
//! them, and the applications above. A simulation has a [`plan`](plan::Plan), which its seed
//! decides, runs through faults to a time without any, and must come to rest. The
//! [ledger](ledger::Ledger) knows every message and says what may have become of it.
//!
//! A seed that fails is run once more with a trace. To see it again:
//! `AIOMSG_SEED=<seed> cargo test --lib simulation::<test> -- --nocapture`.

mod application;
mod checks;
mod cycles;
mod dice;
mod executor;
mod ledger;
mod mutations;
mod network;
mod order;
mod plan;
mod runs;
mod scale;
mod service_ledger;
mod services;
mod socket;
mod tap;
mod tests;
mod unclaimed;
mod world;
