//! What several integration tests share: child processes, scripted peers, a fault proxy, Python.
//!
//! Each test program compiles the whole of it and uses its part.
#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod actors;
pub mod again;
pub mod agent;
#[cfg(feature = "tls-dev")]
pub mod certificates;
pub mod counting;
pub(crate) mod each;
#[cfg(feature = "test-util")]
pub mod events;
pub mod example;
pub mod folder;
#[cfg(feature = "test-util")]
pub mod frame_cases;
pub mod full_line;
#[cfg(feature = "test-util")]
pub mod host;
pub mod log;
pub mod memory;
pub(crate) mod panics;
pub mod process;
pub mod proxy;
pub mod python;
pub mod raw_peer;
pub mod scale;
pub mod shop;
pub mod site;
pub(crate) mod slow_handler;
pub mod slow_line;
mod waiting;
pub mod web_peer;
pub mod webdriver;

pub use waiting::{PATIENCE, aside, eventually, within_patience};
