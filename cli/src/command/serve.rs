//! `aiomsg serve --exec`: a process for each message or ask.

mod job;

use std::cell::{Cell, RefCell};
use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::{Handled, Identity};
use bytes::Bytes;
use clap::Args;
use tokio::sync::Semaphore;

use self::job::{Job, Running, Work};
use crate::Outcome;
use crate::failure::Failure;
use crate::notices::notice;
use crate::options::{self, Ends};
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    ends: Ends,
    /// Processes at a time. While all are busy, peers wait with what they send.
    #[arg(long, short, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Start a process for one message so often before it is refused, if its sender wants an acknowledgement.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    attempts: u32,
    /// End a process that takes longer; its message is not handled then. What that process has started itself goes on [default: wait].
    #[arg(long, value_parser = options::duration)]
    timeout: Option<Duration>,
    /// Offer this to peers as a service, which they ask by its name. What would not be answered in its time is refused at once.
    #[arg(long, value_name = "NAME")]
    offer: Option<String>,
    /// Send what the program prints for a message back to its sender, in place of printing it.
    #[arg(long)]
    reply: bool,
    /// Give running processes so long when this program is stopped, then end them.
    #[arg(long, default_value = "10s", value_parser = options::duration)]
    drain: Duration,
    /// The program and its arguments, to the end of the line; no shell takes part. Its standard input is the payload; AIOMSG_PEER names the
    /// sender, and AIOMSG_KIND is `message` or `ask`. Exit status 0 acknowledges the message; any other refuses it. The answer to an ask is
    /// what it prints, and is over when everybody who has its standard output has closed it, such as what it has started in the background.
    /// So it is with --reply.
    #[arg(long, required = true, num_args = 1.., allow_hyphen_values = true, value_names = ["PROGRAM", "ARG"])]
    exec: Vec<OsString>,
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        if let Some(program) = self.exec.first() {
            require_program(program)?;
        }
        let builder = Socket::builder().max_delivery_attempts(self.attempts);
        let session = Session::start(&self.ends, builder, None)?;
        let running = Running::default();
        if let Some(name) = &self.offer {
            // A name that cannot be offered is told before anybody is served.
            session.socket.offer(name).map_err(Failure::usage)?;
        }
        let shared = Rc::new(Shared {
            slots: Semaphore::new(self.jobs.into()),
            running: running.clone(),
            told: RefCell::new(None),
            tried: Cell::new(0),
            failed: Cell::new(0),
            quiet: self.ends.quiet,
            command: self.exec,
            timeout: self.timeout,
            reply: self.reply,
        });
        Server {
            socket: session.socket.downgrade(),
            offer: self.offer,
            shared: Rc::clone(&shared),
            jobs: self.jobs.into(),
        }
        .start();
        let stopping = session.socket.run_until_signal(Drain::within(self.drain));
        tokio::pin!(stopping);
        // The signals are ours before anybody is told where it listens.
        let ended = tokio::select! {
            biased;
            ended = &mut stopping => ended,
            opened = session.open() => {
                opened?;
                stopping.await
            }
        };
        running.end_all();
        shared.tell_all();
        let report = ended.map_err(Failure::failed)?;
        match report.unfinished + report.unhandled {
            0 => Ok(()),
            lost => Err(Failure::failed(format_args!(
                "{lost} messages were received and are not handled"
            ))
            .advise("--drain gives running processes more time at the end.")),
        }
    }
}

/// A program that is not there is told before anybody is served.
fn require_program(program: &OsStr) -> Outcome {
    let named = Path::new(program);
    let is_there = match named.components().count() {
        // Without PATH, the system knows where to look.
        1 => std::env::var_os("PATH").is_none_or(|paths| {
            std::env::split_paths(&paths).any(|path| can_run(&path.join(named)))
        }),
        _ => can_run(named),
    };
    // Elsewhere than on Unix the system adds to names: that a program is not there is told when it is to be started.
    if is_there || !cfg!(unix) {
        return Ok(());
    }
    let named = named.display();
    Err(
        Failure::failed(format_args!("there is no program {named} that can be run"))
            .advise("Behind --exec stands its path, or its name if it is in PATH, and then each argument by itself."),
    )
}

#[cfg(unix)]
fn can_run(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let found = std::fs::metadata(file);
    found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn can_run(file: &Path) -> bool {
    file.is_file()
}

struct Server {
    socket: WeakSocket,
    offer: Option<String>,
    shared: Rc<Shared>,
    jobs: usize,
}

struct Shared {
    slots: Semaphore,
    running: Running,
    /// The last failure that was told, so that a thousand of one kind are one line.
    told: RefCell<Option<String>>,
    /// So often the program was to be started, and so often that failed, or it did.
    tried: Cell<u64>,
    failed: Cell<u64>,
    quiet: bool,
    command: Vec<OsString>,
    timeout: Option<Duration>,
    reply: bool,
}

impl Shared {
    /// Runs the program for one payload.
    async fn run(
        &self,
        kind: &'static str,
        peer: Identity,
        payload: Bytes,
        captures: bool,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Bytes, String> {
        let Ok(_slot) = self.slots.acquire().await else {
            return Err("the program is stopped".to_owned());
        };
        let work = Work {
            command: &self.command,
            kind,
            peer,
            payload,
            captures,
        };
        self.tried.update(|tried| tried + 1);
        let started = Job::start(work, &self.running);
        let mut job = started.inspect_err(|error| self.tell(error))?;
        let outcome = tokio::select! {
            outcome = job.outcome() => outcome,
            () = cancelled => Err("nobody waits for the answer any more".to_owned()),
            () = overdue(self.timeout) => Err("it took longer than --timeout".to_owned()),
        };
        match &outcome {
            // The same failure after it is told again.
            Ok(_) => drop(self.told.take()),
            Err(error) => self.tell(error),
        }
        outcome
    }

    /// At the end, how many failed.
    fn tell_all(&self) {
        let (failed, tried) = (self.failed.get(), self.tried.get());
        if failed > 0 && !self.quiet {
            notice(&format!("{failed} of {tried} runs failed"));
        }
    }

    fn tell(&self, error: &str) {
        self.failed.update(|failed| failed + 1);
        let told = self.told.replace(Some(error.to_owned()));
        if !self.quiet && told.as_deref() != Some(error) {
            notice(error);
        }
    }
}

async fn overdue(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

impl Actor for Server {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let options = SubscribeOptions::default().max_in_flight(self.jobs);
        self.socket.subscribe_with::<Bytes>(ctx, options.clone());
        self.socket.serve_with::<Bytes>(ctx, options.clone());
        if let Some(name) = &self.offer
            && let Ok(offer) = self.socket.offer(name)
        {
            offer.serve_with::<Bytes>(ctx, options);
        }
    }
}

impl Handler<Received> for Server {
    type Result = Handled;

    fn handle(&mut self, message: Received, _: &mut Self::Context) -> Handled {
        let shared = Rc::clone(&self.shared);
        let socket = self.socket.clone();
        Handled::future(async move {
            let payload = message.payload().clone();
            let never = std::future::pending();
            let peer = message.peer();
            let run = shared.run("message", peer, payload, shared.reply, never);
            let printed = run.await?;
            if shared.reply
                && let Some(socket) = socket.upgrade()
            {
                let sent = socket.send_to(peer, printed).await;
                sent.map_err(|error| error.to_string())?;
            }
            Ok::<(), String>(())
        })
    }
}

impl Handler<Ask<Bytes>> for Server {
    type Result = ResponseFuture<Answer<Bytes>>;

    fn handle(&mut self, ask: Ask<Bytes>, _: &mut Self::Context) -> Self::Result {
        let shared = Rc::clone(&self.shared);
        Box::pin(async move {
            let (peer, cancelled) = (ask.peer(), ask.cancelled());
            let run = shared.run("ask", peer, ask.into_request(), true, cancelled);
            run.await.map_err(AskFailure::new)
        })
    }
}
