//! An admitted connection at work: one future for its reader and its writer.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::Sleep;

use super::handshake::Opened;
use super::liveness_sweep::Pulse;
use super::membership::Membership;
use super::reader::{Read, Reader};
use super::writer::{Written, poll_write};
use crate::address::{RefusedBy, WebSocketViolation};
use crate::event::{ConnectionStage, DownReason, Party};
use crate::id::Identity;
use crate::limits::Timers;
use crate::link::Link;
use crate::transport::{ByteStream, Dismissal, refusal_of};

/// After our writing side has ended, how long the peer has to end its own. Closing over unread
/// bytes would reset the connection and lose what the peer had not read. After our writing side
/// has failed, how long what the peer had sent before waits for room.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Turns of reading and writing in one poll, before other tasks of the arbiter get theirs.
const TURNS: usize = 32;

/// A stream whose peer is still to be told why the connection has ended.
pub(crate) type Farewell = (ByteStream, Dismissal);

/// An admitted connection. Ends when the connection has ended; dropping it ends the connection.
#[derive(Debug)]
pub(crate) struct Session {
    /// With the byte stream, which so is closed before the peer is announced as down.
    pulse: Rc<Pulse>,
    membership: Membership,
    reader: Reader,
    state: State,
}

#[derive(Debug)]
enum State {
    Running,
    /// The kernel takes no more of us; what the peer has sent is still read, within the limit.
    WriteFailed(Box<(String, Pin<Box<Sleep>>)>),
    /// Someone on our side ended the connection.
    Aborted,
    /// Everything is written: the writing side is being ended, within the limit of what follows.
    ShuttingDown(Pin<Box<Sleep>>),
    /// Waiting for the peer to end its side.
    Discarding(Pin<Box<Sleep>>),
}

impl Session {
    pub(super) fn new(opened: Opened) -> Self {
        Self::watched(opened, Pulse::start)
    }

    /// An admitted connection with a pulse that is swept by whoever makes it.
    pub(crate) fn watched(
        opened: Opened,
        watch: impl FnOnce(Arc<Link>, ByteStream, Arc<Timers>) -> Rc<Pulse>,
    ) -> Self {
        let Opened {
            stream,
            membership,
            behind_hello,
        } = opened;
        let core = Arc::clone(membership.core());
        let link = Arc::clone(membership.link());
        Self {
            pulse: watch(Arc::clone(&link), stream, core.limits.timers()),
            membership,
            reader: Reader::new(core, link, behind_hello),
            state: State::Running,
        }
    }

    /// The socket at the other end.
    pub(super) fn peer(&self) -> Identity {
        self.membership.link().peer()
    }

    /// The connection's own code has panicked.
    pub(super) fn crash(&mut self, message: &str) {
        let reason = DownReason::Crashed {
            stage: ConnectionStage::Session,
            message: message.to_owned(),
        };
        self.membership.end_with(reason, Party::Us);
    }

    fn end(&mut self, reason: DownReason, by: Party) -> Poll<Option<Farewell>> {
        let farewell = matches!(reason, DownReason::Oversize { .. })
            .then(|| (self.pulse.stream.borrow_mut().take(), Dismissal::TooLarge));
        self.membership.end_with(reason, by);
        Poll::Ready(farewell)
    }

    fn fail(&mut self, error: &io::Error) -> Poll<Option<Farewell>> {
        let reason = match violation(error) {
            Some(violation) => DownReason::WebSocket(violation),
            None => DownReason::Transport(error.to_string()),
        };
        self.end(reason, began_by(error))
    }

    /// True if the writer came to an end of some kind and the state has changed.
    fn poll_writer(&mut self, cx: &mut Context<'_>) -> bool {
        if !matches!(self.state, State::Running) {
            return false;
        }
        let written = poll_write(&mut self.membership, &self.pulse, cx);
        self.state = match written {
            Ok(Written::Parked | Written::Blocked) => return false,
            Ok(Written::Finished) => {
                State::ShuttingDown(Box::pin(tokio::time::sleep(CLOSE_TIMEOUT)))
            }
            Ok(Written::Closed) => State::Aborted,
            Err(error) => {
                self.reader.owe_nothing();
                let limit = Box::pin(tokio::time::sleep(CLOSE_TIMEOUT));
                State::WriteFailed(Box::new((error.to_string(), limit)))
            }
        };
        true
    }

    fn poll_reader(&mut self, cx: &mut Context<'_>) -> Result<bool, Poll<Option<Farewell>>> {
        let read = {
            let mut stream = self.pulse.stream.borrow_mut();
            self.reader.poll_read(&mut stream, &self.pulse, cx)
        };
        match read {
            Ok(Read::Progress) => Ok(true),
            Ok(Read::Drained) => Ok(!matches!(self.state, State::Running)),
            Ok(Read::Yielded) => Ok(false),
            Ok(read @ (Read::Waiting | Read::Paused)) => match &mut self.state {
                State::WriteFailed(failure) => {
                    let (error, limit) = &mut **failure;
                    if matches!(read, Read::Paused) && limit.as_mut().poll(cx).is_pending() {
                        return Ok(false);
                    }
                    let reason = DownReason::Transport(std::mem::take(error));
                    Err(self.end(reason, Party::Peer))
                }
                State::Running | State::Aborted | State::ShuttingDown(_) | State::Discarding(_) => {
                    Ok(false)
                }
            },
            Ok(Read::Ended { truncated: true }) => {
                Err(self.end(DownReason::Truncated, Party::Peer))
            }
            Ok(Read::Ended { truncated: false }) => Err(match &self.state {
                State::Running | State::WriteFailed(_) => self.end(DownReason::Closed, Party::Peer),
                State::Aborted | State::ShuttingDown(_) | State::Discarding(_) => {
                    self.end(DownReason::SocketClosed, Party::Us)
                }
            }),
            Ok(Read::Oversize(oversize)) => {
                let reason = DownReason::Oversize {
                    announced: oversize.announced,
                    limit: oversize.limit,
                };
                Err(self.end(reason, Party::Us))
            }
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Ends our side of the stream, then waits for the peer's, with a limit.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match std::mem::replace(&mut self.state, State::Aborted) {
            State::ShuttingDown(mut limit) => {
                if limit.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                // An error means that the peer is gone already and has ended its side too.
                self.state = match Pin::new(&mut *self.pulse.stream.borrow_mut()).poll_shutdown(cx)
                {
                    Poll::Pending => State::ShuttingDown(limit),
                    Poll::Ready(_) => {
                        self.reader.discard();
                        State::Discarding(limit)
                    }
                };
                Poll::Pending
            }
            State::Discarding(mut limit) => {
                let over = limit.as_mut().poll(cx);
                self.state = State::Discarding(limit);
                over
            }
            State::Aborted => Poll::Ready(()),
            state @ (State::Running | State::WriteFailed(_)) => {
                self.state = state;
                Poll::Pending
            }
        }
    }
}

/// The rule that the peer broke, if that is the error.
fn violation(error: &io::Error) -> Option<WebSocketViolation> {
    error.get_ref()?.downcast_ref().copied()
}

/// Who ended a connection that failed with this error.
fn began_by(error: &io::Error) -> Party {
    if violation(error).is_some() {
        return Party::Us;
    }
    if let Some((RefusedBy::Peer, _)) = refusal_of(error) {
        return Party::Peer;
    }
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Party::Peer,
        // Timeouts and unreachable hosts, and what arrives other than it was encrypted.
        _ => Party::Network,
    }
}

impl Future for Session {
    type Output = Option<Farewell>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        #[cfg(feature = "test-util")]
        assert!(!this.membership.link().is_crashing(), "on demand");
        if let Some(reason) = this.pulse.poll_verdict(cx.waker()) {
            return this.end(reason, Party::Us);
        }
        for _ in 0..TURNS {
            let ended = this.poll_writer(cx);
            if this.poll_shutdown(cx).is_ready() {
                return this.end(DownReason::SocketClosed, Party::Us);
            }
            match this.poll_reader(cx) {
                Ok(progress) if progress || ended => {}
                Ok(_) => return Poll::Pending,
                Err(end) => return end,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
