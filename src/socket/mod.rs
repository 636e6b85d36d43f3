//! The public face of a socket.

mod ask_messages;
mod asking;
mod builder;
mod connections;
mod handle;
mod health;
mod messages;
mod offer_handlers;
mod offering;
mod reconfigure;
mod registry;
mod relay;
mod replies;
mod sending;
mod service;
mod service_asking;
mod service_events;
mod service_target;
mod serving;
mod shutdown_signal;
mod stop_signals;
mod subscriber;

pub use asking::Asking;
pub use builder::SocketBuilder;
pub use handle::{Socket, WeakSocket};
pub use messages::Messages;
pub use offering::Offer;
pub use replies::Replies;
pub use sending::Sending;
pub use service::Service;
pub use service_asking::ServiceAsking;
pub use service_events::ServiceEvents;
pub use serving::Server;
pub use shutdown_signal::{Drain, RunError};
pub use subscriber::{SubscribeOptions, Subscribed, Subscriber};
