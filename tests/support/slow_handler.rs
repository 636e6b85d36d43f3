//! A handler that takes its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::ResponseFuture;
use actix_aiomsg::prelude::*;

use super::each::each;

/// Subscribes a handler that takes so long for each message. Yields how many it has handled.
pub(crate) fn each_takes(socket: &Socket, time: Duration) -> Arc<AtomicUsize> {
    let handled = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&handled);
    each(socket, move |_| -> ResponseFuture<()> {
        let count = Arc::clone(&count);
        Box::pin(async move {
            tokio::time::sleep(time).await;
            count.fetch_add(1, Ordering::SeqCst);
        })
    });
    handled
}
