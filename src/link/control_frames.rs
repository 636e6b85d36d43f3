//! Control frames: heartbeats and acknowledgements, which go before all messages.
//!
//! Waking a task costs more than the write that it is woken for, and idle connections do nothing else than
//! send heartbeats. So the sweep, which is on the thread of the connection's task, writes them for it where
//! that is parked.

use std::io;

use super::link::{Link, wake_writer};
use crate::id::MessageId;
use crate::wire::{self, HEARTBEAT_FRAME, Verdict};

/// Control frames that a connection may owe before it stops reading new questions.
const MAX_CONTROL_BYTES: usize = 64 * 1024;

impl Link {
    /// Queues acknowledgements, in front of all messages that are not yet taken by the writer. False if
    /// the connection is gone.
    pub(crate) fn push_acks(&self, ids: &[MessageId]) -> bool {
        self.push_control(|control| {
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
        self.push_control(|control| {
            for &id in ids {
                wire::put_refused(control, id, reason, "");
                wire::put_ack(control, id);
            }
        })
    }

    /// Queues a heartbeat for the connection to write.
    pub(crate) fn push_heartbeat(&self) {
        self.push_control(|control| control.extend_from_slice(&HEARTBEAT_FRAME));
    }

    /// Sends a heartbeat: by `write`, if the connection has nothing to write and waits for more;
    /// otherwise, and if `write` fails, the connection does. Called on the connection's own thread, so
    /// that it writes nothing meanwhile.
    pub(crate) fn beat(&self, write: impl FnOnce(&[u8]) -> io::Result<usize>) {
        if !self.is_parked() {
            self.push_heartbeat();
            return;
        }
        // If it fails, the connection finds out why.
        let written = write(&HEARTBEAT_FRAME).unwrap_or(0);
        let rest = &HEARTBEAT_FRAME[written.min(HEARTBEAT_FRAME.len())..];
        if !rest.is_empty() {
            // Before whatever was queued since.
            self.push_control(|control| drop(control.splice(..0, rest.iter().copied())));
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
        let mut state = self.lock();
        if state.is_closed() {
            return false;
        }
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

    fn is_parked(&self) -> bool {
        let state = self.lock();
        state.writer.is_parked() && state.queue.has_nothing_to_write()
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::task::Waker;

    use bytes::Bytes;

    use super::super::{Bound, Entry, LinkLimits, NextWrite, Target, WriteBatch};
    use super::*;
    use crate::id::Identity;
    use crate::limits::DeliveryGuarantee;
    use crate::wire::ACK_FRAME_BYTES;

    fn link() -> Link {
        let limits = LinkLimits::of(8, 1024);
        let peer = Identity::from_bytes([7; 16]);
        Link::without_socket(peer, 1, limits)
    }

    /// All bytes that the connection writes until it parks.
    fn written(link: &Link) -> Vec<u8> {
        let mut hand = WriteBatch::default();
        let mut written = Vec::new();
        while link.next_write(&mut hand, Waker::noop()).0 == NextWrite::Write {
            written.extend_from_slice(&hand.control);
            written.extend(hand.block.iter().flat_map(|block| block.head().to_vec()));
            hand.written = hand.len();
        }
        written
    }

    #[test]
    fn a_connection_that_is_parked_is_not_woken_for_a_heartbeat() {
        let link = link();
        assert!(written(&link).is_empty());
        for _ in 0..3 {
            let mut beats = Vec::new();
            link.beat(|bytes| {
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
        link.beat(no);
        assert_eq!(written(&link), HEARTBEAT_FRAME);
        let payload = Bytes::from_static(b"payload");
        let mut entry = Entry::new(Target::Mode, DeliveryGuarantee::AtMostOnce, payload);
        link.push(&mut entry, Bound::Link).unwrap();
        link.beat(no);
        let frames = written(&link);
        assert!(frames.starts_with(&HEARTBEAT_FRAME) && frames.ends_with(b"payload"));
        link.finish();
        link.beat(no);
    }

    #[test]
    fn what_is_left_of_a_heartbeat_goes_before_what_was_queued_meanwhile() {
        let link = link();
        for taken in 0..HEARTBEAT_FRAME.len() {
            assert!(written(&link).is_empty());
            link.beat(|_| {
                link.push_acks(&[MessageId::random()]);
                match taken {
                    0 => Err(io::ErrorKind::WouldBlock.into()),
                    taken => Ok(taken),
                }
            });
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
}
