//! Several peers: whose turn it is, and batches of what is published to all of them.

use super::*;
use crate::link::{Attempt, Courtesy};

fn peer(core: &Arc<SocketCore>, number: u8) -> Arc<Link> {
    let (weak, peer) = (
        Arc::downgrade(&core.router),
        Identity::from_bytes([number; 16]),
    );
    Arc::new(Link::new(peer, number.into(), weak, limits(1), Vec::new()))
}

/// Sends as a task does that waits for its turn.
fn send_in_turn(core: &SocketCore, text: &'static str) {
    let mut place = Place::new();
    let mut entry = message(text);
    block_on(poll_fn(|cx| {
        place.poll(core.router.room(), cx, || {
            core.router.try_take(&mut entry).ok()
        })
    }));
}

/// The writer writes a block, which makes room.
fn make_room(core: &SocketCore, link: &Link) {
    let mut batch = WriteBatch::default();
    for _ in 0..2 {
        core.router.next_write(link, &mut batch, Waker::noop());
    }
}

/// Two links that are full, of one message each.
fn full_links() -> (Arc<SocketCore>, [Arc<Link>; 2]) {
    let core = core();
    let links = [peer(&core, 1), peer(&core, 2)];
    for link in &links {
        core.router.join(link, clock::now());
        link.set_limits(limits(1), 1 << 20);
    }
    for text in ["a", "b"] {
        core.router.try_take(&mut message(text)).unwrap();
    }
    (core, links)
}

#[test]
fn loom_a_sender_in_turn_gets_the_room_of_whichever_link_has_some() {
    loom::model(|| {
        let (core, links) = full_links();
        assert!(core.router.try_take(&mut message("c")).is_err());
        let sender = {
            let core = Arc::clone(&core);
            thread::spawn(move || send_in_turn(&core, "c"))
        };
        make_room(&core, &links[1]);
        sender.join().unwrap();
        assert_eq!((links[0].load().frames, links[1].load().frames), (1, 1));
    });
}

#[test]
fn loom_a_refusal_and_room_that_come_together_leave_no_link_unseen() {
    loom::model(|| {
        let (core, links) = full_links();
        let others = [1, 0].map(|full| {
            let (core, link) = (Arc::clone(&core), Arc::clone(&links[full]));
            thread::spawn(move || {
                if full == 0 {
                    make_room(&core, &link);
                } else {
                    let _ = core.router.try_take(&mut message("c"));
                }
            })
        });
        make_room(&core, &links[1]);
        for other in others {
            other.join().unwrap();
        }
        // Whoever looked, and whenever: there was room for two.
        while core.router.try_take(&mut message("d")).is_ok() {}
        assert_eq!((links[0].load().frames, links[1].load().frames), (1, 1));
    });
}

#[test]
fn loom_a_sender_in_turn_finds_the_room_of_a_link_that_joins_meanwhile() {
    loom::model(|| {
        let (core, _links) = full_links();
        let sender = {
            let core = Arc::clone(&core);
            thread::spawn(move || send_in_turn(&core, "c"))
        };
        let third = peer(&core, 3);
        core.router.join(&third, clock::now());
        sender.join().unwrap();
        assert_eq!(third.load().frames, 1);
    });
}

/// Number of messages that a writer takes which parks between messages and gathers when it has nothing else to do.
fn write_published(core: &SocketCore, link: &Link, batch: &mut WriteBatch) -> usize {
    block_on(poll_fn(|cx| {
        match core.router.next_write(link, batch, cx.waker()) {
            NextWrite::Park => Poll::Pending,
            next => {
                assert_eq!(next, NextWrite::Write);
                Poll::Ready(batch.len() / 6)
            }
        }
    }))
}

fn publisher(links: &[u8]) -> (Arc<SocketCore>, Vec<Arc<Link>>) {
    let config = Config {
        send_mode: SendMode::Publish,
        ..Config::new()
    };
    let core = SocketCore::new(config, clock::now());
    let links: Vec<_> = links.iter().map(|n| peer(&core, *n)).collect();
    for link in &links {
        core.router.join(link, clock::now());
    }
    (core, links)
}

#[test]
fn loom_what_is_gathered_while_a_writer_parks_is_written_without_another_message() {
    loom::model(|| {
        let (core, links) = publisher(&[1, 2]);
        let writer = {
            let (core, link) = (Arc::clone(&core), Arc::clone(&links[0]));
            thread::spawn(move || {
                let (mut batch, mut written) = (WriteBatch::default(), 0);
                while written < 2 {
                    written += write_published(&core, &link, &mut batch);
                }
            })
        };
        for text in ["a", "b"] {
            let taken = core
                .router
                .try_take_with(&mut message(text), Courtesy::HasYielded);
            assert!(taken.is_ok());
        }
        writer.join().unwrap();
    });
}

#[test]
fn loom_a_batch_that_is_handed_out_while_another_begins_comes_first() {
    loom::model(|| {
        let (core, links) = publisher(&[1, 2]);
        let publish = |text| {
            let mut message = message(text);
            let taken = core
                .router
                .try_take_with(&mut message, Courtesy::HasYielded);
            assert!(matches!(taken, Ok(Attempt::Taken)));
        };
        publish("a");
        let other = {
            let core = Arc::clone(&core);
            thread::spawn(move || core.router.links())
        };
        publish("b");
        publish("c");
        other.join().unwrap();
        core.router.links();
        for link in &links {
            let Leftovers { unsent, .. } = link.close(WriteBatch::default());
            assert_eq!(texts(&unsent), [b"a", b"b", b"c"]);
        }
    });
}

#[test]
fn loom_what_is_sent_to_one_peer_comes_behind_what_was_published_before() {
    loom::model(|| {
        let (core, links) = publisher(&[1, 2]);
        let publish = |text| {
            let taken = core
                .router
                .try_take_with(&mut message(text), Courtesy::HasYielded);
            assert_eq!(taken.unwrap(), Attempt::Taken);
        };
        publish("a");
        let direct = {
            let (core, link) = (Arc::clone(&core), Arc::clone(&links[0]));
            thread::spawn(move || core.router.push_reply(&link, &mut message("b")).unwrap())
        };
        publish("c");
        direct.join().unwrap();
        core.router.links();
        let Leftovers { unsent, .. } = links[0].close(WriteBatch::default());
        let sent = texts(&unsent);
        assert_eq!((sent.len(), sent[0]), (3, &b"a"[..]));
    });
}
