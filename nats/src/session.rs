//! One connection to NATS with its streams and consumers, from when they are there until one of them is not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{
    AccountErrorKind, ContextBuilder, CreateStreamErrorKind, GetStreamErrorKind,
};
use async_nats::jetstream::{Context, ErrorCode};
use async_nats::{Client, ConnectErrorKind, Event};

use crate::BridgeError;
use crate::event::BridgeEvent;
use crate::ids::StreamIds;
use crate::inbound::Delivering;
use crate::pause::LOOK;
use crate::route::{Inbound, Source, covers};
use crate::shared::Shared;
use crate::stats::add;
use crate::stream::Stream;
use crate::subscribing::Forwarding;

/// How often the client asks the server whether it is there, when that says nothing. A server that has fallen silent is given up within three times this.
const PING_EVERY: Duration = Duration::from_secs(4);

/// Beside the messages that were asked for, a subscription has room for what JetStream says of the requests.
const SAYINGS: usize = 64;

/// Ready to carry messages.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) jetstream: Context,
    pub(crate) delivering: Vec<Delivering>,
    pub(crate) forwarding: Vec<Forwarding>,
}

impl Session {
    /// Connects, and makes or checks everything that the routes want.
    pub(crate) async fn open(shared: &Arc<Shared>) -> Result<Self, BridgeError> {
        let client = connect(shared).await?;
        let settings = &shared.settings;
        let jetstream = ContextBuilder::new()
            .timeout(settings.ack_timeout)
            .max_ack_inflight(settings.window * 2)
            .backpressure_on_inflight(true)
            .build(client.clone());
        let mut session = Self {
            client,
            jetstream,
            delivering: Vec::new(),
            forwarding: Vec::new(),
        };
        let stream_of = |route: &Inbound| match &route.source {
            Source::Stream { stream, .. } => Some(stream.clone()),
            Source::Subject { .. } => None,
        };
        let outbound = settings.outbound.as_ref();
        let streams = outbound.and_then(|route| route.stream.clone());
        let mut streams = streams
            .into_iter()
            .chain(settings.inbound.iter().filter_map(stream_of))
            .peekable();
        if streams.peek().is_some() {
            session.check_account().await?;
        }
        if let Some(route) = outbound
            && let Some(stream) = &route.stream
        {
            let there = session.have_stream(stream).await?;
            let subject = match &route.peers {
                Some(_) => format!("{}.*", route.subject),
                None => route.subject.clone(),
            };
            check_covered(stream, &there.cached_info().config.subjects, &subject)?;
        }
        for route in &settings.inbound {
            session.add(shared, route).await?;
        }
        Ok(session)
    }

    async fn check_account(&self) -> Result<(), BridgeError> {
        let Err(error) = self.jetstream.query_account().await else {
            return Ok(());
        };
        let reason = format!("asked for the account: {error}");
        Err(match error.kind() {
            AccountErrorKind::JetStreamUnavailable => BridgeError::NoJetStream {
                reason: "nobody answers for it".to_owned(),
            },
            AccountErrorKind::JetStream(error) if is_absent(error.error_code()) => {
                BridgeError::NoJetStream {
                    reason: error.to_string(),
                }
            }
            _ => BridgeError::JetStreamDown { reason },
        })
    }

    /// The stream, made if need be, and as it is wanted.
    async fn have_stream(
        &self,
        stream: &Stream,
    ) -> Result<async_nats::jetstream::stream::Stream, BridgeError> {
        let name = &stream.name;
        let down = |error: &dyn std::fmt::Display| BridgeError::JetStreamDown {
            reason: format!("asked for the stream {name}: {error}"),
        };
        let there = match self.jetstream.get_stream(name).await {
            Ok(there) => there,
            Err(error) => match (error.kind(), stream.config()) {
                (GetStreamErrorKind::JetStream(error), Some(config))
                    if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    let made = self.jetstream.create_stream(config).await;
                    made.map_err(|error| match error.kind() {
                        CreateStreamErrorKind::JetStream(error) => BridgeError::NotMade {
                            what: format!("the stream {name}"),
                            reason: error.to_string(),
                        },
                        _ => down(&error),
                    })?
                }
                (GetStreamErrorKind::JetStream(error), None)
                    if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    let stream = name.clone();
                    return Err(BridgeError::NoStream { stream });
                }
                _ => return Err(down(&error)),
            },
        };
        let differences = stream.differences(&there.cached_info().config);
        match differences.is_empty() {
            true => Ok(there),
            false => Err(BridgeError::StreamDiffers {
                stream: name.clone(),
                differences,
            }),
        }
    }

    async fn add(&mut self, shared: &Arc<Shared>, route: &Inbound) -> Result<(), BridgeError> {
        match &route.source {
            Source::Subject { subject, group } => {
                let subject = match &route.peers {
                    Some(_) => format!("{subject}.*"),
                    None => subject.clone(),
                };
                let subscribed = match group {
                    Some(group) => {
                        let group = group.clone();
                        self.client.queue_subscribe(subject.clone(), group).await
                    }
                    None => self.client.subscribe(subject.clone()).await,
                };
                let subscriber = subscribed.map_err(|error| BridgeError::Lost {
                    what: format!("the subscription of {subject}"),
                    reason: error.to_string(),
                })?;
                let peers = route.peers.as_ref().map(|peers| peers.by_name());
                self.forwarding.push(Forwarding {
                    subject,
                    subscriber,
                    peers,
                });
            }
            Source::Stream {
                stream,
                durable,
                filter,
            } => {
                let there = self.have_stream(stream).await?;
                let info = there.cached_info();
                let ids = StreamIds::new(&stream.name, info.created.unix_timestamp_nanos());
                let subjects = info.config.subjects.clone();
                let mut wanted = Vec::new();
                match (&route.peers, filter) {
                    (Some(peers), Some(filter)) => {
                        for (name, peer) in peers.iter() {
                            let filter = format!("{filter}.{name}");
                            wanted.push((format!("{durable}-{name}"), Some(filter), Some(peer)));
                        }
                    }
                    (_, filter) => wanted.push((durable.clone(), filter.clone(), None)),
                }
                for (durable, filter, peer) in wanted {
                    if let Some(filter) = &filter {
                        check_covered(stream, &subjects, filter)?;
                    }
                    let consumer = self.consumer(shared, &there, &durable, filter).await?;
                    self.delivering.push(Delivering {
                        name: durable,
                        consumer,
                        ids,
                        peer,
                    });
                }
            }
        }
        Ok(())
    }

    async fn consumer(
        &self,
        shared: &Shared,
        stream: &async_nats::jetstream::stream::Stream,
        durable: &str,
        filter: Option<String>,
    ) -> Result<PullConsumer, BridgeError> {
        let settings = &shared.settings;
        let config = pull::Config {
            durable_name: Some(durable.to_owned()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: settings.ack_wait,
            // Each bridge asks for no more than its window; a bound here would be one for all bridges of the consumer.
            max_ack_pending: -1,
            filter_subject: filter.unwrap_or_default(),
            ..pull::Config::default()
        };
        // One that is there is brought to these settings, or the server says why that cannot be.
        stream.create_consumer(config).await.map_err(|error| {
            let what = format!("the consumer {durable}");
            match error.kind() {
                async_nats::jetstream::stream::ConsumerErrorKind::JetStream(error) => {
                    let reason = error.to_string();
                    BridgeError::NotMade { what, reason }
                }
                _ => BridgeError::JetStreamDown {
                    reason: format!("asked for {what}: {error}"),
                },
            }
        })
    }
}

fn check_covered(stream: &Stream, subjects: &[String], subject: &str) -> Result<(), BridgeError> {
    if subjects.iter().any(|pattern| covers(pattern, subject)) {
        return Ok(());
    }
    Err(BridgeError::SubjectOutside {
        stream: stream.name.clone(),
        subject: subject.to_owned(),
        subjects: subjects.join(", "),
    })
}

fn is_absent(code: ErrorCode) -> bool {
    [
        ErrorCode::JETSTREAM_NOT_ENABLED,
        ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT,
    ]
    .contains(&code)
}

async fn connect(shared: &Arc<Shared>) -> Result<Client, BridgeError> {
    let settings = &shared.settings;
    let told = Arc::downgrade(shared);
    let options = settings
        .options
        .clone()
        .max_reconnects(None)
        .ping_interval(PING_EVERY)
        .subscription_capacity(settings.subscription_capacity.max(settings.window) + SAYINGS)
        .event_callback(move |event| {
            if let Some(shared) = told.upgrade() {
                hear(&shared, event);
            }
            std::future::ready(())
        });
    let servers: Vec<&str> = settings.servers.split(',').map(str::trim).collect();
    let connected = options.connect(servers).await;
    connected.map_err(|error| {
        let servers = settings.servers.clone();
        let reason = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                BridgeError::Refused { servers, reason }
            }
            ConnectErrorKind::ServerParse => BridgeError::Configuration(format!(
                "the servers {servers:?}: {reason}; write nats://HOST:PORT, with commas between several"
            )),
            _ => BridgeError::Unreachable { servers, reason },
        }
    })
}

/// The client tells what happens to its connection.
fn hear(shared: &Shared, event: Event) {
    match event {
        Event::Connected => {
            add(&shared.counters.connections);
            if shared.counters.connections.load(Ordering::Relaxed) > 1 {
                tracing::info!("the bridge is connected to NATS again");
                shared.tell(BridgeEvent::Reconnected);
            }
        }
        Event::Disconnected => {
            tracing::warn!("the bridge has lost its connection to NATS");
            shared.tell(BridgeEvent::Disconnected);
        }
        Event::SlowConsumer(_) => {
            add(&shared.counters.overruns);
            shared.dropped("NATS sends faster than the socket takes");
            shared.tell(BridgeEvent::Dropped);
        }
        Event::ServerError(error) => {
            let reason = error.to_string();
            if let Some(unlogged) = shared.server_errors.permit() {
                tracing::warn!(reason, unlogged, "NATS refuses something");
            }
            shared.tell(BridgeEvent::ServerError { reason });
        }
        // Why the first connection does not come about is told by whoever wants it.
        Event::ClientError(error) if shared.counters.connections.load(Ordering::Relaxed) == 0 => {
            tracing::debug!(%error, "the client of NATS tells of an error");
        }
        Event::ClientError(error) => {
            if let Some(unlogged) = shared.client_errors.permit() {
                let reason = error.to_string();
                tracing::warn!(reason, unlogged, "the bridge cannot connect to NATS again");
            }
        }
        Event::LameDuckMode | Event::Draining | Event::Closed => {
            tracing::debug!(%event, "the client of NATS");
        }
    }
}

/// True while the client has a connection.
pub(crate) fn is_connected(client: &Client) -> bool {
    client.connection_state() == async_nats::connection::State::Connected
}

/// How often the client has connected. When this changes, what was on its way is lost.
pub(crate) fn connects(client: &Client) -> u64 {
    client.statistics().connects.load(Ordering::Relaxed)
}

/// Waits for the connection; false if it has not come in time.
pub(crate) async fn connected(client: &Client, within: Duration) -> bool {
    let waiting = async {
        while !is_connected(client) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(within, waiting).await.is_ok()
}
