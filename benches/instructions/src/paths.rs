//! The paths that are counted, through the public API.

use std::hint::black_box;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::SocketBuilder;
use actix_aiomsg::prelude::*;
use actix_aiomsg::wire::{Walk, walk};
use bytes::Bytes;
use tokio::sync::Notify;

use super::each::each;

/// A way that messages take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Frames are found in what was read.
    Walk,
    /// A message enters a link and is written.
    Send64,
    /// The same while an exporter of metrics reads the socket.
    SendWatched,
    Send1024,
    /// The same with ten peers in turn.
    InTurn,
    /// The same where all peers but five never acknowledge anything, and have no room.
    InTurnPastFull,
    /// A copy of a message that goes to ten peers.
    Publish,
    /// The same with a thousand peers.
    PublishToMany,
    /// A message is sent at least once, and acknowledged.
    SendAcknowledged,
    /// A message is read and handled.
    Receive64,
    /// The same while an exporter of metrics reads the socket.
    ReceiveWatched,
    Receive1024,
    /// The same at least once: it is acknowledged when it is handled.
    ReceiveAcknowledged,
    /// A message is read, handled and answered.
    Answer,
    /// A question and its answer, one at a time: both ends.
    Ask,
    /// The same, of a service by its name.
    AskByName,
    /// A peer connects and is admitted.
    Join,
    /// The same, and all leave together when the socket is closed.
    JoinAndLeave,
}

/// How much passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub messages: u64,
    pub peers: usize,
}

impl Run {
    pub const fn of(messages: u64, peers: usize) -> Self {
        Self { messages, peers }
    }
}

impl Path {
    pub const ALL: [Self; 18] = [
        Self::Walk,
        Self::Send64,
        Self::SendWatched,
        Self::Send1024,
        Self::InTurn,
        Self::InTurnPastFull,
        Self::Publish,
        Self::PublishToMany,
        Self::SendAcknowledged,
        Self::Receive64,
        Self::ReceiveWatched,
        Self::Receive1024,
        Self::ReceiveAcknowledged,
        Self::Answer,
        Self::Ask,
        Self::AskByName,
        Self::Join,
        Self::JoinAndLeave,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Walk => "frame walk, 64 B",
            Self::Send64 => "send, 64 B",
            Self::SendWatched => "send, 64 B, while metrics are read",
            Self::Send1024 => "send, 1 KiB",
            Self::InTurn => "send to 10 peers in turn, 64 B",
            Self::InTurnPastFull => "send at least once to 5 of 10 peers, the others full",
            Self::Publish => "publish to 10 peers, 64 B, a copy",
            Self::PublishToMany => "publish to 1,000 peers, 64 B, a copy",
            Self::SendAcknowledged => "send at least once, 64 B",
            Self::Receive64 => "receive and handle, 64 B",
            Self::ReceiveWatched => "receive and handle, 64 B, while metrics are read",
            Self::Receive1024 => "receive and handle, 1 KiB",
            Self::ReceiveAcknowledged => "receive, handle and acknowledge, 64 B",
            Self::Answer => "receive, handle and reply, 64 B",
            Self::Ask => "ask and answer, both ends",
            Self::AskByName => "ask by name and answer, both ends",
            Self::Join => "join",
            Self::JoinAndLeave => "join and leave",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|path| path.name() == name)
    }

    /// True if an exporter of metrics reads the socket.
    pub const fn is_watched(self) -> bool {
        matches!(self, Self::SendWatched | Self::ReceiveWatched)
    }

    /// The two runs whose difference is counted.
    pub const fn runs(self) -> (Run, Run) {
        match self {
            Self::InTurn | Self::InTurnPastFull | Self::Publish => {
                (Run::of(20_000, 10), Run::of(120_000, 10))
            }
            // So many that several blocks are handed out to each peer.
            Self::PublishToMany => (Run::of(100_000, 1_000), Run::of(2_100_000, 1_000)),
            Self::Ask | Self::AskByName => (Run::of(500, 1), Run::of(2_500, 1)),
            Self::Join | Self::JoinAndLeave => (Run::of(0, 100), Run::of(0, 300)),
            _ => (Run::of(20_000, 1), Run::of(120_000, 1)),
        }
    }

    /// Passes so many messages.
    pub async fn pass(self, Run { messages, peers }: Run) {
        match self {
            Self::Walk => walk_frames(messages),
            Self::Send64 | Self::SendWatched | Self::InTurn => {
                send(messages, peers, 64, builder()).await
            }
            Self::Send1024 => send(messages, peers, 1024, builder()).await,
            Self::InTurnPastFull => send_past_full(messages, peers).await,
            Self::Publish | Self::PublishToMany => {
                // Nobody is to lose patience because Valgrind takes its time.
                let builder = builder()
                    .send_mode(SendMode::Publish)
                    .publish_overflow(Overflow::Wait);
                send(messages / peers as u64, peers, 64, builder).await;
            }
            Self::SendAcknowledged => {
                let guarantee = DeliveryGuarantee::AtLeastOnce;
                let builder = builder().delivery_guarantee(guarantee);
                send(messages, peers, 64, builder).await;
            }
            Self::Receive64 | Self::ReceiveWatched => {
                receive(messages, 64, "plain", Then::Nothing).await;
            }
            Self::Receive1024 => receive(messages, 1024, "plain", Then::Nothing).await,
            Self::ReceiveAcknowledged => {
                receive(messages, 64, "acknowledged", Then::Nothing).await;
            }
            Self::Answer => receive(messages, 64, "plain", Then::Reply).await,
            Self::Ask => ask(messages).await,
            Self::AskByName => ask_by_name(messages).await,
            Self::Join => {
                let _both = joined(peers, peers, builder()).await;
                // The end of the connections is not part of it.
                std::process::exit(0);
            }
            Self::JoinAndLeave => {
                let (socket, _peer) = joined(peers, peers, builder()).await;
                socket.close().await;
            }
        }
    }
}

/// The variable of the environment that has an exporter of metrics read every socket.
pub const WATCHED: &str = "AIOMSG_WATCHED";

/// The settings of every socket here.
fn builder() -> SocketBuilder {
    let builder = Socket::builder();
    #[cfg(feature = "otel")]
    if std::env::var_os("AIOMSG_TRACED").is_some() {
        return builder.traces(actix_aiomsg::trace::SpanRelation::Linked);
    }
    builder
}

fn start(builder: SocketBuilder) -> Socket {
    let socket = builder.start().expect("a system runs");
    if std::env::var_os(WATCHED).is_some() {
        let exporter = actix_aiomsg::metrics::MetricsExporter::new();
        exporter.socket(&socket).start(Duration::from_secs(5));
    }
    socket
}

/// The way of a whole read: 64 KiB at a time.
fn walk_frames(messages: u64) {
    let frame = [&[0, 0, 0, 65, 3][..], &[7; 64]].concat();
    let buffer = frame.repeat(950);
    let mut left = messages;
    while left > 0 {
        let mut rest = &black_box(&buffer)[..];
        while let Ok(Walk::Frame(frame)) = walk(rest, u32::MAX) {
            black_box(frame.envelope);
            rest = &rest[frame.len()..];
            left -= 1;
            if left == 0 {
                break;
            }
        }
    }
}

/// A socket with so many peers, which read; the first of them acknowledge, too.
async fn joined(peers: usize, acknowledge: usize, builder: SocketBuilder) -> (Socket, Peer) {
    // It may lack the right to have more, and then fails where it cannot connect.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let socket = start(builder);
    let port = bind(&socket).await;
    let (all, acknowledge) = (peers.to_string(), acknowledge.to_string());
    let sinks = peer(port, &["sink", &all, &acknowledge]);
    socket.wait_for_peers(peers).await.expect("they come");
    (socket, sinks)
}

async fn send(messages: u64, peers: usize, bytes: usize, builder: SocketBuilder) {
    let (socket, _peer) = joined(peers, peers, builder).await;
    let payload = Bytes::from(vec![7; bytes]);
    for _ in 0..messages {
        socket.send(payload.clone()).await.expect("it is accepted");
    }
    socket.flush().await.expect("they read");
}

/// Sends past those who have room for sixteen messages and never for more.
async fn send_past_full(messages: u64, peers: usize) {
    const ROOM: usize = 16;
    let builder = builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .unacknowledged_capacity(ROOM, 64 * 1024)
        .resend_timeout(Duration::from_secs(3600));
    let (socket, _peer) = joined(peers, 5, builder).await;
    let payload = Bytes::from(vec![7; 64]);
    for _ in 0..messages {
        socket.send(payload.clone()).await.expect("it is accepted");
    }
    // There is no end to wait for.
    std::process::exit(0);
}

/// What a handler does besides counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Nothing,
    Reply,
}

async fn receive(messages: u64, bytes: usize, guarantee: &str, then: Then) {
    let socket = start(builder());
    let done = Arc::new(Notify::new());
    let (all, mut expected) = (Arc::clone(&done), messages);
    each(&socket, move |message| {
        if then == Then::Reply {
            let reply = message.reply(message.payload().clone());
            reply.expect("the peer reads");
        }
        expected -= 1;
        if expected == 0 {
            all.notify_one();
        }
    });
    let port = bind(&socket).await;
    let (messages, bytes) = (messages.to_string(), bytes.to_string());
    let _peer = peer(port, &["feed", &messages, &bytes, guarantee]);
    done.notified().await;
}

/// Answers whoever asks, and whoever asks the service of this name.
struct Answers(WeakSocket, Option<&'static str>);

impl Actor for Answers {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        match self.1 {
            None => drop(self.0.serve::<Bytes>(ctx)),
            Some(name) => {
                let offer = self.0.offer(name).expect("the socket is open");
                offer.serve::<Bytes>(ctx);
            }
        }
    }
}

impl Handler<Ask<Bytes>> for Answers {
    type Result = Answer<Bytes>;

    fn handle(&mut self, ask: Ask<Bytes>, _: &mut Context<Self>) -> Self::Result {
        Ok(ask.into_request())
    }
}

async fn ask(questions: u64) {
    let (client, _server) = answered(None).await;
    let question = Bytes::from(vec![7; 64]);
    for _ in 0..questions {
        let answer = client.ask(Whom::Any, &question).await;
        assert_eq!(answer.expect("an answer").len(), 64);
    }
}

async fn ask_by_name(questions: u64) {
    let (client, _server) = answered(Some("answers")).await;
    let service = client.service("answers");
    let question = Bytes::from(vec![7; 64]);
    for _ in 0..questions {
        let answer = service.ask(&question).await;
        assert_eq!(answer.expect("an answer").len(), 64);
    }
}

/// A socket, and one that answers it, by name or whatever it asks.
async fn answered(name: Option<&'static str>) -> (Socket, Socket) {
    let server = start(builder());
    Answers(server.downgrade(), name).start();
    let endpoint = server.bind("mem://answers").await.expect("a free name");
    let client = start(builder());
    client.connect(endpoint).await.expect("an endpoint");
    (client, server)
}

async fn bind(socket: &Socket) -> u16 {
    let endpoint = socket.bind("127.0.0.1:0").await.expect("a free port");
    endpoint.port().expect("a TCP endpoint")
}

/// The process at the other end. It ends with this, or by itself when all its connections do.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn peer(port: u16, arguments: &[&str]) -> Peer {
    let child = Command::new(std::env::current_exe().expect("this very program"))
        .args(["peer", &port.to_string()])
        .args(arguments)
        .spawn()
        .expect("it starts again");
    Peer(child)
}
