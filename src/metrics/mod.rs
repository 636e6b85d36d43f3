//! Figures of sockets for a recorder of the [`metrics`](https://docs.rs/metrics) facade (feature `metrics`).
//!
//! The program installs a recorder, for Prometheus or whatever else it reports to, and tells a [`MetricsExporter`] of its
//! sockets. The exporter reads their [`stats`](crate::Socket::stats) now and then. What messages cost more is a look at the clock for
//! [`MetricsExporter::histograms`], twice in each turn of a handler's actor.
//!
//! ```
//! use std::time::Duration;
//! use actix_aiomsg::{metrics::MetricsExporter, prelude::*};
//!
//! # #[actix::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // let recorder = PrometheusBuilder::new().install_recorder()?;
//! let orders = Socket::builder().name("orders").start()?;
//! let stock = Socket::builder().name("stock").start()?;
//! MetricsExporter::new()
//!     .socket(&orders)
//!     .socket(&stock)
//!     .start(Duration::from_secs(5));
//! # Ok(())
//! # }
//! ```
//!
//! `docs/OPERATIONS.md` lists the metrics. Each has the label `socket`, which is the socket's
//! [name](crate::SocketBuilder::name); sockets without one share the label `unnamed`, and their figures are added up. No label
//! tells one peer from another: the number of series is that of the sockets, however many peers come and go.
//! [`Socket::peers`](crate::Socket::peers) tells of each peer.
//!
//! How long handlers and asks take is measured for sockets that an exporter reads, and shown by
//! [`MetricsExporter::histograms`].
//!
//! A counter of the supervised actors, `aiomsg_restarts_total{child}`, is counted at each restart, with or without an exporter.

mod catalog;
mod distributions;
mod exporter;
mod readings;

pub use exporter::MetricsExporter;
