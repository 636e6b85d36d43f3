//! Messages in turn where many links are full. Nothing is written, unless a test does it.

use crate::core::SocketCore;
use crate::link::Entry;
use crate::link::Link;
use crate::link::Target;
use crate::sync::Ordering;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;

use super::tests::{Wakes, core, join_many, leave, poll, send};
use crate::id::MessageId;
use crate::limits::{Capacity, DeliveryGuarantee, Overflow};
use crate::link::{NextWrite, WriteBatch};
use crate::socket::Sending;
use crate::wire::{self, Envelope, Walk};

/// Links of three messages each.
fn crowded(links: u32, overflow: Overflow) -> (Arc<SocketCore>, Vec<Arc<Link>>) {
    let core = core(|config| {
        config.limits.link_capacity.messages = 3;
        config.limits.link_capacity.bytes = 2048;
        config.limits.unacknowledged_capacity.messages = 2;
        config.limits.link_overflow = overflow;
    });
    let links = join_many(&core, 0..links);
    (core, links)
}

fn fill(core: &Arc<SocketCore>) -> usize {
    (0..)
        .take_while(|_| send(core, Target::Mode).try_now().is_ok())
        .count()
}

/// Writes all that is queued, as the connection does. Yields the ids of what wants to be acknowledged.
fn write(core: &Arc<SocketCore>, link: &Link) -> Vec<MessageId> {
    let mut batch = WriteBatch::default();
    let mut ids = Vec::new();
    loop {
        let (next, freed) = link.next_write(&mut batch, Waker::noop());
        if freed {
            link.room.notify();
            core.router.note_room();
        }
        if next != NextWrite::Write {
            return ids;
        }
        let mut left = batch.block.as_ref().map_or(&[][..], |block| block.head());
        while let Ok(Walk::Frame(frame)) = wire::walk(left, u32::MAX) {
            if let Ok(Envelope::DataReq(id, _)) = Envelope::decode(frame.envelope) {
                ids.push(id);
            }
            left = &left[frame.len()..];
        }
        batch.written = batch.len();
    }
}

#[test]
fn those_that_have_room_among_many_full_ones_get_shares_that_are_fair_within_one() {
    let (core, links) = crowded(300, Overflow::Fail);
    assert_eq!(fill(&core), 3 * 300);
    let roomy = [0, 1, 127, 128, 200, 201, 202, 299];
    for place in roomy {
        write(&core, &links[place]);
    }
    for sent in 1..=3 * roomy.len() {
        assert!(send(&core, Target::Mode).try_now().is_ok());
        let shares = roomy.map(|place| links[place].load().frames);
        assert_eq!(shares.iter().sum::<usize>(), sent);
        let (least, most) = (shares.iter().min(), shares.iter().max());
        assert!(most.unwrap() - least.unwrap() <= 1, "{shares:?}");
    }
    assert_eq!(fill(&core), 0);
}

#[test]
fn one_who_waits_while_all_are_full_is_told_of_a_join_that_is_published_later() {
    let (core, _links) = crowded(100, Overflow::Wait);
    fill(&core);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut waiting = std::pin::pin!(send(&core, Target::Mode));
    let cx = &mut Context::from_waker(&waker);
    assert!(waiting.as_mut().poll(cx).is_pending());
    let joined = join_many(&core, 100..101);
    assert!(waiting.as_mut().poll(cx).is_pending(), "not published yet");
    let before = wakes.0.load(Ordering::SeqCst);
    core.router.publish_joins();
    assert_eq!(wakes.0.load(Ordering::SeqCst), before + 1);
    assert!(waiting.as_mut().poll(cx).is_ready());
    assert_eq!(joined[0].load().frames, 1);
}

#[test]
fn what_waits_when_all_are_full_goes_to_whoever_writes_first() {
    let (core, links) = crowded(200, Overflow::Wait);
    fill(&core);
    let mut waiting = send(&core, Target::Mode);
    assert!(poll(&mut waiting).is_pending());
    write(&core, &links[150]);
    assert!(poll(&mut waiting).is_ready());
    assert_eq!(links[150].load().frames, 1);
}

/// The model asks every link.
#[test]
fn a_message_is_refused_only_while_no_link_at_all_would_take_it() {
    let mut refused = 0;
    for seed in 1..40_u64 {
        let (core, mut links) = crowded(140, Overflow::Fail);
        let mut next = 140;
        let mut dice = seed;
        let mut roll = |sides: usize| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            usize::try_from(dice % sides as u64).unwrap()
        };
        for _ in 0..3000 {
            let place = roll(links.len());
            match roll(160) {
                0 => {
                    let link = links.swap_remove(place);
                    leave(&core, &link);
                }
                1 => {
                    links.extend(join_many(&core, next..next + 1));
                    next += 1;
                }
                2 => core.router.publish_joins(),
                3 => {
                    let capacity = Capacity::new(2 + roll(3), 1024 * (1 + roll(3)));
                    core.reconfigure(|limits| {
                        limits.link_capacity = capacity;
                        Ok(())
                    })
                    .unwrap();
                }
                4 => links[place].abort(),
                5..30 => {
                    let ids = write(&core, &links[place]);
                    let ids = &ids[..roll(ids.len() + 1)];
                    links[place].acknowledge(ids, core.lifecycle.uptime());
                    core.router.note_room();
                }
                _ => {
                    let guarantees = [
                        (
                            DeliveryGuarantee::AtLeastOnce,
                            DeliveryGuarantee::AtLeastOnce,
                        ),
                        (DeliveryGuarantee::AtMostOnce, DeliveryGuarantee::AtMostOnce),
                    ];
                    let (guarantee, promise) = guarantees[roll(3).min(1)];
                    let payload = Bytes::from(vec![7; [0, 1, 200, 1200][roll(4)]]);
                    let mut entry = Entry::new(Target::Mode, guarantee, payload.clone());
                    core.router.look_at_routes();
                    let routes = core.router.routes.load_full();
                    let takes = |link: &Arc<Link>| link.would_take(&entry) == Some(true);
                    if routes.is_empty() {
                        // What was given back waits in the outbox, and all goes there.
                        links.iter().for_each(|link| drop(write(&core, link)));
                        continue;
                    }
                    let expected = routes.iter().any(takes);
                    if roll(8) == 0 {
                        // Without a look at who is there: the list is the published one.
                        let turn = routes.push_in_turn(roll(routes.len()), &mut entry);
                        assert_eq!(turn.is_ok(), expected, "seed {seed}");
                        continue;
                    }
                    let expected = expected
                        || routes.iter().any(|link| link.is_closed())
                            && core.router.links().iter().any(takes);
                    let sending = Sending::new(&core.router, Target::Mode, payload);
                    let sent = sending.guarantee(promise).try_now();
                    refused += usize::from(sent.is_err());
                    assert_eq!(sent.is_ok(), expected, "seed {seed}");
                }
            }
        }
    }
    assert!(refused > 4000, "{refused}");
}
