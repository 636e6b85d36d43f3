//! What each layer may use. An arrow from one layer to another is an entry here.

/// One folder, or one file, directly below `src`.
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    /// Parts of this crate that it may use, besides itself and [`ANYWHERE`].
    uses: Uses,
    /// Crates, and modules of the standard library, that it must not know.
    never: &'static [&'static str],
}

enum Uses {
    Only(&'static [&'static str]),
    Everything,
}
use Uses::{Everything, Only};

/// What everything may use.
const ANYWHERE: &[&str] = &[
    "id",
    "limits",
    "address",
    "config",
    "error",
    "event",
    "telemetry",
];

const RUNTIMES: &[&str] = &[
    "tokio",
    "tokio_util",
    "actix",
    "actix_rt",
    "std::net",
    "std::thread",
];

pub(crate) const LAYERS: &[Layer] = &[
    Layer {
        name: "lib",
        uses: Everything,
        never: &[],
    },
    // The plain values of a connection, which errors and events are made of.
    Layer {
        name: "address",
        uses: Only(&[]),
        never: &["tokio", "actix", "actix_rt", "socket2"],
    },
    // Bytes, and nothing else. Of the runtimes it knows the codec traits alone.
    Layer {
        name: "wire",
        uses: Only(&[]),
        never: &[
            "tokio",
            "actix",
            "actix_rt",
            "std::net",
            "std::thread",
            "std::time",
            "std::sync",
        ],
    },
    // Decisions: no IO, no clock, no runtime, no actors, and no state shared with other threads.
    Layer {
        name: "engine",
        uses: Only(&["wire"]),
        never: &[
            "tokio",
            "tokio_util",
            "actix",
            "actix_rt",
            "arc_swap",
            "parking_lot",
            "socket2",
            "std::net",
            "std::io",
            "std::thread",
            "std::sync::Mutex",
            "std::sync::atomic",
            "std::sync::mpsc",
        ],
    },
    // Byte streams, which do not know what they carry.
    Layer {
        name: "transport",
        uses: Only(&["clock", "engine"]),
        never: &["actix"],
    },
    // Who may come in: what the application is asked about a peer.
    Layer {
        name: "authorize",
        uses: Only(&["transport", "engine"]),
        never: &["tokio", "actix_rt", "std::net", "std::thread"],
    },
    // The data path: shared queues and their wake-ups.
    Layer {
        name: "link",
        uses: DATA_PATH,
        never: &["actix", "actix_rt", "std::net", "socket2"],
    },
    Layer {
        name: "inbox",
        uses: DATA_PATH,
        never: &["actix", "actix_rt", "std::net", "socket2"],
    },
    Layer {
        name: "routing",
        uses: Only(&[
            "link",
            "inbox",
            "subscription",
            "ask",
            "watch",
            "sync",
            "receipt",
            "wire",
            "clock",
            "payload",
            "engine",
            "watch",
        ]),
        never: &["actix", "actix_rt", "std::net", "socket2"],
    },
    // Inboxes on one side, the contexts of handler actors on the other.
    Layer {
        name: "subscription",
        uses: Only(&[
            "received",
            "link",
            "inbox",
            "routing",
            "sync",
            "receipt",
            "wire",
            "clock",
            "payload",
            "engine",
            "transport",
            "supervise",
            "socket",
        ]),
        never: &["std::net", "socket2"],
    },
    Layer {
        name: "sync",
        uses: Only(&[]),
        never: RUNTIMES,
    },
    // Questions and their answers: the table, the futures, and the pump into a handler.
    Layer {
        name: "ask",
        uses: Everything,
        never: &["std::net", "socket2"],
    },
    // User types to bytes.
    Layer {
        name: "payload",
        uses: Only(&[]),
        never: &["tokio", "actix_rt", "std::net", "std::thread"],
    },
    // Supervision of any actor, with or without a socket.
    Layer {
        name: "supervise",
        uses: Only(&["engine", "clock"]),
        never: &["std::net", "socket2"],
    },
    // Thin shells around the engine and the data path.
    Layer {
        name: "actor",
        uses: Everything,
        never: &["std::net"],
    },
    // One byte stream, from its handshake to its end.
    Layer {
        name: "connection",
        uses: Everything,
        never: &["std::net"],
    },
    // Periodic wake-ups from a thread of the process.
    Layer {
        name: "timer",
        uses: Only(&["clock", "engine"]),
        never: &["std::net", "socket2"],
    },
    // What may be chosen for a socket.
    Layer {
        name: "limits",
        uses: Only(&[]),
        never: RUNTIMES,
    },
    Layer {
        name: "clock",
        uses: Only(&[]),
        never: &["actix", "std::net"],
    },
    // What everything may use, uses hardly anything itself.
    Layer {
        name: "id",
        uses: Only(&[]),
        never: RUNTIMES,
    },
    Layer {
        name: "error",
        uses: Only(&[]),
        never: &["actix_rt", "std::thread"],
    },
    Layer {
        name: "event",
        uses: Only(&["sync", "wire"]),
        never: &["actix_rt", "std::thread"],
    },
    Layer {
        name: "config",
        uses: Only(&["transport", "engine", "payload", "authorize"]),
        never: &["actix_rt", "std::thread"],
    },
    Layer {
        name: "telemetry",
        uses: Only(&["engine", "clock"]),
        never: &["std::net"],
    },
    // What the fuzzers reach inside.
    Layer {
        name: "fuzzing",
        uses: Everything,
        never: &[],
    },
    // What tests of applications are made of.
    Layer {
        name: "testing",
        uses: Everything,
        never: &["std::net", "socket2"],
    },
    // Public modules that only name what is elsewhere.
    Layer {
        name: "stats",
        uses: Only(&["routing", "subscription"]),
        never: RUNTIMES,
    },
    Layer {
        name: "tls",
        uses: Only(&["transport"]),
        never: RUNTIMES,
    },
    // The public face.
    Layer {
        name: "socket",
        uses: Everything,
        never: &["std::net", "socket2"],
    },
    // Whole sockets on a simulated network; a test that reaches inside all of them.
    Layer {
        name: "simulation",
        uses: Everything,
        never: &["actix_rt", "std::net", "std::thread", "socket2"],
    },
    // The mount in a web server: requests on one side, byte streams on the other.
    Layer {
        name: "web",
        uses: Only(&["socket", "actor", "transport"]),
        never: &["std::net", "socket2"],
    },
    // Models of the data path's hand-overs.
    Layer {
        name: "loom_models",
        uses: Everything,
        never: &["std::net", "socket2"],
    },
    Layer {
        name: "prelude",
        uses: Everything,
        never: &[],
    },
];

const DATA_PATH: Uses = Only(&[
    "link",
    "inbox",
    "routing",
    "sync",
    "receipt",
    "wire",
    "clock",
    "payload",
    "engine",
    "authorize",
]);

impl Layer {
    /// Why this layer must not use a path, if it must not.
    pub(crate) fn objection_to(&self, path: &str) -> Option<String> {
        let within = |prefix: &str| {
            path.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        if let Some(never) = self.never.iter().find(|never| within(never)) {
            return Some(format!("{} must not know {never}", self.name));
        }
        let inner = path.strip_prefix("crate::")?.split("::").next()?;
        // A name from the crate's root is a public type, and documentation apart it belongs to
        // some layer: it is to be named from there.
        let is_layer = LAYERS.iter().any(|layer| layer.name == inner);
        let allowed = match self.uses {
            Everything => true,
            Only(uses) => inner == self.name || ANYWHERE.contains(&inner) || uses.contains(&inner),
        };
        match (allowed, is_layer) {
            (true, _) => None,
            (false, true) => Some(format!("{} is not below {}", inner, self.name)),
            (false, false) => Some("name it by its layer, not from the crate's root".into()),
        }
    }
}
