//! Moves bytes between an HTTP connection, which stays in its web server's thread, and the pipes
//! to the connection that reads and writes them.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::oneshot;
use tokio_util::io::poll_read_buf;

use crate::transport::WebEnds;

/// Bytes that leave at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// The two halves of a bridge: a task that passes on what the peer sends, and a response body.
pub(super) fn bridge(payload: Payload, ends: WebEnds) -> (impl Future<Output = ()>, Outgoing) {
    let (alive, over) = oneshot::channel();
    let outgoing = Outgoing {
        stream: ends.outgoing,
        _alive: alive,
    };
    (receive(payload, ends.incoming, over), outgoing)
}

/// Passes on what the peer sends, no faster than it is taken: the web server reads on only when a
/// chunk was passed on.
///
/// A task of its own and not a part of the response body, because the server asks that for more
/// only when the peer has read what there was: a peer that writes before it reads would wait for
/// ever.
async fn receive(
    mut payload: Payload,
    mut incoming: DuplexStream,
    mut over: oneshot::Receiver<Infallible>,
) {
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = poll_fn(|cx| Pin::new(&mut payload).poll_next(cx)) => chunk,
            // Our writing side has ended. The peer's may stay open until the server closes the
            // connection, and nobody wants to know what comes of it.
            _ = &mut over => return,
        };
        // An error says that the peer is gone, as the end does.
        let Some(Ok(chunk)) = chunk else { return };
        if incoming.write_all(&chunk).await.is_err() {
            // The connection is over. The server discards what still comes.
            return;
        }
    }
}

/// Output for the peer, as a response body. The server asks for more when it has room, and the
/// body ends with our writing side.
#[derive(Debug)]
pub(super) struct Outgoing {
    stream: DuplexStream,
    /// Dropped with the body, when its connection has ended or is to end.
    _alive: oneshot::Sender<Infallible>,
}

impl MessageBody for Outgoing {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut chunk));
        Poll::Ready(match read {
            Ok(0) => None,
            Ok(_) => Some(Ok(chunk.freeze())),
            Err(error) => Some(Err(error)),
        })
    }
}
