//! What panics cost in memory, over a hundred thousand messages: nothing that stays.
#![cfg(target_os = "linux")]

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use support::panics::print_panics_briefly;
use support::{memory, scale, within_patience};

const WARM_UP: u64 = 50_000;
const MESSAGES: u64 = 100_000;

/// What may be left over: what the allocator keeps for itself.
const SLACK: u64 = 2 << 20;

/// Counts what it handles, all of it in order.
struct Counter {
    socket: WeakSocket,
    counts: Rc<Counts>,
}

#[derive(Default)]
struct Counts {
    handled: Cell<u64>,
    panicked: Cell<u64>,
    next: Cell<u64>,
}

impl Actor for Counter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.subscribe(ctx);
    }
}

impl Handler<Received> for Counter {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Self::Context) {
        let number: u64 = message.text().unwrap().parse().unwrap();
        assert_eq!(
            self.counts.next.replace(number + 1),
            number,
            "in order, each once"
        );
        // A fixed scramble of the number stands for chance: one in five hundred.
        if (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 0xffff < 131 {
            self.counts.panicked.set(self.counts.panicked.get() + 1);
            panic!("one in five hundred");
        }
        self.counts.handled.set(self.counts.handled.get() + 1);
    }
}

#[actix::test]
async fn two_hundred_panics_among_a_hundred_thousand_messages_leave_no_memory_behind() {
    print_panics_briefly();
    let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    within_patience("a peer", client.wait_for_peers(1))
        .await
        .unwrap();
    let (socket, counts) = (server.downgrade(), Rc::<Counts>::default());
    let kept = Rc::clone(&counts);
    let counter = move || Counter {
        socket: socket.clone(),
        counts: Rc::clone(&kept),
    };
    supervise(counter)
        .intensity(u32::MAX, Duration::from_secs(1))
        .backoff(Backoff::fixed(Duration::ZERO))
        .start();
    let resident = || memory::resident(std::process::id());
    let mut before = 0;
    for n in 0..WARM_UP + MESSAGES {
        if n == WARM_UP {
            scale::reaches("the warm-up", WARM_UP, || counts.next.get()).await;
            before = resident();
        }
        client.send(n.to_string()).await.unwrap();
    }
    scale::reaches("the messages", WARM_UP + MESSAGES, || counts.next.get()).await;
    let grown = resident().saturating_sub(before);
    let panicked = counts.panicked.get();
    println!("{panicked} panics; {grown} bytes more than after the warm-up");
    assert!((250..350).contains(&panicked), "{panicked}");
    assert_eq!(counts.handled.get() + panicked, WARM_UP + MESSAGES);
    assert!(grown <= SLACK, "{grown} bytes more");
}
