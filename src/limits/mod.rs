//! Bounds, overflow policies and timers of a socket.
//!
//! The builder sets them, [`Socket::reconfigure`](crate::Socket::reconfigure) changes them while the
//! socket is in use, and `stats().limits` reports those that hold.

mod capacity;
mod change;
mod current;
mod descriptors;
mod policy;
mod table;
mod timers;
mod tunable;

pub use capacity::Capacity;
pub use change::LimitsChange;
pub(crate) use current::CurrentLimits;
pub(crate) use descriptors::{DescriptorAccount, PROCESS};
pub use policy::{
    AbsentPeer, AckPolicy, Dedupe, DeliveryGuarantee, DuplicateIdentity, Overflow, SendMode,
    Unheard,
};
pub(crate) use table::limits_table;
pub(crate) use timers::Timers;
pub use tunable::Limits;
