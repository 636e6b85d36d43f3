//! Figures of a running socket: queues, losses, phase, and one report for each subscription.
//!
//! ```
//! use actix_aiomsg::{Socket, stats::SocketPhase};
//!
//! fn is_healthy(socket: &Socket) -> bool {
//!     let stats = socket.stats();
//!     socket.state().borrow().phase == SocketPhase::Open && stats.dead_letters == 0
//! }
//! ```

pub use crate::actor::SocketReport;
pub use crate::connection::ConnectedPeer;
pub use crate::core::Stats;
pub use crate::event::Losses;
pub use crate::lifecycle::{CloseReport, SocketPhase, SocketState};
pub use crate::subscription::{Delivery, SubscriberReport, SubscriptionReport};
