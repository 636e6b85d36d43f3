//! The other process of a measurement: it receives, and tells how long that took; or sends back.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use clap::Args;
use tokio::sync::Notify;

use crate::failure::Failure;
use crate::{Outcome, output};

/// How long nothing arrives before what is missing counts as lost.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Messages that are expected, on all connections; 0 sends everything back, for ever.
    #[arg(long)]
    messages: u64,
    /// Where to connect to, with so many sockets; otherwise it binds one, and prints where.
    #[arg(long, num_args = 2, value_names = ["URL", "SOCKETS"])]
    connect: Vec<String>,
}

impl Options {
    /// Prints how many messages came and in how many nanoseconds.
    pub(super) async fn run(self) -> Outcome {
        let tally = Rc::new(Tally::default());
        let mut sockets = Vec::new();
        match &self.connect[..] {
            [endpoint, count] => {
                for _ in 0..count.parse::<u32>().map_err(Failure::usage)? {
                    let socket = self.socket(&tally)?;
                    socket.connect(endpoint).await.map_err(Failure::failed)?;
                    sockets.push(socket);
                }
            }
            _ => {
                let socket = self.socket(&tally)?;
                let bound = socket.bind("tcp://127.0.0.1:0").await;
                output::print(bound.map_err(Failure::failed)?.to_string())?;
                sockets.push(socket);
            }
        }
        if self.messages > 0 {
            let took = tally.complete(self.messages).await;
            output::print(format!("{} {}", tally.seen.get(), took.as_nanos()))?;
        }
        // The first process ends this one.
        std::future::pending().await
    }

    fn socket(&self, tally: &Rc<Tally>) -> Outcome<Socket> {
        let socket = Socket::start().map_err(Failure::failed)?;
        if self.messages == 0 {
            Back(socket.downgrade()).start();
            return Ok(socket);
        }
        let count = Count {
            socket: socket.downgrade(),
            tally: Rc::clone(tally),
            expected: self.messages,
        };
        count.start();
        Ok(socket)
    }
}

/// What has arrived.
#[derive(Default)]
struct Tally {
    seen: Cell<u64>,
    first: Cell<Option<Instant>>,
    last: Cell<Option<Instant>>,
    complete: Notify,
}

impl Tally {
    #[inline]
    fn add(&self, expected: u64) {
        let seen = self.seen.get() + 1;
        self.seen.set(seen);
        if seen == 1 {
            self.first.set(Some(Instant::now()));
        }
        if seen == expected {
            self.last.set(Some(Instant::now()));
            self.complete.notify_one();
        }
    }

    /// The time from the first message to the last, once all are there, or none comes any more.
    async fn complete(&self, expected: u64) -> Duration {
        let mut before = (0, Instant::now());
        while self.seen.get() < expected {
            let looked = tokio::time::timeout(QUIET / 50, self.complete.notified());
            // Either way it is looked at again.
            let _ = looked.await;
            let seen = self.seen.get();
            if seen != before.0 {
                before = (seen, Instant::now());
            } else if seen > 0 && before.1.elapsed() > QUIET {
                break;
            }
        }
        let last = self.last.get().unwrap_or(before.1);
        let first = self.first.get().unwrap_or(last);
        last.saturating_duration_since(first)
    }
}

/// Counts what one socket receives.
struct Count {
    socket: WeakSocket,
    tally: Rc<Tally>,
    expected: u64,
}

impl Actor for Count {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.subscribe(ctx);
    }
}

impl Handler<Received> for Count {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Self::Context) {
        std::hint::black_box(message.payload());
        self.tally.add(self.expected);
    }
}

/// Sends everything back.
struct Back(WeakSocket);

impl Actor for Back {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe(ctx);
    }
}

impl Handler<Received> for Back {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Self::Context) {
        // What does not come back is missed, and told of by the first process.
        let _ = message.reply(message.payload().clone());
    }
}
