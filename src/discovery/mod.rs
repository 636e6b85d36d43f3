//! Peers that are found: by DNS, or by a source of your own.
//!
//! [`Socket::discover`](crate::Socket::discover) dials everybody whom a source finds, and follows the source as that
//! changes. A name of DNS is such a source: with the feature `dns`, `connect("dns+tcp://workers.example:25000")` dials
//! every address of the name.
//!
//! What every source has in common:
//!
//! - Who appears is dialled, one dial after another some milliseconds apart, so that a thousand new peers are no burst.
//! - Who vanishes is dialled no more. Its connection goes on until it ends by itself: an orchestrator takes those off its
//!   list that are draining, and they still have answers to send.
//! - An error or an empty set changes nothing. The directory is asked again, after 1 s, then after longer pauses up to
//!   30 s.
//! - Of one source, 4,096 peers are dialled. A set with more is cut there, with a warning.
//! - A socket that finds itself among the peers does not connect to itself.
//!
//! ```no_run
//! use actix_aiomsg::Socket;
//! use actix_aiomsg::discovery::{SourceError, DiscoveredPeer, from_stream};
//! # use futures_util::stream;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let socket = Socket::start()?;
//! // Any stream of whole sets will do: from a registry, a file, a control plane.
//! let sets = stream::iter([Ok(vec![DiscoveredPeer::new("tcp://10.0.0.7:25000".parse()?)])]);
//! socket.discover(from_stream("the registry", sets)).await?;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "dns")]
mod dns;
mod source;

#[cfg(feature = "dns")]
pub use dns::Dns;
pub use source::{Discover, DiscoverFuture, DiscoveredPeer, SourceError, from_stream};
