//! An admitted connection at work: one future for its reader and its writer.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::AsyncWrite;
use tokio::time::Sleep;

use super::handshake::Opened;
use super::liveness_sweep::SweptConnection;
use super::membership::Membership;
use super::reader::Reader;
use super::taken_reports;
use super::writer::{Written, poll_write};
use crate::address::{RefusedBy, WebSocketViolation};
use crate::clock;
use crate::engine::{ReaderEvent, SessionEnd, SessionPhase, SessionStep, WriterEnd};
use crate::event::{ConnectionStage, DownReason, Party};
use crate::id::Identity;
use crate::limits::Timers;
use crate::link::Link;
use crate::transport::{ByteStream, Dismissal, refusal_of};
use crate::wire::Oversize;

/// After our writing side has ended, how long the peer has to end its own. Closing over unread
/// bytes would reset the connection and lose what the peer had not read. After our writing side
/// has failed, how often it is looked whether what the peer had sent before may wait for room any longer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Turns of reading and writing in one poll, before other tasks of the arbiter get theirs.
const TURNS: usize = 32;

/// A stream whose peer is still to be told why the connection has ended.
pub(crate) type Farewell = (ByteStream, Dismissal);

/// An admitted connection. Ends when the connection has ended; dropping it ends the connection.
#[derive(Debug)]
pub(crate) struct Session {
    /// With the byte stream, which so is closed before the peer is announced as down.
    swept: Rc<SweptConnection>,
    membership: Membership,
    reader: Reader,
    phase: SessionPhase,
    ending: Option<Box<CloseLimit>>,
    /// Who began it, where writing has failed.
    failed_by: Party,
    /// How often in a row the writer has made way for readers.
    made_way: u8,
}

/// Data of the phases with a time limit.
#[derive(Debug)]
struct CloseLimit {
    limit: Pin<Box<Sleep>>,
    /// Text of the error, where writing has failed.
    write_error: String,
    /// Messages that handlers were through with when that was looked at last, and since when it is so many.
    finished: (usize, Instant),
}

impl Session {
    pub(super) fn new(opened: Opened) -> Self {
        Self::watched(opened, SweptConnection::start)
    }

    /// An admitted connection that its creator sweeps.
    pub(crate) fn watched(
        opened: Opened,
        watch: impl FnOnce(Arc<Link>, ByteStream, Arc<Timers>) -> Rc<SweptConnection>,
    ) -> Self {
        let Opened {
            stream,
            membership,
            behind_hello,
        } = opened;
        let core = Arc::clone(membership.core());
        let link = Arc::clone(membership.link());
        Self {
            swept: watch(Arc::clone(&link), stream, core.limits.timers()),
            membership,
            reader: Reader::new(core, link, behind_hello),
            phase: SessionPhase::Running,
            ending: None,
            failed_by: Party::Peer,
            made_way: 0,
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
            .then(|| (self.swept.stream.borrow_mut().take(), Dismissal::TooLarge));
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

    /// True if the writer came to an end of some kind and the phase has changed.
    fn poll_writer(&mut self, cx: &mut Context<'_>) -> bool {
        if self.phase != SessionPhase::Running {
            return false;
        }
        match poll_write(&mut self.membership, &self.swept, &mut self.made_way, cx) {
            Ok(Written::Parked | Written::Blocked) => return false,
            Ok(Written::MadeWay) => {
                cx.waker().wake_by_ref();
                return false;
            }
            Ok(Written::Finished) => {
                self.phase = self.phase.after_writing(WriterEnd::Finished);
                self.start_limit(String::new());
            }
            Ok(Written::Closed) => self.phase = self.phase.after_writing(WriterEnd::LinkClosed),
            Err(error) => {
                self.reader.owe_nothing();
                // Nobody is to send by it while the rest is read.
                self.membership.link().finish();
                self.phase = self.phase.after_writing(WriterEnd::Failed);
                self.start_limit(error.to_string());
                self.failed_by = began_by(&error);
            }
        }
        true
    }

    fn start_limit(&mut self, write_error: String) {
        let finished = self.membership.core().inbound.subscriptions.finished();
        self.ending = Some(Box::new(CloseLimit {
            limit: Box::pin(tokio::time::sleep(CLOSE_TIMEOUT)),
            write_error,
            finished: (finished, clock::now()),
        }));
    }

    /// The limit of a connection that carries nothing more than what the peer had sent.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.poll_limit(cx).is_ready() {
            if !self.may_go_on() {
                return Poll::Ready(());
            }
            if let Some(ending) = &mut self.ending {
                ending.limit = Box::pin(tokio::time::sleep(CLOSE_TIMEOUT));
            }
        }
        Poll::Pending
    }

    /// True while what the peer had sent waits for handlers that go on, and nothing waits for the end of the connection.
    /// There is no more of it than the kernel holds, because the peer has ended its side, or sees that we have ended ours.
    fn may_go_on(&mut self) -> bool {
        let core = self.membership.core();
        let waits_for_handlers = self.swept.is_paused()
            && !self.reader.is_held()
            && core.lifecycle.is_open()
            && core.lifecycle.is_receiving()
            && !self.membership.is_waited_for();
        let (now, finished) = (clock::now(), core.inbound.subscriptions.finished());
        let patience = core.limits.timers().handler_patience;
        let Some(ending) = &mut self.ending else {
            return false;
        };
        if ending.finished.0 != finished {
            ending.finished = (finished, now);
        }
        waits_for_handlers && now.saturating_duration_since(ending.finished.1) < patience
    }

    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.ending {
            Some(ending) => ending.limit.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    fn poll_reader(&mut self, cx: &mut Context<'_>) -> Result<bool, Poll<Option<Farewell>>> {
        let read = {
            let mut stream = self.swept.stream.borrow_mut();
            self.reader.poll_read(&mut stream, &self.swept, cx)
        };
        let event = read.map_err(|error| self.fail(&error))?;
        if matches!(event, ReaderEvent::Paused) {
            taken_reports::note_paused(&self.swept);
        }
        match self.phase.handle_read(event) {
            SessionStep::Continue => Ok(true),
            SessionStep::Wait => Ok(false),
            SessionStep::WaitUntilLimit if self.poll_rest(cx).is_pending() => Ok(false),
            SessionStep::WaitUntilLimit => {
                self.membership.log_unread();
                Err(self.end_as(SessionEnd::WriteFailed))
            }
            SessionStep::End(end) => Err(self.end_as(end)),
        }
    }

    #[cold]
    fn end_as(&mut self, end: SessionEnd) -> Poll<Option<Farewell>> {
        let (reason, by) = match end {
            SessionEnd::WriteFailed => {
                let ending = self.ending.take();
                let error = ending.map_or_else(String::new, |ending| ending.write_error);
                (DownReason::Transport(error), self.failed_by)
            }
            SessionEnd::Truncated => (DownReason::Truncated, Party::Peer),
            SessionEnd::ClosedByPeer => (DownReason::Closed, Party::Peer),
            SessionEnd::ClosedByUs => (DownReason::SocketClosed, Party::Us),
            SessionEnd::Oversize(Oversize { announced, limit }) => {
                (DownReason::Oversize { announced, limit }, Party::Us)
            }
        };
        self.end(reason, by)
    }

    /// Ends our side of the stream, then waits for the peer's, with a limit.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.phase {
            SessionPhase::Running | SessionPhase::WriteFailed => Poll::Pending,
            SessionPhase::Aborted => Poll::Ready(()),
            SessionPhase::ShuttingDown => {
                if self.poll_limit(cx).is_ready() {
                    return Poll::Ready(());
                }
                let stream = &mut *self.swept.stream.borrow_mut();
                if Pin::new(stream).poll_shutdown(cx).is_ready() {
                    match self.membership.core().lifecycle.is_open() {
                        true => self.reader.return_requests(),
                        false => self.reader.discard(),
                    }
                    self.phase = self.phase.after_shutdown();
                }
                Poll::Pending
            }
            SessionPhase::Discarding => {
                if self.poll_rest(cx).is_pending() {
                    return Poll::Pending;
                }
                if self.swept.is_paused() && !self.reader.is_discarding() {
                    // What has no room yet is accounted for.
                    self.reader.discard();
                    self.start_limit(String::new());
                    return Poll::Pending;
                }
                self.membership.log_unended();
                Poll::Ready(())
            }
        }
    }
}

/// The rule that the peer broke, if that is the error.
fn violation(error: &io::Error) -> Option<WebSocketViolation> {
    error.get_ref()?.downcast_ref().copied()
}

/// The side that ended a connection which failed with this error.
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
        if let Some(reason) = this.swept.poll_verdict(cx.waker()) {
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
