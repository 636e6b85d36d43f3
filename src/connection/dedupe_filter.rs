//! Takes repetitions out of a chunk before it is handed on.

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::oneshot;

use crate::core::SocketCore;
use crate::engine::{Repetition, Sighting};
use crate::id::MessageId;
use crate::link::Link;
use crate::wire::{self, Envelope, Verdict, Walk};

/// Takes out repetitions, and answers them: those of messages that this connection has brought already, which
/// are `again`, and on sockets that dedupe those of messages that the peer has sent by others. Yields the frames
/// to deliver and the number of their messages; and, if those are to be handed on only then, a channel that ends once it is
/// committed that they are.
pub(super) fn skip_repetitions(
    core: &SocketCore,
    link: &Link,
    again: Vec<Repetition>,
    frames: Bytes,
    messages: usize,
) -> (Bytes, usize, Option<oneshot::Receiver<()>>) {
    let notes = core.router.stores_window();
    let mut again = again.into_iter().peekable();
    let mut place = 0;
    let mut finished: Vec<(MessageId, Verdict)> = Vec::new();
    let mut repeated = 0;
    let mut new: Vec<MessageId> = Vec::new();
    // Once there is a repetition, what is to be delivered is copied here.
    let mut kept: Option<BytesMut> = None;
    let mut at = 0;
    while let Ok(Walk::Frame(frame)) = wire::walk(&frames[at..], u32::MAX) {
        let range = at..at + frame.len();
        let sighting = match Envelope::decode(frame.envelope) {
            Ok(Envelope::DataReq(id, _)) => {
                let known = again.next_if(|(at, ..)| *at == place);
                place += 1;
                let sighting = match known {
                    Some((_, _, sighting)) => sighting,
                    None => link.handle_arrival(&*core.router, id),
                };
                if notes && sighting == Sighting::New {
                    new.push(id);
                }
                if let Sighting::Finished(verdict) = sighting {
                    finished.push((id, verdict));
                }
                sighting
            }
            Ok(_) | Err(_) => Sighting::New,
        };
        match (sighting, &mut kept) {
            (Sighting::New, None) => {}
            (Sighting::New, Some(kept)) => kept.put_slice(&frames[range.clone()]),
            (Sighting::InHand | Sighting::Finished(_), copied) => {
                repeated += 1;
                copied.get_or_insert_with(|| BytesMut::from(&frames[..at]));
            }
        }
        at = range.end;
    }
    let noted = note_in_hand(link, &new);
    let Some(kept) = kept else {
        return (frames, messages, noted);
    };
    core.counters.note_duplicates(repeated);
    tracing::debug!(peer = %link.peer(), repeated, acknowledged = finished.len(), "repeated messages");
    for (id, verdict) in finished {
        link.push_verdict(&[id], verdict);
    }
    (kept.freeze(), messages - repeated, noted)
}

fn note_in_hand(link: &Link, new: &[MessageId]) -> Option<oneshot::Receiver<()>> {
    if new.is_empty() {
        return None;
    }
    let (sender, noted) = oneshot::channel();
    // The reader may be gone by then.
    let when_noted = move || {
        let _ = sender.send(());
    };
    link.note_in_hand(new, when_noted).then_some(noted)
}
