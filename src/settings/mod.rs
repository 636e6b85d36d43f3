//! Settings of a socket from a file, with the environment over it (feature `config`).
//!
//! ```
//! use actix_aiomsg::settings::Settings;
//!
//! # #[actix::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = std::env::temp_dir().join("actix-aiomsg-orders.toml");
//! std::fs::write(&file, r#"
//!     bind = ["tcp://127.0.0.1:0"]
//!     heartbeat_interval = "2s"
//!     memory_budget = "32MiB"
//!     publish_overflow = { wait_for = "500ms" }
//!     link_capacity = { messages = 1000, bytes = "1MiB" }
//! "#)?;
//! let settings = Settings::load(&file)?;    // AIOMSG_SOCKET_HEARTBEAT_INTERVAL=1s goes before the file
//! let socket = settings.builder().start()?; // what only code can set goes in between
//! let listening = settings.open(&socket).await?;
//! assert_eq!(socket.stats().limits.memory_budget, 32 << 20);
//! # assert_eq!(listening.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! Each setting of [`SocketBuilder`](crate::SocketBuilder) that is no closure and no actor has a key of its name, and [`SCHEMA`] describes
//! them all, for editors and for checks before a deployment. Times are written as `"5s"` or `"1m 30s"`, sizes as `"64MiB"`, `"1MB"` or a
//! number of bytes. A key that there is not is refused, with the name that was probably meant.

mod endpoints;
mod error;
mod keys;
mod load;
#[cfg(feature = "outbox")]
mod outbox;
mod policies;
#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod schema_tests;
mod suggestions;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
mod units;
mod value;

pub use error::{OpenError, SettingsError};
pub use keys::Settings;
pub use load::SettingsSources;

/// The JSON Schema of the keys: what a file may say, once it is read as TOML. With all features of this crate.
pub const SCHEMA: &str = include_str!("socket.schema.json");
