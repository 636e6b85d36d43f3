//! The public face of a socket.

mod builder;
mod handle;
mod messages;
mod reconfigure;
mod registry;
mod relay;
mod sending;
mod shutdown_signal;
mod stop_signals;
mod subscriber;

pub use builder::SocketBuilder;
pub use handle::{Socket, WeakSocket};
pub use messages::Messages;
pub use sending::Sending;
pub use shutdown_signal::{Drain, RunError};
pub use subscriber::{SubscribeOptions, Subscribed, Subscriber};
