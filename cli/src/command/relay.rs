//! `aiomsg relay`: what comes at one place goes on at another.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::SocketBuilder;
use actix_aiomsg::prelude::*;
use clap::Args;

use crate::Outcome;
use crate::failure::Failure;
use crate::options::{self, Ends, Security};
use crate::output::Output;
use crate::recording;
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where messages come from: `bind:URL` or `connect:URL`.
    #[arg(value_parser = place)]
    from: Place,
    /// Where they go: `bind:URL` or `connect:URL`. Each goes to one peer there, in turn.
    #[arg(value_parser = place)]
    to: Place,
    /// Publish: each message goes to all peers there.
    #[arg(long, conflicts_with = "ack")]
    publish: bool,
    /// Send on at least once. A message is acknowledged to its sender when it is taken here, whatever this says.
    #[arg(long)]
    ack: bool,
    /// Relay in the other direction as well.
    #[arg(long)]
    both: bool,
    /// Record what comes by into this new file, which `aiomsg replay` plays.
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    #[command(flatten)]
    security: Security,
    /// Say nothing on standard error but errors.
    #[arg(long, short)]
    quiet: bool,
    /// Pass on what is here so long when this program is stopped.
    #[arg(long, default_value = "5s", value_parser = options::duration)]
    drain: Duration,
}

/// One end of a relay.
#[derive(Debug, Clone)]
enum Place {
    Bind(String),
    Connect(String),
}

fn place(text: &str) -> Result<Place, String> {
    match text.split_once(':') {
        Some(("bind", url)) => Ok(Place::Bind(url.to_owned())),
        Some(("connect", url)) => Ok(Place::Connect(url.to_owned())),
        _ => Err("say whether to listen or to dial: bind:tcp://0.0.0.0:25000 or connect:tcp://host:25000".to_owned()),
    }
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        let (from, to) = (self.session(&self.from)?, self.session(&self.to)?);
        let capture = match &self.capture {
            Some(file) => Some(Rc::new(Output::to(recording::create(file)?)?)),
            None => None,
        };
        let began = Instant::now();
        let forward = |from: &Session, to: &Session| {
            let forward = Forward {
                from: from.socket.downgrade(),
                to: to.socket.clone(),
                capture: capture.clone(),
                began,
            };
            forward.start();
        };
        forward(&from, &to);
        if self.both {
            forward(&to, &from);
        }
        let stopping = from.socket.run_until_signal(Drain::within(self.drain));
        tokio::pin!(stopping);
        let opening = async {
            // Nobody is let in before what comes can go on.
            to.open().await?;
            from.open().await
        };
        // The signals are ours before anybody is told where it listens.
        let ended = tokio::select! {
            biased;
            ended = &mut stopping => ended,
            opened = opening => {
                opened?;
                tokio::select! {
                    ended = stopping => ended,
                    () = capture_closed(capture.as_deref()) => return Err(Failure::failed("the recording cannot be written")
                        .advise("Is the disk full?")),
                }
            }
        };
        let report = ended.map_err(Failure::failed)?;
        let sent_on = to.socket.close_within(self.drain).await;
        match report.unhandled + report.unfinished + sent_on.unsent + sent_on.unacknowledged {
            0 => Ok(()),
            lost => Err(
                Failure::failed(format_args!("{lost} messages were not passed on"))
                    .advise("--drain gives them more time at the end."),
            ),
        }
    }

    fn session(&self, place: &Place) -> Outcome<Session> {
        let (bind, connect) = match place {
            Place::Bind(url) => (vec![url.clone()], Vec::new()),
            Place::Connect(url) => (Vec::new(), vec![url.clone()]),
        };
        let ends = Ends {
            bind,
            connect,
            identity: None,
            security: self.security.clone(),
            quiet: self.quiet,
        };
        Session::start(&ends, self.builder(), None)
    }

    fn builder(&self) -> SocketBuilder {
        let builder = Socket::builder();
        match (self.publish, self.ack) {
            (true, _) => builder.send_mode(SendMode::Publish),
            (false, true) => builder.delivery_guarantee(DeliveryGuarantee::AtLeastOnce),
            (false, false) => builder,
        }
    }
}

async fn capture_closed(capture: Option<&Output>) {
    match capture {
        Some(capture) => capture.closed().await,
        None => std::future::pending().await,
    }
}

/// Passes on what one socket receives; its senders wait while the next socket has no room.
struct Forward {
    from: WeakSocket,
    to: Socket,
    capture: Option<Rc<Output>>,
    began: Instant,
}

impl Actor for Forward {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.from.subscribe(ctx);
    }
}

impl Handler<Received> for Forward {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: Received, _: &mut Self::Context) -> Self::Result {
        let (to, capture) = (self.to.clone(), self.capture.clone());
        let after = self.began.elapsed();
        Box::pin(async move {
            if let Some(capture) = capture {
                let line = recording::line(after, message.peer(), message.payload());
                // A recording that has failed ends the relay.
                let _ = capture.line(line, None).await;
            }
            to.forward(message).await;
        })
    }
}
