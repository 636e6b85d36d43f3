//! `aiomsg echo`: everything comes back.

use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use bytes::Bytes;
use clap::Args;

use crate::Outcome;
use crate::failure::Failure;
use crate::options::Ends;
use crate::session::Session;

/// The time to answer what has been received when the program is stopped.
const DRAIN: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    ends: Ends,
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        let session = Session::start(&self.ends, Socket::builder(), None)?;
        Echo(session.socket.downgrade()).start();
        let stopping = session.socket.run_until_signal(Drain::within(DRAIN));
        tokio::pin!(stopping);
        // The signals are ours before anybody is told where it listens.
        tokio::select! {
            biased;
            ended = &mut stopping => return ended.map(drop).map_err(Failure::failed),
            opened = session.open() => opened?,
        };
        stopping.await.map(drop).map_err(Failure::failed)
    }
}

struct Echo(WeakSocket);

impl Actor for Echo {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe(ctx);
        self.0.serve::<Bytes>(ctx);
    }
}

impl Handler<Received> for Echo {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Self::Context) {
        // A peer that has gone, or leaves its replies unread, is told of on standard error.
        let _ = message.reply(message.payload().clone());
    }
}

impl Handler<Ask<Bytes>> for Echo {
    type Result = Answer<Bytes>;

    fn handle(&mut self, ask: Ask<Bytes>, _: &mut Self::Context) -> Answer<Bytes> {
        Ok(ask.into_request())
    }
}
