//! A line over which everything takes its time.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

/// Starts a line to a TCP port; yields the port of its other end. It takes `delay` each way, for connecting, too.
pub async fn slow_line(to: u16, delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    actix::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            actix::spawn(async move {
                sleep(delay).await;
                // The socket behind it may have been closed.
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else {
                    return;
                };
                let ((from_near, to_near), (from_far, to_far)) =
                    (near.into_split(), far.into_split());
                actix::spawn(carry(from_near, to_far, delay));
                actix::spawn(carry(from_far, to_near, delay));
            });
        }
    });
    port
}

async fn carry(
    mut from: impl AsyncRead + Unpin + 'static,
    mut to: impl AsyncWrite + Unpin + 'static,
    delay: Duration,
) {
    let (sender, mut underway) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    actix::spawn(async move {
        while let Some((arrival, bytes)) = underway.recv().await {
            sleep_until(arrival).await;
            // Whoever has left reads nothing more.
            let _ = match bytes.is_empty() {
                true => to.shutdown().await,
                false => to.write_all(&bytes).await,
            };
        }
    });
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let sent = sender.send((Instant::now() + delay, buffer[..read].to_vec()));
        if read == 0 || sent.is_err() {
            return;
        }
    }
}
