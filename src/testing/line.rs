//! A connection within the process that can be made to fail.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::watch;

use crate::address::Endpoint;
use crate::clock;
use crate::transport::{MemoryListener, connect_memory};
use crate::wire::{EnvelopeType, Walk, walk};

const PATIENCE: Duration = Duration::from_secs(1);

/// A line between two sockets, for as long as it is kept: the connect end dials it again when it
/// was cut. Faults hold for both directions.
#[derive(Debug)]
pub struct FaultyLine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    faults: Mutex<LineFaults>,
    /// Counts cuts; those that were connected before one end.
    cuts: watch::Sender<u64>,
    stalled: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct LineFaults {
    delay: Duration,
    /// Messages that will be lost.
    to_drop: usize,
    dropped: usize,
}

impl FaultyLine {
    pub(super) fn between(client: &Endpoint, server: &Endpoint) -> Self {
        let shared = Arc::new(Shared {
            faults: Mutex::new(LineFaults::default()),
            cuts: watch::Sender::new(0),
            stalled: watch::Sender::new(false),
        });
        let within = "the kit's endpoints are within the process";
        let (client, server) = (client.name().expect(within), server.name().expect(within));
        let listener = MemoryListener::bind(client, 16).expect("nobody else has it");
        let server = server.to_owned();
        let relayed = Arc::downgrade(&shared);
        actix_rt::spawn(async move {
            loop {
                let accepted = std::future::poll_fn(|cx| listener.poll_accept(cx)).await;
                let (Ok(client), Some(shared)) = (accepted, relayed.upgrade()) else {
                    // The line is gone, and its end of the endpoint with it.
                    return;
                };
                if let Ok(server) = connect_memory(&server, PATIENCE).await {
                    let (from_client, to_client) = tokio::io::split(client);
                    let (from_server, to_server) = tokio::io::split(server);
                    actix_rt::spawn(carry(from_client, to_server, Arc::clone(&shared)));
                    actix_rt::spawn(carry(from_server, to_client, shared));
                }
            }
        });
        Self { shared }
    }

    /// Ends the connection, inside of a frame if one is on its way. The connect end comes back.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Delays everything that is sent from now on.
    pub fn delay(&self, delay: Duration) {
        self.shared.faults.lock().delay = delay;
    }

    /// Loses the next `messages`, in either direction; heartbeats and acknowledgements pass.
    pub fn drop_next(&self, messages: usize) {
        self.shared.faults.lock().to_drop = messages;
    }

    /// Number of messages that the line has lost.
    pub fn dropped(&self) -> usize {
        self.shared.faults.lock().dropped
    }

    /// Carries nothing until [`resume`](Self::resume), as a peer that does not read.
    pub fn stall(&self) {
        self.shared.stalled.send_replace(true);
    }

    /// Carries on.
    pub fn resume(&self) {
        self.shared.stalled.send_replace(false);
    }
}

/// Carries frames one way, until either end, the line, or a cut ends it.
async fn carry(mut from: ReadHalf<DuplexStream>, to: WriteHalf<DuplexStream>, line: Arc<Shared>) {
    let mut cuts = line.cuts.subscribe();
    tokio::select! {
        _ = cuts.changed() => {}
        _ = relay(&mut from, to, &line) => {}
    }
}

async fn relay(
    from: &mut ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    line: &Shared,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    let mut late: VecDeque<(Instant, Bytes)> = VecDeque::new();
    let mut stalled = line.stalled.subscribe();
    loop {
        // An error means that the line is gone, and with it the task.
        if stalled.wait_for(|stalled| !stalled).await.is_err() {
            return Ok(());
        }
        let due = late.front().map(|(due, _)| *due);
        tokio::select! {
            biased;
            () = sleep_until(due), if due.is_some() => {
                if let Some((_, frame)) = late.pop_front() {
                    to.write_all(&frame).await?;
                }
            }
            _ = stalled.changed() => {}
            read = from.read_buf(&mut buffer) => {
                if read? == 0 {
                    // What was sent before the end comes before it.
                    for (due, frame) in late {
                        sleep_until(Some(due)).await;
                        to.write_all(&frame).await?;
                    }
                    return to.shutdown().await;
                }
                while let Ok(Walk::Frame(frame)) = walk(&buffer, u32::MAX) {
                    let (length, kind) = (frame.len(), frame.envelope.first().copied());
                    let frame = buffer.split_to(length).freeze();
                    match line.fate(kind) {
                        FrameFate::Lost => {}
                        FrameFate::Now if late.is_empty() => to.write_all(&frame).await?,
                        FrameFate::Now => late.push_back((clock::now(), frame)),
                        FrameFate::In(delay) => {
                            late.push_back((clock::after(delay), frame));
                        }
                    }
                }
            }
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due.into()).await;
    }
}

/// End of a frame.
enum FrameFate {
    Now,
    In(Duration),
    Lost,
}

impl Shared {
    fn fate(&self, kind: Option<u8>) -> FrameFate {
        let kind = kind.and_then(EnvelopeType::from_byte);
        let mut faults = self.faults.lock();
        let is_message = matches!(kind, Some(EnvelopeType::Data | EnvelopeType::DataReq));
        if is_message && faults.to_drop > 0 {
            faults.to_drop -= 1;
            faults.dropped += 1;
            FrameFate::Lost
        } else if faults.delay.is_zero() {
            FrameFate::Now
        } else {
            FrameFate::In(faults.delay)
        }
    }
}
