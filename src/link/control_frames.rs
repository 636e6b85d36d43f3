//! Control frames: heartbeats and acknowledgements, which go before all messages.
//!
//! Waking a task costs more than the write that it is woken for, and idle connections do nothing else than
//! send heartbeats. So the sweep, which is on the thread of the connection's task, writes them for it where
//! that is parked.

use std::io;

use super::link::{Link, wake_writer};
use super::state::LinkState;
use crate::id::MessageId;
use crate::sync::MutexGuard;
use crate::transport::HeartbeatWriter;
use crate::wire::{self, HEARTBEAT_FRAME, NotHandled, Verdict};

/// Control frames that a connection may owe before it stops reading new questions.
const MAX_CONTROL_BYTES: usize = 64 * 1024;

impl Link {
    /// Queues acknowledgements, in front of all messages that are not yet taken by the writer. False if
    /// the connection is gone.
    pub(crate) fn push_acks(&self, ids: &[MessageId]) -> bool {
        self.push_answers(ids, Ok(()), |control| {
            control.reserve(ids.len() * wire::ACK_FRAME_BYTES);
            for &id in ids {
                wire::put_ack(control, id);
            }
        })
    }

    /// The same for messages of which it is known what became of them: a REFUSED stands directly before the ACK
    /// of each that was not handled (WIRE §10.2).
    pub(crate) fn push_verdict(&self, ids: &[MessageId], verdict: Verdict) -> bool {
        let Err(reason) = verdict else {
            return self.push_acks(ids);
        };
        self.push_answers(ids, verdict, |control| {
            for &id in ids {
                wire::put_refused(control, id, reason, "");
                wire::put_ack(control, id);
            }
        })
    }

    /// Refuses a message that there was no room for. If it comes again, it is to be handled.
    pub(crate) fn turn_down(&self, id: MessageId, reason: NotHandled) {
        self.handle_loss(&[id]);
        self.push_control(|control| {
            wire::put_refused(control, id, reason, "");
            wire::put_ack(control, id);
        });
    }

    /// Queues a heartbeat for the connection to write.
    pub(crate) fn push_heartbeat(&self) {
        self.push_control(|control| control.extend_from_slice(&HEARTBEAT_FRAME));
    }

    /// Sends a heartbeat: by `write`, if the connection has nothing to write and waits for more;
    /// otherwise, and if `write` fails, the connection does. Called on the connection's own thread.
    pub(crate) fn write_heartbeat(&self, write: impl FnOnce(&[u8]) -> io::Result<usize>) {
        let mut state = self.lock();
        if state.is_closed() {
            return;
        }
        let written = match state.writer.is_parked() && state.queue.has_nothing_to_write() {
            // If it fails, the connection finds out why.
            true => write(&HEARTBEAT_FRAME).unwrap_or(0),
            // Whatever control frame waits to be written shows that we live. One that the kernel does not take is enough,
            // however long that lasts.
            false if state.queue.control_bytes() > 0 => return,
            false => {
                state
                    .queue
                    .put_control(|control| control.extend_from_slice(&HEARTBEAT_FRAME));
                wake_writer(state);
                return;
            }
        };
        put_rest(state, written);
    }

    /// Queues how many messages of the peer were handled.
    pub(crate) fn push_taken(&self, handled: u64) {
        self.push_control(|control| control.extend_from_slice(&wire::taken_frame(handled)));
    }

    /// Queues a frame about services, unless the peer has left too much unread. True if it is queued, or nobody will
    /// read it.
    pub(crate) fn push_about_services(&self, frame: &[u8]) -> bool {
        let mut state = self.lock();
        if state.is_closed() {
            return true;
        }
        if state.queue.control_bytes() + frame.len() > MAX_CONTROL_BYTES {
            return false;
        }
        state
            .queue
            .put_control(|control| control.extend_from_slice(frame));
        wake_writer(state);
        true
    }

    /// Heartbeats can be written from other threads.
    pub(crate) fn set_heartbeat_writer(&self, heartbeats: Option<HeartbeatWriter>) {
        self.lock().writer.set_heartbeats(heartbeats);
    }

    /// Sends a heartbeat from another thread than the connection's own, which is blocked. Only between two
    /// frames, and only what the kernel takes at once: there is nobody who could go on with it.
    pub(crate) fn beat_for_blocked_writer(&self) {
        let state = self.state.lock();
        if state.is_closed() {
            return;
        }
        if let Some(Ok(written)) = state.writer.try_heartbeat() {
            put_rest(state, written);
        }
    }

    /// Somebody came under the peer's name. Resolves when the peer has shown that it lives; if it
    /// has not, the link ends instead.
    pub(crate) async fn probe(&self) {
        self.peer.probe().ask(|| self.call_writer()).await;
    }

    /// True if the peer is to show that it lives.
    #[inline]
    pub(crate) fn is_probed(&self) -> bool {
        self.peer.probe().is_open()
    }

    /// The peer has shown that it lives.
    pub(crate) fn answer_probe(&self) {
        self.peer.probe().answer();
    }

    /// True if the peer has left so many answers unread that it is not to be read from.
    pub(crate) fn owes_too_much(&self) -> bool {
        let state = self.lock();
        state.queue.control_bytes() > MAX_CONTROL_BYTES
            || state.pressure.owes_too_much(state.bounds.queue())
    }

    fn push_control(&self, put: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.push_answers(&[], Ok(()), put)
    }

    /// Queues the frames that `put` writes about finished messages.
    #[inline]
    fn push_answers(
        &self,
        ids: &[MessageId],
        verdict: Verdict,
        put: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let mut state = self.lock();
        if state.is_closed() {
            return false;
        }
        state.note_finished(ids, verdict);
        state.queue.put_control(put);
        wake_writer(state);
        true
    }

    /// Queues a heartbeat, which the host of a peer that is gone answers with a reset, and wakes the
    /// connection even if the kernel takes no more of it.
    fn call_writer(&self) {
        self.push_heartbeat();
        let blocked = self.lock().writer.take_blocked();
        if let Some(blocked) = blocked {
            blocked.wake();
        }
    }
}

/// Has the writer go on with a heartbeat of which so much is written, before whatever else is queued.
fn put_rest(mut state: MutexGuard<'_, LinkState>, written: usize) {
    let rest = &HEARTBEAT_FRAME[written.min(HEARTBEAT_FRAME.len())..];
    if rest.is_empty() {
        return;
    }
    state
        .queue
        .put_control(|control| drop(control.splice(..0, rest.iter().copied())));
    let parked = state.writer.take_parked();
    state.writer.begin();
    drop(state);
    if let Some(parked) = parked {
        parked.wake();
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::io::Read;
    use std::sync::Arc;
    use std::task::Waker;

    use bytes::Bytes;

    use super::super::{Bound, Entry, LinkLimits, NextWrite, Target, WriteBatch};
    use super::*;
    use crate::id::Identity;
    use crate::limits::DeliveryGuarantee;
    use crate::transport::ByteStream;
    use crate::wire::ACK_FRAME_BYTES;

    fn link() -> Link {
        let limits = LinkLimits::of(8, 1024);
        let peer = Identity::from_bytes([7; 16]);
        Link::without_socket(peer, 1, limits)
    }

    /// All bytes that the connection writes until it parks.
    fn written(link: &Link) -> Vec<u8> {
        let mut batch = WriteBatch::default();
        let mut written = Vec::new();
        while link.next_write(&mut batch, Waker::noop()).0 == NextWrite::Write {
            written.extend_from_slice(&batch.control);
            written.extend(batch.block.iter().flat_map(|block| block.head().to_vec()));
            batch.written = batch.len();
        }
        written
    }

    #[test]
    fn a_connection_that_is_parked_is_not_woken_for_a_heartbeat() {
        let link = link();
        assert!(written(&link).is_empty());
        for _ in 0..3 {
            let mut beats = Vec::new();
            link.write_heartbeat(|bytes| {
                beats.extend_from_slice(bytes);
                Ok(bytes.len())
            });
            assert_eq!(beats, HEARTBEAT_FRAME);
        }
        assert!(written(&link).is_empty(), "there is nothing left to write");
    }

    #[test]
    fn a_connection_that_has_something_to_write_writes_its_heartbeat_itself() {
        let link = link();
        let no = |_: &[u8]| -> io::Result<usize> { panic!("it is not parked") };
        link.write_heartbeat(no);
        assert_eq!(written(&link), HEARTBEAT_FRAME);
        let payload = Bytes::from_static(b"payload");
        let mut entry = Entry::new(Target::Mode, DeliveryGuarantee::AtMostOnce, payload);
        link.push(&mut entry, Bound::Link).unwrap();
        link.write_heartbeat(no);
        let frames = written(&link);
        assert!(frames.starts_with(&HEARTBEAT_FRAME) && frames.ends_with(b"payload"));
        link.finish();
        link.write_heartbeat(no);
    }

    #[test]
    fn heartbeats_that_cannot_be_written_do_not_add_up() {
        let link = link();
        for _ in 0..100_000 {
            link.write_heartbeat(|_| panic!("it is not parked"));
        }
        assert!(!link.owes_too_much());
        assert_eq!(written(&link), HEARTBEAT_FRAME);
    }

    #[test]
    fn what_is_left_of_a_heartbeat_goes_before_what_was_queued_meanwhile() {
        let link = link();
        for taken in 0..HEARTBEAT_FRAME.len() {
            assert!(written(&link).is_empty());
            link.write_heartbeat(|_| match taken {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                taken => Ok(taken),
            });
            link.push_acks(&[MessageId::random()]);
            let written = written(&link);
            let rest = &HEARTBEAT_FRAME[taken..];
            assert!(written.starts_with(rest));
            assert_eq!(written.len(), rest.len() + ACK_FRAME_BYTES);
        }
    }

    #[test]
    fn a_link_that_has_been_written_keeps_no_room_for_what_may_come() {
        let link = link();
        for _ in 0..3 {
            let payload = Bytes::from_static(b"payload");
            let mut entry = Entry::new(Target::Mode, DeliveryGuarantee::AtMostOnce, payload);
            link.push(&mut entry, Bound::Link).unwrap();
            link.push_acks(&[MessageId::random()]);
            assert!(!written(&link).is_empty());
            assert!(link.lock().queue.is_bare());
        }
    }

    #[actix_rt::test]
    async fn another_thread_writes_heartbeats_between_frames_and_never_within_one() {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let stream = tokio::net::UnixStream::from_std(ours).unwrap();
        stream.writable().await.unwrap();
        let (_stream, writer) = ByteStream::Unix(stream).share();
        theirs.set_nonblocking(true).unwrap();
        // What another thread has written when it was asked to.
        let mut beats = |link: &Arc<Link>| {
            let link = Arc::clone(link);
            let thread = std::thread::spawn(move || link.beat_for_blocked_writer());
            thread.join().unwrap();
            let mut read = [0; 64];
            match theirs.read(&mut read) {
                Ok(count) => read[..count].to_vec(),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    Vec::new()
                }
            }
        };
        let link = Arc::new(link());
        link.set_heartbeat_writer(writer);
        assert!(beats(&link).is_empty(), "its first bytes are not written");
        assert!(written(&link).is_empty());
        assert_eq!(beats(&link), HEARTBEAT_FRAME);
        let push = |text: &'static str| {
            let payload = Bytes::from_static(text.as_bytes());
            let mut entry = Entry::new(Target::Mode, DeliveryGuarantee::AtMostOnce, payload);
            link.push(&mut entry, Bound::Link).unwrap();
        };
        push("payload");
        assert_eq!(beats(&link), HEARTBEAT_FRAME, "nothing of it is taken");
        let mut batch = WriteBatch::default();
        assert_eq!(
            link.next_write(&mut batch, Waker::noop()).0,
            NextWrite::Write
        );
        assert!(beats(&link).is_empty(), "it is being written");
        batch.written = batch.len();
        assert_eq!(
            link.next_write(&mut batch, Waker::noop()).0,
            NextWrite::Park
        );
        assert_eq!(beats(&link), HEARTBEAT_FRAME);
        link.set_heartbeat_writer(None);
        assert!(beats(&link).is_empty());
    }
}
