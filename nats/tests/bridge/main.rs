//! Sockets, bridges, and real NATS servers.

mod cluster;
mod crash;
mod outage;
mod patterns;
mod refusals;
mod support;
