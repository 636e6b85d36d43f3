//! Why a bridge does not run.

/// Why a bridge does not start, or does not go on for now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// No server could be reached.
    #[error("no NATS server at {servers}: {reason}")]
    Unreachable {
        /// The addresses that were tried.
        servers: String,
        /// What the last attempt said.
        reason: String,
    },
    /// The server refuses the credentials, or wants some.
    #[error(
        "the NATS server at {servers} refuses us: {reason}; see Bridge::options for credentials"
    )]
    Refused {
        /// The addresses that were tried.
        servers: String,
        /// What the server said.
        reason: String,
    },
    /// The server has no JetStream, or this account has none.
    #[error(
        "the NATS server has no JetStream: {reason}; start it with `-js`, or use subjects without a stream"
    )]
    NoJetStream {
        /// What the server said.
        reason: String,
    },
    /// JetStream does not answer: its cluster has no leader, for instance.
    #[error("JetStream does not answer: {reason}")]
    JetStreamDown {
        /// What was asked, and what became of it.
        reason: String,
    },
    /// The stream is there with other settings than those that were asked for.
    #[error("the stream {stream} has other settings: {}; change it, or the settings, or take it as it is with Stream::existing", differences.join("; "))]
    StreamDiffers {
        /// The stream.
        stream: String,
        /// Each setting: what it is, and what it should be.
        differences: Vec<String>,
    },
    /// The stream, which is to exist already, does not.
    #[error("there is no stream {stream}; make it, or name its settings with Stream::new")]
    NoStream {
        /// The stream.
        stream: String,
    },
    /// The stream does not take the subject, so that nothing would be stored.
    #[error("the stream {stream} has no subject for {subject}; it has {subjects}")]
    SubjectOutside {
        /// The stream.
        stream: String,
        /// The subject that is to be stored or read.
        subject: String,
        /// The subjects of the stream.
        subjects: String,
    },
    /// The server does not make the stream or the consumer.
    #[error("the server does not make {what}: {reason}")]
    NotMade {
        /// `the stream ORDERS`, for instance.
        what: String,
        /// What the server said.
        reason: String,
    },
    /// A setting of the bridge cannot be used.
    #[error("{0}")]
    Configuration(String),
    /// The socket is closed.
    #[error("the socket is closed")]
    Closed,
    /// A consumer or a subscription ended.
    #[error("{what} ended: {reason}")]
    Lost {
        /// The consumer or the subscription.
        what: String,
        /// What is known of it.
        reason: String,
    },
}

impl BridgeError {
    pub(crate) fn configuration(problem: impl Into<String>) -> Self {
        Self::Configuration(problem.into())
    }
}
