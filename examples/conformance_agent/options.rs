//! The options by which a test runner drives the agent, each with a value.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use actix_aiomsg::prelude::*;
use clap::{ArgAction, Parser, ValueEnum};

/// Plays one end of an aiomsg conversation for a cross-language test runner.
#[derive(Debug, Parser)]
#[command(name = "conformance_agent", disable_version_flag = true)]
pub(crate) struct Options {
    /// Which end this is.
    #[arg(long, value_enum)]
    pub(crate) role: Role,
    /// What a connect end travels in. A bind end serves `tcp` and `ws` alike, on one port; with
    /// `unix`, the host is the path of the socket's file and the port means nothing.
    #[arg(long, value_enum, default_value = "tcp")]
    pub(crate) transport: Transport,
    /// The address to bind, or the host to connect to, or the path of a Unix-domain socket.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// The port to bind (0 takes a free one and names it on standard error), or to connect to.
    #[arg(long)]
    pub(crate) port: u16,
    /// How messages without a target choose their peers.
    #[arg(long, value_enum, default_value = "roundrobin")]
    pub(crate) send_mode: Mode,
    /// What to do with messages.
    #[arg(long, value_enum, default_value = "sink")]
    pub(crate) behavior: Behavior,
    /// How many messages to send, print, send back or send on.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) count: u64,
    /// What a source puts before the number in each payload.
    #[arg(long, value_name = "S", default_value = "m")]
    pub(crate) prefix: String,
    /// The guarantee of what is sent.
    #[arg(long, value_enum, default_value = "at-most-once")]
    pub(crate) delivery: Delivery,
    /// The socket's identity [default: a random one].
    #[arg(long, value_name = "32HEX")]
    pub(crate) identity: Option<Identity>,
    /// How long to stay after the last message, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) linger: Duration,

    /// Whether the connection is TLS.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    pub(crate) tls: bool,
    /// The certificate chain of the bind end.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the bind end.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The authority that must have signed the peer's certificate.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// The name that the bind end's certificate must carry.
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// Whether the connect end must show a certificate that `--tls-ca` signed.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    pub(crate) require_client_cert: bool,
    /// The certificate chain of the connect end.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_client_cert: Option<PathBuf>,
    /// The private key of the connect end.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_client_key: Option<PathBuf>,

    /// How long a source waits, after bind or connect, before its first send.
    #[arg(long = "start-delay-ms", value_name = "N", default_value = "0", value_parser = millis)]
    pub(crate) start_delay: Duration,
    /// How many messages a source sends per second [default: as many as go].
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<NonZeroU32>,
    /// How long a source's payload is at least, padded with dots.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) size: usize,
    /// How long a sink takes for each message before it prints it.
    #[arg(long = "recv-delay-ms", value_name = "N", default_value = "0", value_parser = millis)]
    pub(crate) recv_delay: Duration,

    /// After how much silence of ours a heartbeat is sent.
    #[arg(long = "heartbeat-interval-ms", value_name = "N", value_parser = millis)]
    pub(crate) heartbeat_interval: Option<Duration>,
    /// After how much silence a peer counts as dead.
    #[arg(long = "heartbeat-timeout-ms", value_name = "N", value_parser = millis)]
    pub(crate) heartbeat_timeout: Option<Duration>,
    /// After how long an unacknowledged message is resent.
    #[arg(long = "resend-timeout-ms", value_name = "N", value_parser = millis)]
    pub(crate) resend_timeout: Option<Duration>,
    /// How long a connection may take to introduce itself.
    #[arg(long = "handshake-timeout-ms", value_name = "N", value_parser = millis)]
    pub(crate) handshake_timeout: Option<Duration>,
    /// The largest frame that is accepted, its type byte included.
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_frame: Option<u32>,
    /// How many connections are accepted at once.
    #[arg(long, value_name = "N")]
    pub(crate) max_connections: Option<NonZeroUsize>,

    /// Whether to report what happens as lines of JSON on standard error.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    pub(crate) events: bool,
    /// The file that keeps unsent messages across restarts.
    #[arg(long, value_name = "PATH")]
    pub(crate) outbox: Option<PathBuf>,
}

/// Which end of the connection the agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Bind,
    Connect,
}

/// What a connection travels in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// TCP as it is, or TLS.
    Tcp,
    /// WebSocket over it.
    Ws,
    /// A Unix-domain socket.
    Unix,
}

/// How messages without a target choose their peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Every peer gets a copy.
    Publish,
    /// One peer, the next in turn.
    #[value(name = "roundrobin")]
    RoundRobin,
}

/// What the agent does with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Behavior {
    /// Sends numbered messages.
    Source,
    /// Prints what it receives.
    Sink,
    /// Sends each message back to where it came from.
    Echo,
    /// Sends each message on by the send mode.
    Relay,
}

/// The guarantee of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Delivery {
    AtMostOnce,
    AtLeastOnce,
}

impl Options {
    /// Where to bind, or to connect to.
    pub(crate) fn endpoint(&self) -> Result<Endpoint, String> {
        let host = match self.host.contains(':') && !self.host.starts_with('[') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let text = match (self.transport, self.role) {
            (Transport::Unix, _) => format!("unix://{}", self.host),
            (Transport::Ws, Role::Connect) => format!("ws://{host}:{}", self.port),
            (Transport::Ws, Role::Bind) | (Transport::Tcp, _) => {
                format!("tcp://{host}:{}", self.port)
            }
        };
        text.parse().map_err(|error| format!("{text}: {error}"))
    }
}

impl From<Mode> for SendMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Publish => Self::Publish,
            Mode::RoundRobin => Self::RoundRobin,
        }
    }
}

impl From<Delivery> for DeliveryGuarantee {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::AtMostOnce => Self::AtMostOnce,
            Delivery::AtLeastOnce => Self::AtLeastOnce,
        }
    }
}

fn millis(text: &str) -> Result<Duration, String> {
    let millis: u64 = text.parse().map_err(|error| format!("{error}"))?;
    Ok(Duration::from_millis(millis))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{error}"))
}
