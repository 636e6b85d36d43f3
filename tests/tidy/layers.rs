//! The modules of `src` in their one order, and what each must not know.

/// One folder, or one file, directly below `src`.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    /// Crates, and modules of the standard library, that it must not know.
    never: &'static [&'static str],
}

const RUNTIMES: &[&str] = &[
    "tokio",
    "tokio_util",
    "actix",
    "actix_rt",
    "std::net",
    "std::thread",
];

/// From the bottom to the top: a module uses only those that stand before it.
pub(crate) const ORDER: &[Layer] = &[
    // What everything may use, uses hardly anything itself.
    Layer {
        name: "id",
        never: RUNTIMES,
    },
    Layer {
        name: "clock",
        never: &["actix", "std::net"],
    },
    Layer {
        name: "excerpt",
        never: RUNTIMES,
    },
    Layer {
        name: "detach",
        never: RUNTIMES,
    },
    Layer {
        name: "sync",
        never: RUNTIMES,
    },
    // Bytes, and nothing else. Of the runtimes it knows the codec traits alone.
    Layer {
        name: "wire",
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
    // The plain values of a connection, which errors and events are made of.
    Layer {
        name: "address",
        never: &["tokio", "actix", "actix_rt", "socket2"],
    },
    Layer {
        name: "error",
        never: &["actix_rt", "std::thread"],
    },
    // What may be chosen for a socket.
    Layer {
        name: "limits",
        never: RUNTIMES,
    },
    // Whether a socket is alive and ready, judged by facts.
    Layer {
        name: "health",
        never: RUNTIMES,
    },
    // What an actor is told, in order, when it is slower than what happens.
    Layer {
        name: "notice_queue",
        never: &["actix_rt", "std::net", "std::thread"],
    },
    Layer {
        name: "event",
        never: &["actix_rt", "std::thread"],
    },
    // Decisions: no IO, no clock, no runtime, no actors, and no state shared with other threads.
    Layer {
        name: "engine",
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
    Layer {
        name: "telemetry",
        never: &["std::net"],
    },
    // Messages that outlive the process: a store, and the thread that has it.
    Layer {
        name: "outbox",
        never: &["actix", "actix_rt", "std::net", "socket2"],
    },
    // What a socket tells whoever asked.
    Layer {
        name: "announcements",
        never: &["std::net", "std::thread"],
    },
    // How far a socket has come in its life.
    Layer {
        name: "lifecycle",
        never: &["actix", "actix_rt", "std::net", "socket2"],
    },
    // How many connections are let in.
    Layer {
        name: "admission",
        never: &["actix", "actix_rt", "std::net", "socket2"],
    },
    // Periodic wake-ups from a thread of the process.
    Layer {
        name: "timer",
        never: &["std::net", "socket2"],
    },
    // Supervision of any actor, with or without a socket.
    Layer {
        name: "supervise",
        never: &["std::net", "socket2"],
    },
    // User types to bytes.
    Layer {
        name: "payload",
        never: &["tokio", "actix_rt", "std::net", "std::thread"],
    },
    // Spans of OpenTelemetry, or nothing where the feature is off.
    Layer {
        name: "trace",
        never: &["tokio", "actix_rt", "std::net", "std::thread::spawn"],
    },
    // Byte streams, which do not know what they carry.
    Layer {
        name: "transport",
        never: &["actix"],
    },
    // Who may come in: what the application is asked about a peer.
    Layer {
        name: "authorize",
        never: &["tokio", "actix_rt", "std::net", "std::thread"],
    },
    Layer {
        name: "config",
        never: &["actix_rt", "std::thread"],
    },
    // Who is there, by a directory.
    Layer {
        name: "discovery",
        never: &["actix", "actix_rt", "std::thread"],
    },
    // The data path: shared queues and their wake-ups.
    Layer {
        name: "link",
        never: &["actix", "actix_rt", "std::net", "socket2"],
    },
    Layer {
        name: "inbox",
        never: &["actix", "actix_rt", "std::net", "socket2"],
    },
    Layer {
        name: "routing",
        never: &["actix", "actix_rt", "std::net", "socket2"],
    },
    // Inboxes on one side, the contexts of handler actors on the other.
    Layer {
        name: "subscription",
        never: &["std::net", "socket2"],
    },
    // Questions and their answers: the table, the futures, and the pump into a handler.
    Layer {
        name: "ask",
        never: &["std::net", "socket2"],
    },
    // Named services: what is offered, what peers offer, and the messages between them.
    Layer {
        name: "services",
        never: &["actix", "actix_rt", "std::net", "socket2"],
    },
    // The parts of a socket, joined.
    Layer {
        name: "core",
        never: &["actix", "actix_rt", "std::net", "socket2"],
    },
    // One byte stream, from its handshake to its end.
    Layer {
        name: "connection",
        never: &["std::net"],
    },
    // Thin shells around the engine and the data path.
    Layer {
        name: "actor",
        never: &["std::net"],
    },
    // What others see of a running socket, by a thread of its own.
    Layer {
        name: "inspection",
        never: &["actix", "actix_rt", "std::net", "socket2"],
    },
    // The public face.
    Layer {
        name: "socket",
        never: &["std::net", "socket2"],
    },
    // From one socket to another, by what the public face offers; and recordings.
    Layer {
        name: "relay",
        never: &["std::net", "socket2"],
    },
    // Public modules that only name what is elsewhere.
    Layer {
        name: "stats",
        never: RUNTIMES,
    },
    Layer {
        name: "service",
        never: RUNTIMES,
    },
    Layer {
        name: "tls",
        never: RUNTIMES,
    },
    // A socket from a file and the environment.
    Layer {
        name: "settings",
        never: &["tokio", "tokio_util", "actix", "actix_rt", "std::thread"],
    },
    // Figures for a recorder of the program's choice.
    Layer {
        name: "metrics",
        never: &["std::net", "std::thread"],
    },
    // The mount in a web server: requests on one side, byte streams on the other.
    Layer {
        name: "web",
        never: &["std::net", "socket2"],
    },
    // What tests of applications are made of.
    Layer {
        name: "testing",
        never: &["std::net", "socket2"],
    },
    // What the fuzzers reach inside.
    Layer {
        name: "fuzzing",
        never: &[],
    },
    Layer {
        name: "prelude",
        never: &[],
    },
];

/// The root, which has the modules, and what is built for tests alone.
pub(crate) const OUTSIDE: &[Layer] = &[
    Layer {
        name: "lib",
        never: &[],
    },
    // Whole sockets on a simulated network; a test that reaches inside all of them.
    Layer {
        name: "simulation",
        never: &["actix_rt", "std::net", "std::thread", "socket2"],
    },
    // Models of the data path's hand-overs.
    Layer {
        name: "loom_models",
        never: &["std::net", "socket2"],
    },
];

/// All of them.
pub(crate) fn layers() -> impl Iterator<Item = &'static Layer> {
    ORDER.iter().chain(OUTSIDE)
}

impl Layer {
    /// Why this layer must not use a path, if it must not.
    pub(crate) fn objection_to(&self, path: &str) -> Option<String> {
        let within = |prefix: &str| {
            path.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let never = self.never.iter().find(|never| within(never))?;
        Some(format!("{} must not know {never}", self.name))
    }
}
