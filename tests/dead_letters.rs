//! Dead letters that a socket keeps: listed, exported, brought back, thrown away. In the file of an outbox, and in memory.

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::Identity;
use actix_aiomsg::event::DeadLetterReason;
use actix_aiomsg::outbox::{DeadLetterBounds, KeptLetter, LetterFilter, Outbox, Redriven};
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use support::actors::{collect, echo};
use support::folder::Scratch;
use support::{eventually, within_patience};
use tokio::sync::mpsc;

fn keeping() -> SocketBuilder {
    Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .dead_letter_queue(DeadLetterBounds::new())
}

/// Sockets that keep their letters in memory, and in a file.
fn both(scratch: &Scratch) -> [SocketBuilder; 2] {
    [keeping(), keeping().outbox(scratch.path())]
}

async fn letters(socket: &Socket) -> Vec<KeptLetter> {
    let all = LetterFilter::all();
    socket.dead_letter_queue().list(all, 1000).await.unwrap()
}

fn texts(letters: &[KeptLetter]) -> Vec<&str> {
    let payloads = letters.iter().map(|letter| &letter.payload);
    payloads
        .map(|payload| std::str::from_utf8(payload).unwrap())
        .collect()
}

/// Fails on each message until it is healed, and answers then.
struct Sick {
    socket: WeakSocket,
    healthy: Rc<Cell<bool>>,
    handled: mpsc::UnboundedSender<(Identity, String)>,
}

impl Actor for Sick {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.subscribe(ctx);
    }
}

impl Handler<Received> for Sick {
    type Result = Handled;

    fn handle(&mut self, message: Received, _: &mut Self::Context) -> Handled {
        let text = message.text().unwrap().to_owned();
        let result: Result<(), Box<dyn std::error::Error>> =
            match (text.as_str(), self.healthy.get()) {
                ("rejected", false) => {
                    message.reject();
                    Ok(())
                }
                (_, false) => Err("the database is down".into()),
                (_, true) => {
                    let answer = message.reply(format!("{text} done"));
                    answer.expect("there is room for an answer");
                    let _ = self.handled.send((message.peer(), text));
                    Ok(())
                }
            };
        Handled::from(result)
    }
}

#[actix::test]
async fn what_a_handler_fails_on_is_kept_and_delivered_again_when_it_is_redriven() {
    let scratch = Scratch::new("letters");
    for server in both(&scratch) {
        let server = server.max_delivery_attempts(2).start().unwrap();
        let (handled, mut told) = mpsc::unbounded_channel();
        let healthy = Rc::new(Cell::new(false));
        let sick = Sick {
            socket: server.downgrade(),
            healthy: Rc::clone(&healthy),
            handled,
        };
        let _sick = sick.start();
        let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
        let client = Socket::start().unwrap();
        let mut answers = collect(&client);
        client.connect(endpoint).await.unwrap();
        for text in ["one", "rejected", "two"] {
            let receipt = client.send(text).receipt().await.unwrap();
            within_patience("a refusal", receipt).await.unwrap_err();
        }
        let kept = letters(&server).await;
        assert_eq!(texts(&kept), ["one", "rejected", "two"]);
        assert_eq!(kept[0].reason, DeadLetterReason::Poison);
        assert_eq!(kept[0].detail.as_deref(), Some("the database is down"));
        assert_eq!(kept[1].reason, DeadLetterReason::Rejected);
        let from_client =
            |letter: &KeptLetter| letter.peer == Some(client.identity()) && letter.received;
        assert!(kept.iter().all(from_client), "{kept:?}");

        // What fails again is a letter again.
        let queue = server.dead_letter_queue();
        let one = LetterFilter::ids([kept[0].id]);
        let redriven = queue.redrive(one.clone()).await.unwrap();
        assert_eq!(
            (redriven.delivered, redriven.sent, redriven.left),
            (1, 0, 0)
        );
        eventually("it to be a letter anew", || {
            server.stats().losses.poison == 3 && server.stats().kept_letters == 3
        })
        .await;
        assert_eq!(queue.list(one, 10).await.unwrap(), []);
        assert_eq!(texts(&letters(&server).await), ["rejected", "two", "one"]);

        healthy.set(true);
        let poison = LetterFilter::all().reason(DeadLetterReason::Poison);
        let redriven = queue.redrive(poison).await.unwrap();
        assert_eq!(redriven.delivered, 2);
        for expected in ["two", "one"] {
            let handled = within_patience("a message", told.recv()).await.unwrap();
            assert_eq!(handled, (client.identity(), expected.to_owned()));
            let (from, answer) = answers.next().await;
            assert_eq!(
                (from, answer),
                (server.identity(), format!("{expected} done"))
            );
        }
        eventually("they leave the queue", || server.stats().kept_letters == 1).await;
        assert_eq!(server.stats().redriven_letters, 3);
        assert_eq!(queue.purge(LetterFilter::all()).await.unwrap(), 1);
        assert_eq!(letters(&server).await, []);
        client.close().await;
        server.close().await;
        queue.list(LetterFilter::all(), 1).await.unwrap_err();
    }
}

#[actix::test]
async fn what_a_receiver_has_not_handled_again_when_it_ends_is_a_letter_of_the_next() {
    let scratch = Scratch::new("letters");
    let server = keeping().outbox(scratch.path()).start().unwrap();
    let (handled, _told) = mpsc::unbounded_channel();
    let sick = Sick {
        socket: server.downgrade(),
        healthy: Rc::default(),
        handled,
    };
    let _sick = sick.start();
    let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
    let client = Socket::start().unwrap();
    client.connect(endpoint).await.unwrap();
    let receipt = client.send("rejected").receipt().await.unwrap();
    within_patience("a refusal", receipt).await.unwrap_err();
    server.close().await;
    client.close().await;

    let next = keeping().outbox(scratch.path()).start().unwrap();
    assert_eq!(texts(&letters(&next).await), ["rejected"]);
    // Nobody is subscribed, so that it stays.
    let queue = next.dead_letter_queue();
    let redriven = queue.redrive(LetterFilter::all()).await.unwrap();
    assert_eq!((redriven.delivered, redriven.left), (0, 1));
    // One that is taken and not acknowledged is a letter all the same.
    let mut messages = std::pin::pin!(next.recv());
    assert!(futures_poll(&mut messages).await.is_none());
    let redriven = queue.redrive(LetterFilter::all()).await.unwrap();
    assert_eq!(redriven.delivered, 1);
    let message = within_patience("the message", messages).await.unwrap();
    assert_eq!(message.payload(), "rejected");
    assert_eq!(message.peer(), client.identity());
    let again = queue.redrive(LetterFilter::all()).await.unwrap();
    assert_eq!((again.delivered, again.left), (0, 1), "it is in hand");
    next.close_within(Duration::ZERO).await;
    drop(message);
    let last = keeping().outbox(scratch.path()).start().unwrap();
    assert_eq!(texts(&letters(&last).await), ["rejected"]);
    last.close().await;
}

/// Polls once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| match std::pin::Pin::new(&mut *future).poll(cx) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[actix::test]
async fn what_could_not_be_sent_is_a_letter_over_a_restart_and_is_sent_by_its_id_when_it_is_redriven()
 {
    let scratch = Scratch::new("letters");
    let warehouse = Identity::from_name("warehouse");
    let sender = keeping()
        .outbox_with(Outbox::new(scratch.path()).absent(Duration::from_millis(50)))
        .start()
        .unwrap();
    sender.send_to(warehouse, "ten apples").await.unwrap();
    let id = sender.pending(1).await.unwrap()[0].id;
    eventually("a dead letter", || sender.stats().losses.peer_gone == 1).await;
    sender.close().await;

    let sender = keeping().outbox(scratch.path()).start().unwrap();
    assert_eq!(sender.stats().restored_messages, 0);
    let kept = letters(&sender).await;
    assert_eq!(texts(&kept), ["ten apples"]);
    let letter = &kept[0];
    assert_eq!(letter.reason, DeadLetterReason::PeerGone);
    assert_eq!((letter.peer, letter.received), (Some(warehouse), false));
    assert_eq!(letter.message, Some(id));
    let to_warehouse = LetterFilter::all().peer(warehouse);
    let redriven = sender.dead_letter_queue().redrive(to_warehouse.clone());
    let redriven = redriven.await.unwrap();
    assert_eq!(
        (redriven.sent, redriven.delivered, redriven.left),
        (1, 0, 0)
    );
    assert_eq!(letters(&sender).await, []);
    assert_eq!(sender.pending(1).await.unwrap()[0].id, id);
    // It outlives the process as any other message.
    sender.close_within(Duration::ZERO).await;

    let sender = keeping().outbox(scratch.path()).start().unwrap();
    let receiver = Socket::builder().identity(warehouse).start().unwrap();
    let mut collected = collect(&receiver);
    let endpoint = receiver.bind("tcp://127.0.0.1:0").await.unwrap();
    sender.connect(endpoint).await.unwrap();
    assert_eq!(collected.next().await.1, "ten apples");
    eventually("its end", || sender.stats().stored_messages == 0).await;
    sender.close().await;
}

#[actix::test]
async fn without_an_outbox_letters_are_sent_again_by_the_guarantee_that_they_had() {
    for mode in [SendMode::RoundRobin, SendMode::Publish] {
        let socket = Socket::builder()
            .send_mode(mode)
            .dead_letter_queue(DeadLetterBounds::new())
            .start()
            .unwrap();
        let short = Duration::from_millis(1);
        // What is published is not acknowledged.
        let second = match mode {
            SendMode::RoundRobin => DeliveryGuarantee::AtLeastOnce,
            SendMode::Publish => DeliveryGuarantee::AtMostOnce,
        };
        for (text, guarantee) in [("one", DeliveryGuarantee::AtMostOnce), ("two", second)] {
            let sending = socket.send(text).guarantee(guarantee);
            sending.time_to_live(short).await.unwrap();
        }
        eventually("two letters", || socket.stats().kept_letters == 2).await;
        let peer = Socket::start().unwrap();
        let mut echoed = echo(&peer);
        let endpoint = peer.bind("tcp://127.0.0.1:0").await.unwrap();
        socket.connect(endpoint).await.unwrap();
        socket.wait_for_peers(1).await.unwrap();
        let redriven = socket.dead_letter_queue().redrive(LetterFilter::all());
        assert_eq!(redriven.await.unwrap().sent, 2);
        assert_eq!(echoed.payloads(2).await, ["one", "two"]);
        let reliable = u64::from(second == DeliveryGuarantee::AtLeastOnce);
        eventually("acknowledgements", || {
            socket.stats().acknowledged == reliable
        })
        .await;
        assert_eq!(letters(&socket).await, []);
        socket.close().await;
    }
}

#[actix::test]
async fn a_queue_that_is_full_lets_the_oldest_letters_go_and_says_so() {
    let scratch = Scratch::new("letters");
    let bounds = DeadLetterBounds::new().capacity(3, 10_000);
    for (index, builder) in both(&scratch).into_iter().enumerate() {
        let (events, mut heard) = Probe::recipient();
        let socket = builder
            .dead_letter_queue(bounds)
            .on_socket_event(events)
            .start()
            .unwrap();
        let short = Duration::from_millis(1);
        for number in 0..5 {
            let sending = socket.send(number.to_string());
            sending.time_to_live(short).await.unwrap();
            eventually("its end", || socket.stats().losses.expired == number + 1).await;
        }
        eventually("two of five to go", || {
            socket.stats().discarded_letters == 2
        })
        .await;
        assert_eq!(texts(&letters(&socket).await), ["2", "3", "4"]);
        let stats = socket.stats();
        assert_eq!((stats.kept_letters, stats.kept_letter_bytes), (3, 3 * 65));
        let mut gone = 0;
        while gone < 2 {
            if let SocketEvent::LettersDiscarded { count, .. } = heard.next().await.unwrap() {
                gone += count;
            }
        }
        assert_eq!(gone, 2);
        // Too large for any queue of this size.
        let large = "x".repeat(10_000);
        let sending = socket.send(large).time_to_live(short);
        sending.await.unwrap();
        eventually("it to go", || socket.stats().discarded_letters == 3).await;
        assert_eq!(socket.stats().kept_letters, 3);
        socket.close().await;
        if index == 1 {
            let narrower = bounds.capacity(1, 10_000);
            let next = keeping().outbox(scratch.path()).dead_letter_queue(narrower);
            let next = next.start().unwrap();
            // The bounds hold for what is found, too.
            assert_eq!(texts(&letters(&next).await), ["4"]);
            next.close().await;
        }
    }
}

#[actix::test]
async fn a_letter_goes_when_it_is_too_old() {
    let scratch = Scratch::new("letters");
    let short = Duration::from_millis(1);
    let bounds = DeadLetterBounds::new().max_age(Duration::from_millis(300));
    for builder in both(&scratch) {
        let socket = builder.dead_letter_queue(bounds).start().unwrap();
        socket.send("old").time_to_live(short).await.unwrap();
        eventually("a letter", || socket.stats().losses.expired == 1).await;
        eventually("its end", || socket.stats().discarded_letters == 1).await;
        assert_eq!(socket.stats().kept_letters, 0);
        assert_eq!(letters(&socket).await, []);
        socket.close().await;
    }
}

#[cfg(feature = "json")]
#[actix::test]
async fn letters_are_exported_as_lines_of_json_and_purged_by_reason() {
    let socket = keeping().start().unwrap();
    let short = Duration::from_millis(1);
    for number in 0..600 {
        let sending = socket.send(format!("message {number}"));
        sending.time_to_live(short).await.unwrap();
    }
    eventually("all letters", || socket.stats().kept_letters == 600).await;
    let queue = socket.dead_letter_queue();
    let mut lines = Vec::new();
    let count = queue.export(LetterFilter::all(), &mut lines).await.unwrap();
    assert_eq!(count, 600);
    let lines = String::from_utf8(lines).unwrap();
    for (number, line) in lines.lines().enumerate() {
        let letter: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(letter["text"], format!("message {number}"));
        assert_eq!(letter["reason"], "expired");
    }
    assert_eq!(lines.lines().count(), 600);
    let poison = LetterFilter::all().reason(DeadLetterReason::Poison);
    assert_eq!(queue.purge(poison).await.unwrap(), 0);
    let expired = LetterFilter::all().reason(DeadLetterReason::Expired);
    assert_eq!(queue.purge(expired).await.unwrap(), 600);
    assert_eq!(socket.stats().kept_letters, 0);
    socket.close().await;
}

#[actix::test]
async fn what_an_outbox_has_no_room_for_stays_a_letter() {
    let scratch = Scratch::new("letters");
    let socket = keeping()
        .outbox_with(Outbox::new(scratch.path()).capacity(2, 1024 * 1024))
        .start()
        .unwrap();
    let short = Duration::from_millis(1);
    for text in ["one", "two"] {
        socket.send(text).time_to_live(short).await.unwrap();
        eventually("its end", || socket.stats().stored_messages == 0).await;
    }
    socket.send("in the way").await.unwrap();
    let queue = socket.dead_letter_queue();
    let redriven: Redriven = queue.redrive(LetterFilter::all()).await.unwrap();
    assert_eq!((redriven.sent, redriven.left), (1, 1));
    assert_eq!(texts(&letters(&socket).await), ["two"]);
    let pending = socket.pending(10).await.unwrap();
    assert_eq!(pending.len(), 2);
    assert_eq!(pending[1].payload, "one");
    socket.close_within(Duration::ZERO).await;
}

#[actix::test]
async fn a_socket_that_keeps_no_letters_says_how_it_would() {
    let socket = Socket::start().unwrap();
    let refusal = socket.dead_letter_queue().redrive(LetterFilter::all());
    let refusal = refusal.await.unwrap_err().to_string();
    assert!(
        refusal.contains("`dead_letter_queue` of its builder"),
        "{refusal}"
    );
    socket.close().await;
}
