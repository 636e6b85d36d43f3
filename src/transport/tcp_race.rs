//! TCP attempts at all addresses of a name, raced (RFC 8305).

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use crate::clock;
use crate::engine::{ConnectRace, RaceStep, Raced};

impl Raced for SocketAddr {
    fn is_v6(&self) -> bool {
        self.is_ipv6()
    }
}

/// The end of one attempt.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) address: SocketAddr,
    pub(super) since: Instant,
    /// The stream with the address of its own end.
    pub(super) result: Result<(TcpStream, SocketAddr), AttemptFailure>,
}

/// The failure of one attempt.
#[derive(Debug)]
pub(super) enum AttemptFailure {
    /// The system refused.
    Refused(io::Error),
    /// Nothing came within the connect timeout.
    TimedOut,
}

/// The race, with the attempts that are underway.
pub(super) struct TcpRace {
    race: ConnectRace<SocketAddr>,
    connect_timeout: Duration,
    underway: FuturesUnordered<Pin<Box<dyn Future<Output = Attempted>>>>,
}

impl TcpRace {
    /// Those of `last` are tried after all others.
    pub(super) fn new(
        addresses: Vec<SocketAddr>,
        last: &[SocketAddr],
        connect_timeout: Duration,
    ) -> Self {
        Self {
            race: ConnectRace::new(addresses).with_last(last),
            connect_timeout,
            underway: FuturesUnordered::new(),
        }
    }

    /// The addresses that are underway or wait for their turn, as a list.
    pub(super) fn places(&self) -> String {
        let places: Vec<_> = self.race.left().map(SocketAddr::to_string).collect();
        places.join(", ")
    }

    /// The next attempt that ends; `None` when every address has been tried. After one that has connected
    /// nothing is underway until this is called again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no attempt.
    pub(super) async fn next(&mut self) -> Option<Attempted> {
        loop {
            let start = match self.race.poll(clock::now()) {
                RaceStep::Over => return None,
                RaceStep::Start(address) => {
                    let attempt = attempt(address, self.connect_timeout);
                    self.underway.push(Box::pin(attempt));
                    continue;
                }
                RaceStep::Wait(start) => start,
            };
            tokio::select! {
                biased;
                Some(attempted) = self.underway.next() => {
                    match attempted.result {
                        Ok(_) => {
                            self.race.handle_connected(attempted.address);
                            self.underway.clear();
                        }
                        Err(_) => self.race.handle_failed(attempted.address),
                    }
                    return Some(attempted);
                }
                () = until(start) => {}
            }
        }
    }
}

async fn until(start: Option<Instant>) {
    match start {
        Some(start) => sleep_until(start.into()).await,
        None => pending().await,
    }
}

async fn attempt(address: SocketAddr, connect_timeout: Duration) -> Attempted {
    let since = clock::now();
    let result = match timeout(connect_timeout, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => own_end(stream, address).map_err(AttemptFailure::Refused),
        Ok(Err(error)) => Err(AttemptFailure::Refused(error)),
        Err(_) => Err(AttemptFailure::TimedOut),
    };
    Attempted {
        address,
        since,
        result,
    }
}

fn own_end(stream: TcpStream, dialled: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
    let local = stream.local_addr()?;
    match is_self_connected(&stream, local, dialled) {
        true => Err(io::ErrorKind::ConnectionRefused.into()),
        false => Ok((stream, local)),
    }
}

/// Dialling a free local port again and again ends with TCP choosing that very port for our own
/// end: the stream is connected to itself, and keeps the bind end from ever taking its port.
pub(super) fn is_self_connected(
    stream: &TcpStream,
    local: SocketAddr,
    dialled: SocketAddr,
) -> bool {
    local.port() == dialled.port() && stream.peer_addr().is_ok_and(|peer| peer == local)
}

#[cfg(test)]
#[path = "tcp_race_tests.rs"]
mod tests;
