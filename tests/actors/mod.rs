//! What the tests of supervision share.
#![allow(dead_code, reason = "each test target uses a part of it")]

pub(crate) mod counter;
#[path = "../support/panics.rs"]
mod panics;

use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use actix::System;
use actix::prelude::Stream;
use actix_aiomsg::supervise::{Backoff, Escalation};
pub(crate) use panics::print_panics_briefly;
use tokio::sync::oneshot;

/// Runs a test in a System of its own.
pub(crate) fn run(test: impl Future<Output = ()> + 'static) {
    print_panics_briefly();
    System::new().block_on(test);
}

/// Runs a test in a System whose clock moves only when everyone waits.
pub(crate) fn run_paused(test: impl Future<Output = ()> + 'static) {
    print_panics_briefly();
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    };
    System::with_tokio_rt(runtime).block_on(test);
}

/// Waits for a condition; a test that waits for a minute is stuck.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let stuck = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < stuck, "the condition never came true");
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
}

/// No pause between restarts.
pub(crate) fn at_once() -> Backoff {
    Backoff::fixed(Duration::ZERO)
}

/// A callback for `on_escalate`, and what it was told.
pub(crate) fn tell() -> (
    impl FnOnce(Escalation) + Send + 'static,
    oneshot::Receiver<Escalation>,
) {
    let (tx, rx) = oneshot::channel();
    (move |escalation| drop(tx.send(escalation)), rx)
}

/// A stream that yields what `make` returns, for ever.
pub(crate) fn repeat<T, F: FnMut() -> T + Unpin>(make: F) -> impl Stream<Item = T> {
    Repeat(make)
}

struct Repeat<F>(F);

impl<T, F: FnMut() -> T + Unpin> Stream for Repeat<F> {
    type Item = T;
    fn poll_next(mut self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<Option<T>> {
        Poll::Ready(Some((self.0)()))
    }
}
