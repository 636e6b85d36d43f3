//! The two processes of a run: how they are started, what they tell, and who measures.

use std::net::SocketAddr;
use std::process::Command;

use clap::{Args, ValueEnum};

use super::rows::{Over, Stack, Work};
use super::support::process::{End, tell};
#[cfg(feature = "tls-dev")]
use super::support::secrets::Secrets;
use super::{ours, raw};

/// One end.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    pub(crate) stack: Stack,
    pub(crate) role: Role,
    /// Where the other end is; absent at the end that binds.
    #[arg(long)]
    pub(crate) address: Option<SocketAddr>,
    #[arg(long, default_value = "tcp")]
    pub(crate) over: Over,
    #[arg(long)]
    pub(crate) bytes: usize,
    #[arg(long)]
    pub(crate) messages: u64,
    #[arg(long)]
    pub(crate) connections: usize,
    #[arg(long, default_value = "1")]
    pub(crate) outstanding: usize,
    #[arg(long)]
    pub(crate) at_least_once: bool,
    #[arg(long, default_value = "1")]
    pub(crate) arbiters: usize,
    /// Both ends on one processor, so that the way between two does not count.
    #[arg(long)]
    pub(crate) pinned: bool,
}

/// What an end does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Binds, receives, and measures.
    Receive,
    Send,
    /// Binds and sends back.
    Echo,
    /// Sends and awaits replies, and measures.
    Ping,
    /// Binds and answers.
    Answer,
    /// Asks, and measures.
    Ask,
    /// Asks a named service, and measures.
    AskByName,
    /// Binds and publishes.
    Publish,
    /// Receives on each connection, and measures.
    Subscribe,
    /// Binds, and measures its memory.
    IdleBind,
    Idle,
}

/// What was measured: a rate, percentiles, or bytes.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) values: Vec<f64>,
    pub(crate) lost: u64,
}

/// What all runs share.
pub(crate) struct Context {
    #[cfg(feature = "tls-dev")]
    secrets: Secrets,
}

impl Context {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(feature = "tls-dev")]
            secrets: Secrets::new(),
        }
    }

    /// One run: both ends, and what came of it.
    pub(crate) fn run(&self, stack: Stack, work: Work, scale: u64) -> Figures {
        let (bind, connect) = match work {
            Work::OneWay { .. } | Work::AtLeastOnce { .. } | Work::FanIn { .. } => {
                (Role::Receive, Role::Send)
            }
            Work::RoundTrips { .. } => (Role::Echo, Role::Ping),
            Work::Asks { .. } => (Role::Answer, Role::Ask),
            Work::AsksByName { .. } => (Role::Answer, Role::AskByName),
            Work::Publish { .. } => (Role::Publish, Role::Subscribe),
            Work::Idle => (Role::IdleBind, Role::Idle),
        };
        let connections = work.connections() as u64;
        let messages = (work.messages(stack) / scale).next_multiple_of(connections);
        let messages = if work == Work::Idle {
            connections
        } else {
            messages
        };
        let start = |role: Role, address: Option<&str>| {
            let mut command = Command::new(std::env::current_exe().expect("this very program"));
            command.args(["end", &value(stack), &value(role)]);
            command.args(["--bytes", &work.bytes().to_string()]);
            command.args(["--messages", &messages.to_string()]);
            command.args(["--connections", &connections.to_string()]);
            match work {
                Work::OneWay { over, .. } => command.args(["--over", &value(over)]),
                Work::AtLeastOnce { .. } => command.arg("--at-least-once"),
                Work::RoundTrips { outstanding }
                | Work::Asks { outstanding }
                | Work::AsksByName { outstanding } => {
                    if outstanding == 1 {
                        command.arg("--pinned");
                    }
                    command.args(["--outstanding", &outstanding.to_string()])
                }
                Work::FanIn { arbiters, .. } if bind == role => {
                    command.args(["--arbiters", &arbiters.to_string()])
                }
                Work::Publish { .. } | Work::FanIn { .. } | Work::Idle => &mut command,
            };
            if let Some(address) = address {
                command.args(["--address", address]);
            }
            #[cfg(feature = "tls-dev")]
            self.secrets.pass_on(&mut command);
            End::start(command)
        };
        let mut bound = start(bind, None);
        let address = bound.line();
        let mut connected = start(connect, Some(&address));
        let measures = match connect {
            Role::Ping | Role::Ask | Role::AskByName | Role::Subscribe => &mut connected,
            _ => &mut bound,
        };
        let line = measures.line();
        let mut numbers = line
            .split(' ')
            .map(|number| number.parse().expect("a number"));
        let lost = numbers.next().expect("a figure");
        Figures {
            values: numbers.collect(),
            lost: lost as u64,
        }
    }
}

fn value(value: impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.expect("none is skipped").get_name().to_owned()
}

/// Tells the three percentiles of round trips, in nanoseconds.
pub(crate) fn tell_percentiles(mut times: Vec<u64>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    tell(format_args!("0 {} {} {}", at(0.5), at(0.99), at(0.999)));
}

/// Bytes of memory that this process occupies; 0 where the system does not say.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0) * 1024
}

/// Tells what each connection costs, now that all of them are there.
pub(crate) fn tell_memory(before: u64, connections: usize) {
    let each = resident().saturating_sub(before) as f64 / connections as f64;
    tell(format_args!("0 {each}"));
}

/// Stays on the first processor. Where that cannot be said, the system decides.
fn pin() {
    #[cfg(target_os = "linux")]
    {
        use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
        use nix::unistd::Pid;
        let this = Pid::from_raw(0);
        let Ok(allowed) = sched_getaffinity(this) else {
            return;
        };
        let is_allowed = |cpu: &usize| allowed.is_set(*cpu).unwrap_or(false);
        let first = (0..CpuSet::count()).find(is_allowed).unwrap_or(0);
        let mut one = CpuSet::new();
        let _ = one.set(first).and_then(|()| sched_setaffinity(this, &one));
    }
}

/// Does the work of one end, until the first process ends it.
pub(crate) async fn run(options: Options) {
    if options.pinned {
        pin();
    }
    match options.stack {
        Stack::Raw => raw::run(options).await,
        Stack::Ours => ours::run(options).await,
    }
    std::future::pending().await
}
