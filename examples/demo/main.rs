//! Smart sockets at work, in one terminal and a few seconds: `cargo run -p demo`.
//!
//! A desk binds two sockets: one publishes news, one deals jobs out by round-robin. Three workers, each a
//! thread with a socket and a handler actor, connect to both and reply to each job by the identity
//! of whoever sent it. Then one of them is killed, and nothing is lost.

mod stage;
mod tally;
mod worker;

#[path = "../support/descriptors.rs"]
mod descriptors;
#[path = "../support/signals.rs"]
mod signals;

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::prelude::*;

use crate::signals::StopSignals;
use crate::stage::{acts, alarm, beat, explain, line, scene, verdict};
use crate::tally::{Tally, Visit};
use crate::worker::{Desk, Worker};

const NAMES: [&str; 3] = ["ada", "bob", "carol"];
const NEWS: [&str; 2] = ["coffee is ready", "the printer works again"];
const DAY_JOBS: u64 = 9;
const NIGHT_JOBS: u64 = 6;
const MORNING_JOBS: u64 = 6;

const HELP: &str = "\
Publish, round-robin, replies by identity, and a worker that is killed and comes back

Usage: demo

Options:
  -h, --help  Print help";

/// How the program ends at once, if there is anything behind its name. It has no crate for options, so that its
/// first build is short.
fn asked() -> Option<ExitCode> {
    let option = std::env::args().nth(1)?;
    if ["-h", "--help"].contains(&&option[..]) {
        line(HELP);
        return Some(ExitCode::SUCCESS);
    }
    eprintln!("error: unexpected argument '{option}' found\n\nFor more information, try '--help'.");
    Some(ExitCode::from(2))
}

#[actix::main]
async fn main() -> ExitCode {
    if let Some(end) = asked() {
        return end;
    }
    descriptors::raise_descriptor_limit();
    let mut signals = match StopSignals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            alarm(error);
            return ExitCode::FAILURE;
        }
    };
    let played = tokio::select! {
        played = play() => played,
        () = signals.received() => {
            line("\nStopped early, so nothing was counted.");
            return ExitCode::SUCCESS;
        }
    };
    match played {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            alarm(format_args!("The demo failed: {reason}"));
            ExitCode::FAILURE
        }
    }
}

/// The whole play; whether its counts add up.
async fn play() -> Result<bool, String> {
    let start = Instant::now();
    let tally = Tally::new();
    let identities = NAMES.map(|_| Identity::random());
    let listener = DeskActor {
        tally: tally.clone(),
        identities,
        leaving: HashSet::new(),
    }
    .start();

    let jobs = Socket::builder().start().map_err(text)?;
    jobs.peer_events(listener.clone().recipient());
    jobs.subscribe_recipient(listener.recipient());
    let news = Socket::builder()
        .send_mode(SendMode::Publish)
        .start()
        .map_err(text)?;
    let desk = Desk {
        identity: jobs.identity(),
        jobs: jobs.bind("tcp://127.0.0.1:0").await.map_err(text)?,
        news: news.bind("tcp://127.0.0.1:0").await.map_err(text)?,
    };

    scene(1, "Three workers connect").await;
    explain("   Each has an identity of its own and one socket, connected to both of the desk's.");
    let hire = |who: usize| Worker::hire(NAMES[who], identities[who], desk.clone(), tally.clone());
    let (ada, bob, carol) = (hire(0).await?, hire(1).await?, hire(2).await?);
    jobs.wait_for_peers(3).await.map_err(text)?;
    news.wait_for_peers(3).await.map_err(text)?;

    scene(2, "Publish: everybody gets a copy").await;
    let mut received = 0;
    for item in NEWS {
        acts("desk", format_args!("publishes “{item}”"));
        news.send_text(item).await.map_err(text)?;
        received += 3;
        tally
            .reaches("the news", |counts| counts.received == received)
            .await?;
        beat().await;
    }

    scene(3, "Round-robin: each job goes to the next worker").await;
    explain("   Replies go back by identity, to whoever sent the job.");
    deal(&jobs, 0..DAY_JOBS, Pace::Readable).await?;
    tally
        .reaches("the day's replies", |counts| counts.replied == DAY_JOBS)
        .await?;

    scene(4, "Ada and Bob go home, Carol is killed").await;
    ada.go_home().await;
    bob.go_home().await;
    alarm("carol's thread is ended on the spot, without a goodbye");
    carol.kill();
    nobody_left(&jobs).await?;
    let night = DAY_JOBS..DAY_JOBS + NIGHT_JOBS;
    deal(&jobs, night.clone(), Pace::AtOnce).await?;
    acts(
        "desk",
        format_args!(
            "sent jobs {} to {} to nobody: they wait in the outbox",
            night.start,
            night.end - 1
        ),
    );
    beat().await;

    scene(5, "Carol comes back").await;
    let carol = hire(2).await?;
    tally
        .reaches("the night's replies", |counts| counts.replied == night.end)
        .await?;

    scene(6, "Ada and Bob come back, and the rotation goes on").await;
    let (ada, bob) = (hire(0).await?, hire(1).await?);
    jobs.wait_for_peers(3).await.map_err(text)?;
    let morning = night.end..night.end + MORNING_JOBS;
    deal(&jobs, morning.clone(), Pace::Readable).await?;
    tally
        .reaches("the morning's replies", |counts| {
            counts.replied == morning.end
        })
        .await?;

    tally
        .reaches("the workers to be known", |counts| counts.reconnected == 3)
        .await?;
    for worker in [ada, bob, carol] {
        worker.go_home().await;
    }
    jobs.close().await;
    news.close().await;
    Ok(summary(&tally, start.elapsed()))
}

/// How fast jobs are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Readable,
    AtOnce,
}

async fn deal(jobs: &Socket, numbers: std::ops::Range<u64>, pace: Pace) -> Result<(), String> {
    for number in numbers {
        jobs.send(format!("job {number}")).await.map_err(text)?;
        if pace == Pace::Readable {
            beat().await;
        }
    }
    Ok(())
}

/// Waits until the last worker's connection has ended.
async fn nobody_left(jobs: &Socket) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(4);
    while !jobs.peers().is_empty() {
        if Instant::now() > deadline {
            return Err("waited too long for the workers to leave".to_owned());
        }
        beat().await;
    }
    Ok(())
}

/// Prints the counts and says whether they add up.
fn summary(tally: &Tally, took: Duration) -> bool {
    let jobs = DAY_JOBS + NIGHT_JOBS + MORNING_JOBS;
    let copies = NEWS.len() as u64 * NAMES.len() as u64;
    let sent = jobs + copies;
    line("\nSummary");
    let good = tally.read(|counts| {
        let night: Vec<_> = (DAY_JOBS..DAY_JOBS + NIGHT_JOBS)
            .map(|job| ("carol".to_owned(), job))
            .collect();
        let night_was_carols = counts
            .handled
            .windows(night.len())
            .any(|window| window == night);
        let checks = [
            (
                true,
                format!(
                    "sent         {sent}: {jobs} jobs, and {} news to {} workers each",
                    NEWS.len(),
                    NAMES.len()
                ),
            ),
            (
                counts.received == sent,
                format!("received     {} of {sent}", counts.received),
            ),
            (
                counts.replied == jobs,
                format!("replied      {} of {jobs}", counts.replied),
            ),
            (
                counts.reconnected == 3,
                format!("reconnected  {} of 3", counts.reconnected),
            ),
            (
                night_was_carols,
                format!("the {NIGHT_JOBS} jobs of the night reached carol, in order"),
            ),
            (
                took < Duration::from_secs(20),
                format!("took         {:.1} s", took.as_secs_f64()),
            ),
        ];
        for (good, text) in &checks {
            verdict(*good, text);
        }
        checks.iter().all(|(good, _)| *good)
    });
    line("\nTry next, each in a terminal of its own, and kill and restart either as you like:");
    line("   cargo run --example time_server");
    line("   cargo run --example time_client");
    good
}

fn text(error: impl std::error::Error) -> String {
    error.to_string()
}

/// The desk's ears: it hears replies, and who comes and goes.
struct DeskActor {
    tally: Tally,
    identities: [Identity; 3],
    /// Who has said goodbye.
    leaving: HashSet<String>,
}

impl DeskActor {
    fn name(&self, peer: Identity) -> &'static str {
        let known = self.identities.iter().zip(NAMES);
        known
            .filter_map(|(identity, name)| (*identity == peer).then_some(name))
            .next()
            .unwrap_or("a stranger")
    }
}

impl Actor for DeskActor {
    type Context = Context<Self>;
}

impl Handler<Received> for DeskActor {
    type Result = ();

    fn handle(&mut self, reply: Received, _: &mut Self::Context) {
        let reply = reply.text().ok().and_then(|text| text.split_once(' '));
        if let Some((name, "goodbye")) = reply {
            self.leaving.insert(name.to_owned());
            return;
        }
        let Some((name, job)) = reply.and_then(|(name, job)| Some((name, job.parse().ok()?)))
        else {
            alarm("the desk cannot read a reply");
            return;
        };
        acts(
            "desk",
            format_args!("hears from {name} that job {job} is done"),
        );
        self.tally.note(|counts| {
            counts.replied += 1;
            counts.handled.push((name.to_owned(), job));
        });
    }
}

impl Handler<PeerEvent> for DeskActor {
    type Result = ();

    fn handle(&mut self, event: PeerEvent, _: &mut Self::Context) {
        match event {
            PeerEvent::Up { peer, .. } => {
                let name = self.name(peer);
                match self.tally.note(|counts| counts.joined(peer)) {
                    Visit::First => acts("desk", format_args!("meets {name}, identity {peer}")),
                    Visit::Return => acts("desk", format_args!("knows {name} from before")),
                }
            }
            PeerEvent::Down { peer, reason, .. } => {
                let name = self.name(peer);
                if self.leaving.remove(name) {
                    acts("desk", format_args!("says goodbye to {name}"));
                } else {
                    alarm(format_args!(
                        "the desk loses {name} without a goodbye: {reason}"
                    ));
                }
            }
            _ => {}
        }
    }
}
