//! Closing so that the peer reads our last words (WIRE §8.9).

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Time for which the peer's last bytes are read.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Bytes that are read at a time.
pub(super) const SCRATCH_BYTES: usize = 4096;

/// Ends our writing side, reads and discards until the peer has ended its own, at most 1 s, then
/// closes. Closing over unread bytes would reset the connection and take back what was written.
pub(super) async fn close_gracefully(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    // Whatever fails here, the connection is being given up anyway.
    let _ = timeout(GRACE, async {
        stream.shutdown().await?;
        let mut scratch = vec![0; SCRATCH_BYTES];
        while stream.read(&mut scratch).await? > 0 {}
        std::io::Result::Ok(())
    })
    .await;
}
