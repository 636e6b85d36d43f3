//! `aiomsg outbox`: the file of an outbox, while no socket has it.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use actix_aiomsg::Identity;
use actix_aiomsg::error::{OutboxError, StoreError};
use actix_aiomsg::event::DeadLetterReason;
use actix_aiomsg::outbox::{LetterFilter, OutboxFile, PendingMessage};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::Outcome;
use crate::failure::Failure;
use crate::options::identity;
use crate::output;
use crate::payload_text::add_payload;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Tell what is in it: whose it is, what waits for whom, dead letters by their reasons.
    Inspect {
        /// The file.
        file: PathBuf,
        /// One JSON object, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Print dead letters, or messages that wait, as a line of JSON each. They stay where they are.
    Export {
        /// The file.
        file: PathBuf,
        /// What waits for its acknowledgement, in place of dead letters.
        #[arg(long, conflicts_with_all = ["id", "reason", "received", "sent"])]
        messages: bool,
        #[command(flatten)]
        choice: Choice,
    },
    /// Make messages of dead letters again, which the next start of the socket sends.
    Redrive {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        choice: Choice,
        /// One JSON object, for machines.
        #[arg(long)]
        json: bool,
    },
    /// Throw dead letters away.
    Purge {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        choice: Choice,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
        /// One JSON object, for machines.
        #[arg(long)]
        json: bool,
    },
}

/// Which dead letters are meant: those that fulfil all of it.
#[derive(Debug, Args)]
struct Choice {
    /// The letters of these ids.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    id: Vec<u64>,
    /// Those with this reason, such as `peer_gone`.
    #[arg(long, value_parser = reason)]
    reason: Option<DeadLetterReason>,
    /// Those for this peer, or from it: 32 digits, or the name that it was given.
    #[arg(long, value_name = "PEER", value_parser = identity)]
    peer: Option<Identity>,
    /// Those that the socket had received.
    #[arg(long, conflicts_with = "sent")]
    received: bool,
    /// Those that the socket was to send.
    #[arg(long)]
    sent: bool,
}

fn reason(text: &str) -> Result<DeadLetterReason, String> {
    let mut all = DeadLetterReason::ALL.iter().copied();
    all.find(|reason| reason.name() == text).ok_or_else(|| {
        let names: Vec<&str> = DeadLetterReason::ALL.iter().map(|r| r.name()).collect();
        format!("the reasons are {}", names.join(", "))
    })
}

impl Choice {
    fn filter(&self) -> LetterFilter {
        let mut filter = match self.id[..] {
            [] => LetterFilter::all(),
            _ => LetterFilter::ids(self.id.iter().copied()),
        };
        if let Some(reason) = self.reason {
            filter = filter.reason(reason);
        }
        if let Some(peer) = self.peer {
            filter = filter.peer(peer);
        }
        match (self.received, self.sent) {
            (true, _) => filter.received(true),
            (_, true) => filter.received(false),
            (false, false) => filter,
        }
    }
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        match self.what {
            What::Inspect { file, json } => inspect(&file, json),
            What::Export {
                file,
                messages: true,
                choice,
            } => export_messages(&file, choice.peer),
            What::Export { file, choice, .. } => export_letters(&file, &choice.filter()),
            What::Redrive { file, choice, json } => redrive(&file, &choice.filter(), json),
            What::Purge {
                file,
                choice,
                yes,
                json,
            } => purge(&file, &choice.filter(), yes, json),
        }
    }
}

fn open(file: &std::path::Path) -> Outcome<OutboxFile> {
    OutboxFile::open(file).map_err(|error| {
        let failure = Failure::failed(&error);
        match error {
            OutboxError::Locked { .. } => failure.advise(
                "A socket has it, in a program that runs: stop that program, or have it do the same by `socket.dead_letter_queue()` and `socket.pending()`.",
            ),
            _ => failure,
        }
    })
}

fn failed(error: StoreError) -> Failure {
    Failure::failed(format_args!("the file cannot be used: {error}"))
        .advise("Is the disk full, or failing? Nothing is in the file in part.")
}

/// Messages, or letters, that belong together.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    count: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, payload: &[u8]) {
        self.count += 1;
        self.bytes += payload.len() as u64;
    }

    fn json(self) -> Value {
        json!({ "count": self.count, "bytes": self.bytes })
    }
}

fn inspect(path: &std::path::Path, as_json: bool) -> Outcome {
    let mut file = open(path)?;
    let (mut messages, mut letters) = (Sum::default(), Sum::default());
    let mut by_peer: BTreeMap<Option<Identity>, Sum> = BTreeMap::new();
    let mut by_reason: BTreeMap<(&str, bool), Sum> = BTreeMap::new();
    let mut oldest: Option<SystemTime> = None;
    let read = file.for_each_message(|message| {
        messages.add(&message.payload);
        by_peer
            .entry(message.peer)
            .or_default()
            .add(&message.payload);
        oldest = Some(oldest.map_or(message.accepted, |oldest| oldest.min(message.accepted)));
        ControlFlow::Continue(())
    });
    read.map_err(failed)?;
    let read = file.for_each_letter(&LetterFilter::all(), |letter| {
        letters.add(&letter.payload);
        let kind = (letter.reason.name(), letter.received);
        by_reason.entry(kind).or_default().add(&letter.payload);
        ControlFlow::Continue(())
    });
    read.map_err(failed)?;
    let damaged = file.damaged().map_err(failed)?;
    let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if as_json {
        let peers = by_peer.iter().map(|(peer, sum)| {
            let mut object = sum.json();
            object["peer"] = peer.map(|peer| peer.to_string()).into();
            object
        });
        let reasons = by_reason.iter().map(|((reason, received), sum)| {
            let mut object = sum.json();
            object["reason"] = (*reason).into();
            object["received"] = (*received).into();
            object
        });
        let object = json!({
            "identity": file.identity().to_string(),
            "file_bytes": size,
            "messages": messages.json(),
            "messages_by_peer": peers.collect::<Vec<_>>(),
            "oldest_message": oldest.map(millis),
            "letters": letters.json(),
            "letters_by_reason": reasons.collect::<Vec<_>>(),
            "damaged": damaged,
        });
        return output::print(object.to_string());
    }
    let mut lines = vec![
        format!("identity  {}", file.identity()),
        format!("file      {size} bytes"),
    ];
    let age = match oldest {
        Some(oldest) => format!(", the oldest of {}", date(oldest)),
        None => String::new(),
    };
    lines.push(format!(
        "messages  {} wait, {} bytes{age}",
        messages.count, messages.bytes
    ));
    for (peer, sum) in by_peer {
        let peer = peer.map_or("whoever is next".to_owned(), |peer| peer.to_string());
        lines.push(format!("  for {peer}: {}, {} bytes", sum.count, sum.bytes));
    }
    lines.push(format!(
        "letters   {}, {} bytes",
        letters.count, letters.bytes
    ));
    for ((reason, received), sum) in by_reason {
        let way = if received { "received" } else { "to be sent" };
        lines.push(format!(
            "  {reason}, {way}: {}, {} bytes",
            sum.count, sum.bytes
        ));
    }
    lines.push(format!("damaged   {damaged}"));
    output::print(lines.join("\n"))
}

fn export_letters(path: &std::path::Path, filter: &LetterFilter) -> Outcome {
    let mut printed = Ok(());
    let read = open(path)?.for_each_letter(filter, |letter| {
        printed = output::print_raw(letter.to_json());
        go_on_if(printed.is_ok())
    });
    read.map_err(failed)?;
    printed
}

fn export_messages(path: &std::path::Path, peer: Option<Identity>) -> Outcome {
    let mut printed = Ok(());
    let read = open(path)?.for_each_message(|message| {
        if peer.is_none() || message.peer == peer {
            printed = output::print_raw(line_of(&message));
        }
        go_on_if(printed.is_ok())
    });
    read.map_err(failed)?;
    printed
}

/// A message that waits, as a line of JSON.
fn line_of(message: &PendingMessage) -> String {
    let mut object = json!({
        "id": message.id.to_string(),
        "peer": message.peer.map(|peer| peer.to_string()),
        "accepted": millis(message.accepted),
        "expires": message.expires.map(millis),
    });
    add_payload(&mut object, &message.payload);
    object.to_string()
}

fn go_on_if(more: bool) -> ControlFlow<()> {
    match more {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    }
}

fn redrive(path: &std::path::Path, filter: &LetterFilter, as_json: bool) -> Outcome {
    let redriven = open(path)?.redrive(filter).map_err(failed)?;
    if as_json {
        let object = json!({ "redriven": redriven.sent, "left": redriven.left });
        return output::print(object.to_string());
    }
    output::print(format!(
        "messages again: {}; the next start of the socket sends them",
        counted(redriven.sent)
    ))?;
    if redriven.left > 0 {
        output::print(format!(
            "letters still: {}, which the socket had received, or was to tell a service; only it can deliver them, by `socket.dead_letter_queue().redrive(…)`",
            counted(redriven.left)
        ))?;
    }
    Ok(())
}

fn purge(path: &std::path::Path, filter: &LetterFilter, yes: bool, as_json: bool) -> Outcome {
    let mut file = open(path)?;
    if !yes {
        let mut meant = 0;
        let read = file.for_each_letter(filter, |_| {
            meant += 1;
            ControlFlow::Continue(())
        });
        read.map_err(failed)?;
        if meant > 0 {
            confirm(meant)?;
        }
    }
    let purged = file.purge(filter).map_err(failed)?;
    match as_json {
        true => output::print(json!({ "purged": purged }).to_string()),
        false => output::print(format!("thrown away: {}", counted(purged))),
    }
}

/// Asks on a terminal; elsewhere `--yes` is the answer.
fn confirm(letters: usize) -> Outcome {
    let refusal = |text: &str| {
        Failure::failed(text).advise("`aiomsg outbox export` keeps a copy of them; --yes throws them away without a question.")
    };
    if !std::io::stdin().is_terminal() {
        return Err(refusal(&format!(
            "{} would be thrown away, and nobody can be asked",
            counted(letters)
        )));
    }
    let mut stderr = std::io::stderr();
    let letters = counted(letters);
    let asked =
        write!(stderr, "Throw {letters} away for good? [y/N] ").and_then(|()| stderr.flush());
    asked.map_err(Failure::failed)?;
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.map_err(Failure::failed)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(refusal("nothing was thrown away")),
    }
}

fn counted(letters: usize) -> String {
    match letters {
        1 => "1 letter".to_owned(),
        _ => format!("{letters} letters"),
    }
}

/// Milliseconds since 1970.
fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// A time for people, to the second.
fn date(time: SystemTime) -> String {
    let seconds = Duration::from_secs(millis(time) / 1000);
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + seconds).to_string()
}
