//! The hub: what anybody says goes to everybody, and once a second a board of figures.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use serde::{Deserialize, Serialize};

/// What is kept for those who come later, and to know a message that comes again.
const KEPT: usize = 200;
/// Of which a newcomer sees so many.
const SHOWN: usize = 50;
const MAX_NAME_CHARS: usize = 40;
const MAX_TEXT_CHARS: usize = 2_000;

/// What peers say. Anything else is taken as a line of chat, so that the simplest program can join.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Said {
    /// The name that a peer wants to be shown by.
    Name { name: String },
    /// A line of chat; `id` is the speaker's own.
    Chat {
        text: String,
        #[serde(default)]
        id: Option<String>,
    },
}

/// What the hub says.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Told<'a> {
    Chat {
        /// Which life of the hub, because each begins to count anew.
        epoch: &'a str,
        seq: u64,
        id: Option<&'a str>,
        peer: String,
        name: &'a str,
        text: &'a str,
        /// Milliseconds since 1970.
        at: u64,
    },
    Board {
        peers: Vec<Shown<'a>>,
        rate_in: u64,
        rate_out: u64,
        totals: Totals,
        join: &'a str,
    },
}

#[derive(Serialize)]
struct Shown<'a> {
    peer: String,
    name: &'a str,
    transport: String,
    seconds: u64,
}

#[derive(Serialize)]
struct Totals {
    received: u64,
    sent: u64,
    seconds: u64,
}

struct Guest {
    name: String,
    transport: String,
    since: Instant,
}

struct Line {
    /// Who said it, and the speaker's own name for it.
    origin: (Identity, Option<String>),
    told: Vec<u8>,
}

/// Passes on what is said, and keeps the last lines of it.
pub(crate) struct Hub {
    socket: WeakSocket,
    join: String,
    epoch: String,
    started: Instant,
    guests: HashMap<Identity, Guest>,
    lines: VecDeque<Line>,
    said: u64,
    /// Messages received and sent when the board was last told.
    before: (u64, u64),
}

impl Hub {
    pub(crate) fn new(socket: WeakSocket, join: String) -> Self {
        Self {
            socket,
            join,
            epoch: Identity::random().to_string(),
            started: Instant::now(),
            guests: HashMap::new(),
            lines: VecDeque::new(),
            said: 0,
            before: (0, 0),
        }
    }

    fn chat(&mut self, peer: Identity, text: &str, id: Option<String>) {
        let text: String = text.chars().take(MAX_TEXT_CHARS).collect();
        let origin = (peer, id);
        let came_before = |line: &Line| line.origin == origin;
        if text.is_empty() || (origin.1.is_some() && self.lines.iter().any(came_before)) {
            return;
        }
        self.said += 1;
        let at = SystemTime::now().duration_since(UNIX_EPOCH);
        let short = short(peer);
        let told = Told::Chat {
            epoch: &self.epoch,
            seq: self.said,
            id: origin.1.as_deref(),
            peer: peer.to_string(),
            name: self.guests.get(&peer).map_or(&short, |guest| &guest.name),
            text: &text,
            at: at.map_or(0, |at| u64::try_from(at.as_millis()).unwrap_or(0)),
        };
        let told = encode(&told);
        self.publish(told.clone());
        self.lines.push_back(Line { origin, told });
        if self.lines.len() > KEPT {
            self.lines.pop_front();
        }
    }

    fn board(&mut self) {
        let Some(socket) = self.socket.upgrade() else {
            return;
        };
        let stats = socket.stats();
        let seconds = |since: Instant| since.elapsed().as_secs();
        let mut guests: Vec<_> = self.guests.iter().collect();
        guests.sort_by_key(|(_, guest)| guest.since);
        let shown = guests.iter().map(|(peer, guest)| Shown {
            peer: peer.to_string(),
            name: &guest.name,
            transport: guest.transport.clone(),
            seconds: seconds(guest.since),
        });
        let told = Told::Board {
            peers: shown.collect(),
            rate_in: stats.received - self.before.0,
            rate_out: stats.sent.saturating_sub(self.before.1),
            totals: Totals {
                received: stats.received,
                sent: stats.sent,
                seconds: seconds(self.started),
            },
            join: &self.join,
        };
        self.publish(encode(&told));
        self.before = (stats.received, stats.sent);
    }

    /// To everybody who is there. A peer that is far behind misses it, and has the log when it
    /// comes back.
    fn publish(&self, told: Vec<u8>) {
        if let Some(socket) = self.socket.upgrade()
            && socket.state().borrow().peers > 0
            && let Err(error) = socket.try_send(told)
        {
            tracing::warn!(%error, "not published");
        }
    }
}

impl Actor for Hub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.subscribe(ctx);
        ctx.run_interval(Duration::from_secs(1), |hub, _| hub.board());
    }
}

impl Handler<Received> for Hub {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Self::Context) {
        let peer = message.peer();
        match message.json() {
            Ok(Said::Chat { text, id }) => self.chat(peer, &text, id),
            Ok(Said::Name { name }) => {
                if let Some(guest) = self.guests.get_mut(&peer) {
                    guest.name = name.chars().take(MAX_NAME_CHARS).collect();
                }
            }
            Err(_) => self.chat(peer, &String::from_utf8_lossy(message.payload()), None),
        }
    }
}

impl Handler<PeerEvent> for Hub {
    type Result = ();

    fn handle(&mut self, event: PeerEvent, _: &mut Self::Context) {
        match event {
            PeerEvent::Up {
                peer, transport, ..
            } => {
                let guest = Guest {
                    name: short(peer),
                    transport: transport.to_string(),
                    since: Instant::now(),
                };
                self.guests.insert(peer, guest);
                let Some(socket) = self.socket.upgrade() else {
                    return;
                };
                let first = self.lines.len().saturating_sub(SHOWN);
                for line in self.lines.range(first..) {
                    if socket.try_send_to(peer, line.told.clone()).is_err() {
                        return;
                    }
                }
            }
            PeerEvent::Down { peer, .. } => {
                self.guests.remove(&peer);
            }
            _ => {}
        }
    }
}

/// What stands for a peer that has said no name.
fn short(peer: Identity) -> String {
    peer.to_string().chars().take(8).collect()
}

fn encode(told: &Told<'_>) -> Vec<u8> {
    serde_json::to_vec(told).expect("text and numbers can be written as JSON")
}
