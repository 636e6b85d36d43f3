//! Spans of OpenTelemetry for what a socket sends, receives, asks and answers (feature `otel`).
//!
//! The program sets a provider ([`opentelemetry::global::set_tracer_provider`]), and switches the spans of a socket on:
//!
//! ```
//! use actix_aiomsg::{prelude::*, trace::SpanRelation};
//!
//! # #[actix::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // opentelemetry::global::set_tracer_provider(provider);
//! let orders = Socket::builder().name("orders").traces(SpanRelation::Linked).start()?;
//! # Ok(())
//! # }
//! ```
//!
//! From then on each send has a span, and so has each message that a handler handles, each ask, and each answer. A handler runs
//! inside of its span, so that what it sends and asks belongs to the same trace. `docs/TRACING.md` lists the spans and their attributes.
//! They follow the conventions for messaging of OpenTelemetry 1.45, which are in development: names may change with them.

mod described;
#[cfg(feature = "otel")]
mod error_type;
#[cfg(not(feature = "otel"))]
mod idle;
#[cfg(feature = "otel")]
mod live;
#[cfg(feature = "otel")]
mod relation;
#[cfg(feature = "otel")]
mod tracer;

pub(crate) use described::{Incoming, Outgoing};
#[cfg(not(feature = "otel"))]
pub(crate) use idle::{Consumer, Parent, SendSpan, Span, Tracing};
#[cfg(feature = "otel")]
pub(crate) use live::{Parent, SendSpan, Span};
#[cfg(feature = "otel")]
pub use relation::SpanRelation;
#[cfg(feature = "otel")]
pub(crate) use tracer::{Consumer, Tracing};
