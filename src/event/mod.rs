//! Events: news of peers, of the socket itself, and of messages that will not arrive.
//!
//! An actor subscribes by giving its recipient to the socket:
//!
//! ```
//! use actix::prelude::*;
//! use actix_aiomsg::{PeerEvent, Socket};
//!
//! struct Doorman;
//!
//! impl Actor for Doorman {
//!     type Context = Context<Self>;
//! }
//!
//! impl Handler<PeerEvent> for Doorman {
//!     type Result = ();
//!     fn handle(&mut self, event: PeerEvent, _: &mut Self::Context) {
//!         match event {
//!             PeerEvent::Up { peer, address, .. } => println!("{peer} came from {address}"),
//!             PeerEvent::Down { peer, reason, .. } => println!("{peer} is gone: {reason:?}"),
//!             _ => {}
//!         }
//!     }
//! }
//!
//! # fn watch(socket: &Socket) {
//! let doorman = Doorman.start();
//! socket.peer_events(doorman.recipient());
//! # }
//! ```

mod address_failure;
mod announcer;
mod dead_letter;
#[cfg(feature = "inspection")]
mod history;
mod losses;
mod peer;
mod peer_watch;
mod refusal;
mod socket;

pub use address_failure::AddressFailure;
pub use dead_letter::{DeadLetter, DeadLetterReason};
pub use losses::Losses;
pub use peer::{ConnectionStage, DownReason, Party, PeerEvent};
pub use peer_watch::{PeerDown, PeerWatch};
pub use refusal::RefusalReason;
pub use socket::{Limit, SocketEvent};

pub(crate) use announcer::Announcer;
#[cfg(feature = "inspection")]
pub(crate) use history::{History, HistoryLine};
pub(crate) use losses::LossCounts;
pub(crate) use peer_watch::Watchers;
