//! `aiomsg relay`: what comes at one place goes on at another.

use std::iter;
use std::path::PathBuf;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::Identity;
use actix_aiomsg::prelude::*;
use actix_aiomsg::relay::capture::{CaptureEnd, CaptureError};
use actix_aiomsg::relay::{Relay, RelayError, RelayEvent};
use clap::Args;
use tokio::sync::mpsc;

use crate::Outcome;
use crate::failure::Failure;
use crate::options::{self, Ends, Security};
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where messages come from: `bind:URL` or `connect:URL`.
    #[arg(value_parser = place)]
    from: Place,
    /// Where they go: `bind:URL` or `connect:URL`. Each goes to one peer there, in turn.
    #[arg(value_parser = place)]
    to: Place,
    /// Where else messages come from. Repeatable.
    #[arg(long = "from", value_name = "PLACE", value_parser = place)]
    more_from: Vec<Place>,
    /// Where else they go. Repeatable.
    #[arg(long = "to", value_name = "PLACE", value_parser = place)]
    more_to: Vec<Place>,
    /// Who the relay is to the peers that messages come from: 32 hexadecimal digits, or a name [default: a random identity].
    #[arg(long, value_name = "NAME", value_parser = options::identity)]
    from_identity: Option<Identity>,
    /// Who it is to the peers that they go to.
    #[arg(long, value_name = "NAME", value_parser = options::identity)]
    to_identity: Option<Identity>,
    /// Let `aiomsg top PATH` look into the end that messages come from: the path of a socket file, which is made for this user alone.
    #[arg(long, value_name = "PATH")]
    from_inspection: Option<PathBuf>,
    /// The same of the end that they go to.
    #[arg(long, value_name = "PATH")]
    to_inspection: Option<PathBuf>,
    /// Publish: each message goes to all peers there.
    #[arg(long, conflicts_with = "ack")]
    publish: bool,
    /// Send on at least once what came at most once, too. What its sender wants acknowledged always goes on at least once, and
    /// is acknowledged when the next peer has acknowledged it; with --publish when it is taken here.
    #[arg(long)]
    ack: bool,
    /// Relay in the other direction as well. Answers to asks return without it.
    #[arg(long)]
    both: bool,
    /// Record what comes by, but for asks and answers, into this new file, which `aiomsg replay` plays.
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// The size at which the recording, and the relay with it, ends, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30, requires = "capture")]
    capture_limit: u64,
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

/// The URLs of places, by what is done there.
fn bound_and_dialled<'a>(places: impl Iterator<Item = &'a Place>) -> (Vec<String>, Vec<String>) {
    let (mut bind, mut connect) = (Vec::new(), Vec::new());
    for place in places {
        match place {
            Place::Bind(url) => bind.push(url.clone()),
            Place::Connect(url) => connect.push(url.clone()),
        }
    }
    (bind, connect)
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        let (bind, connect) = bound_and_dialled(self.places());
        self.security.require_use(&bind, &connect)?;
        let session = |ends: &Ends| Session::start(ends, self.builder(), None);
        let (from, to) = (session(&self.front())?, session(&self.back())?);
        let (ends, mut ended_capture) = mpsc::channel(1);
        let mut relay =
            Relay::new(&from.socket, &to.socket).events(CaptureWatch(ends).start().recipient());
        if self.both {
            relay = relay.both_ways();
        }
        if let Some(file) = &self.capture {
            relay = relay.capture(file).capture_limit(self.capture_limit);
        }
        let relay = relay.start().map_err(|error| match error {
            RelayError::Capture(error @ CaptureError::Io { .. }) => Failure::failed(error)
                .advise("--capture FILE is a new file, in a directory that is there."),
            // Its own words say what to do.
            RelayError::Capture(error) => Failure::failed(error),
            error => Failure::failed(error),
        })?;
        let stopping = relay.run_until_signal(Drain::within(self.drain));
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
                let may_have_come = self.both || !self.more_from.is_empty();
                if let (Err(_), Some(file), false) = (&opened, &self.capture, may_have_come) {
                    // Nothing came, and the next attempt is to find the name free.
                    let _ = std::fs::remove_file(file);
                }
                opened?;
                tokio::select! {
                    ended = stopping => ended,
                    Some(end) = ended_capture.recv() => return Err(capture_failure(&end)),
                }
            }
        };
        let report = ended.map_err(Failure::failed)?;
        let (front, back) = (report.front, report.back);
        // What was to be acknowledged and is still at the back is unfinished at the front as well.
        let on_the_way = front.unfinished.max(back.unsent + back.unacknowledged);
        match front.unhandled + on_the_way {
            0 => Ok(()),
            lost => Err(
                Failure::failed(format_args!("{lost} messages were not passed on"))
                    .advise("--drain gives them more time at the end."),
            ),
        }
    }

    fn front(&self) -> Ends {
        Ends {
            identity: self.from_identity,
            inspection: self.from_inspection.clone(),
            ..self.ends(iter::once(&self.from).chain(&self.more_from))
        }
    }

    fn back(&self) -> Ends {
        Ends {
            identity: self.to_identity,
            inspection: self.to_inspection.clone(),
            ..self.ends(iter::once(&self.to).chain(&self.more_to))
        }
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        let ends = [&self.from, &self.to].into_iter();
        ends.chain(&self.more_from).chain(&self.more_to)
    }

    fn ends<'a>(&self, places: impl Iterator<Item = &'a Place>) -> Ends {
        let (bind, connect) = bound_and_dialled(places);
        Ends {
            security: self.security.clone().for_endpoints(&bind, &connect),
            bind,
            connect,
            identity: None,
            inspection: None,
            quiet: self.quiet,
        }
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

/// Hears that the recording has ended.
struct CaptureWatch(mpsc::Sender<CaptureEnd>);

impl Actor for CaptureWatch {
    type Context = Context<Self>;
}

impl Handler<RelayEvent> for CaptureWatch {
    type Result = ();

    fn handle(&mut self, event: RelayEvent, _: &mut Self::Context) {
        if let RelayEvent::CaptureEnded(end) = event {
            // It ends once.
            let _ = self.0.try_send(end);
        }
    }
}

fn capture_failure(end: &CaptureEnd) -> Failure {
    let failure = Failure::failed(end);
    match end {
        CaptureEnd::Limit(_) => failure.advise("--capture-limit sets another size."),
        _ => failure.advise("Is the disk full?"),
    }
}
