//! A worker: a thread of its own with a socket and the actor that handles what comes in.

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use tokio::sync::oneshot;

use crate::stage;
use crate::tally::Tally;

/// Where the desk can be reached.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) identity: Identity,
    pub(crate) jobs: Endpoint,
    pub(crate) news: Endpoint,
}

/// A worker at work.
pub(crate) struct Worker {
    arbiter: Arbiter,
    socket: Socket,
    name: &'static str,
    /// The desk's socket for jobs.
    desk: Identity,
}

impl Worker {
    /// Starts a worker who connects to the desk, and goes on trying for as long as it lives.
    pub(crate) async fn hire(
        name: &'static str,
        identity: Identity,
        desk: Desk,
        tally: Tally,
    ) -> Result<Self, String> {
        let (arbiter, at) = (Arbiter::new(), desk.identity);
        let (ready, started) = oneshot::channel();
        arbiter.spawn(async move {
            // The other end waits for the outcome, whatever it is.
            let _ = ready.send(start(name, identity, desk, tally).await);
        });
        let socket = started
            .await
            .map_err(|_| format!("{name}'s thread ended"))??;
        Ok(Self {
            arbiter,
            socket,
            name,
            desk: at,
        })
    }

    /// Says goodbye, finishes what is in hand and disconnects in good order.
    pub(crate) async fn go_home(self) {
        let goodbye = format!("{} goodbye", self.name);
        // A desk that is gone does not miss it.
        let _ = self.socket.send_to(self.desk, goodbye).await;
        self.socket.close().await;
        self.arbiter.stop();
    }

    /// Ends the thread on the spot: no handler finishes, nothing is flushed, no goodbye.
    pub(crate) fn kill(self) {
        self.arbiter.stop();
        // The thread drops whatever it held; that it may have panicked is all the same here.
        let _ = self.arbiter.join();
    }
}

async fn start(
    name: &'static str,
    identity: Identity,
    desk: Desk,
    tally: Tally,
) -> Result<Socket, String> {
    let socket = Socket::builder()
        .identity(identity)
        .start()
        .map_err(|error| error.to_string())?;
    let handler = Handling {
        name,
        socket: socket.downgrade(),
        tally,
    };
    handler.start();
    for end in [desk.news, desk.jobs] {
        socket
            .connect(end)
            .await
            .map_err(|error| error.to_string())?;
    }
    Ok(socket)
}

/// The actor that handles a worker's messages.
struct Handling {
    name: &'static str,
    socket: WeakSocket,
    tally: Tally,
}

impl Actor for Handling {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.subscribe(ctx);
    }
}

impl Handler<Received> for Handling {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Self::Context) {
        let text = message.text().unwrap_or("something unreadable").to_owned();
        self.tally.note(|counts| counts.received += 1);
        let Some(job) = text.strip_prefix("job ") else {
            stage::acts(self.name, format_args!("reads “{text}”"));
            return;
        };
        stage::acts(self.name, format_args!("does job {job} and replies"));
        if let Err(error) = message.reply(format!("{} {job}", self.name)) {
            stage::alarm(format_args!("{}'s reply was refused: {error}", self.name));
        }
    }
}
