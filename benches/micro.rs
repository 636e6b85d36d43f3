//! The parts of the data path one by one: `cargo bench --bench micro`.
//!
//! All of them through the public API. Sockets run in this very thread, within the process, and
//! only when it lets them: what is timed between two such moments is the sender's part alone.

#[path = "../tests/support/each.rs"]
mod each;

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::wire::{Envelope, Walk, walk};
use bytes::{BufMut, Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use each::each;
use futures_util::FutureExt;

/// Messages that pass between two looks at the clock: less than a block, so that no sender makes way
/// for the writer.
const BURST: u64 = 256;

fn wire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire, 64 B");
    group.throughput(Throughput::Elements(BURST));
    let payload = [7; 64];
    let mut buffer = BytesMut::with_capacity(128 * BURST as usize);
    let mut encode = |times: u64| {
        buffer.clear();
        for _ in 0..times {
            let envelope = Envelope::Data(&black_box(&payload)[..]);
            buffer.put_u32(u32::try_from(envelope.encoded_len()).expect("it is small"));
            envelope.encode(&mut buffer);
        }
        black_box(&buffer).len()
    };
    group.bench_function("encode", |bencher| bencher.iter(|| encode(BURST)));
    encode(BURST);
    group.bench_function("frame walk", |bencher| {
        bencher.iter(|| {
            let mut rest = &black_box(&buffer)[..];
            while let Ok(Walk::Frame(frame)) = walk(rest, 1024) {
                black_box(frame.envelope);
                rest = &rest[frame.len()..];
            }
        });
    });
    group.finish();
}

/// One socket, and the peers that it sends to.
struct Circle {
    system: SystemRunner,
    sender: Socket,
    peers: Vec<Socket>,
    handled: Rc<Cell<u64>>,
    payload: Bytes,
}

/// What is timed of a burst.
#[derive(Clone, Copy)]
enum Part {
    /// Until every message is in its link.
    Sending,
    /// The same by `try_send`.
    TrySending,
    /// From there on, until every message is handled: written, read, and pumped into a handler.
    Arriving,
}

impl Circle {
    fn new(mode: SendMode, peers: usize) -> Self {
        let system = System::new();
        let handled = Rc::new(Cell::new(0));
        let (sender, peers) = system.block_on(async {
            let sender = Socket::builder().send_mode(mode);
            let sender = sender.start().expect("a system runs");
            let endpoint = sender.bind(format!("mem://{}", sender.identity())).await;
            let endpoint = endpoint.expect("a name of its own");
            let mut sockets = Vec::new();
            for _ in 0..peers {
                let socket = Socket::start().expect("a system runs");
                let count = Rc::clone(&handled);
                each(&socket, move |message| {
                    black_box(message.payload());
                    count.set(count.get() + 1);
                });
                socket.connect(endpoint.clone()).await.expect("an endpoint");
                sockets.push(socket);
            }
            sender.wait_for_peers(peers).await.expect("they come");
            (sender, sockets)
        });
        Self {
            system,
            sender,
            peers,
            handled,
            payload: Bytes::from_static(&[7; 64]),
        }
    }

    /// How long so many bursts take.
    fn time(&self, bursts: u64, part: Part, deliveries: u64) -> Duration {
        let mut total = Duration::ZERO;
        for _ in 0..bursts {
            let until = self.handled.get() + BURST * deliveries;
            let began = Instant::now();
            // Nothing else runs in this thread until the last one is sent.
            for _ in 0..BURST {
                let sent = match part {
                    Part::TrySending => self.sender.try_send(self.payload.clone()).is_ok(),
                    Part::Sending | Part::Arriving => {
                        let sending = self.sender.send(self.payload.clone());
                        sending.now_or_never().is_some_and(|sent| sent.is_ok())
                    }
                };
                assert!(sent, "there is room for a burst");
            }
            let sent = Instant::now();
            self.system.block_on(async {
                while self.handled.get() < until {
                    tokio::task::yield_now().await;
                }
            });
            total += match part {
                Part::Sending | Part::TrySending => sent - began,
                Part::Arriving => sent.elapsed(),
            };
        }
        total
    }

    fn end(self) {
        self.system.block_on(async {
            self.sender.close().await;
            for peer in self.peers {
                peer.close().await;
            }
        });
    }
}

fn sockets(criterion: &mut Criterion) {
    use Part::{Arriving, Sending, TrySending};
    use SendMode::{Publish, RoundRobin};
    let mut group = criterion.benchmark_group("sockets, 64 B");
    group.throughput(Throughput::Elements(BURST));
    let mut bench = |name: &str, mode, peers: u64, part| {
        let circle = Circle::new(mode, peers as usize);
        let deliveries = match mode {
            RoundRobin => 1,
            Publish => peers,
        };
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|bursts| circle.time(bursts, part, deliveries));
        });
        circle.end();
    };
    bench("push into a link", RoundRobin, 1, Sending);
    bench("push into a link by try_send", RoundRobin, 1, TrySending);
    bench(
        "write, read and pump into a handler",
        RoundRobin,
        1,
        Arriving,
    );
    bench("router, 10 peers in turn", RoundRobin, 10, Sending);
    bench("router, 1,000 peers in turn", RoundRobin, 1_000, Sending);
    bench("router, publish to 10 peers", Publish, 10, Sending);
    group.finish();
}

fn config() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30)
}

criterion_group! {
    name = parts;
    config = config();
    targets = wire, sockets
}
criterion_main!(parts);
