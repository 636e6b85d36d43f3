//! The exporter: reads sockets now and then, and tells the recorder.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::metrics::{Key, Label, Level, Metadata, with_recorder};

use super::catalog::{ALL, Kind, Metric, NOT_LIVE, NOT_READY};
use super::distributions::{Times, render};
use super::readings::{Reading, of_socket};
use crate::core::SocketCore;
use crate::health::HealthCriteria;
use crate::socket::Socket;
use crate::sync::Mutex;
use crate::telemetry;
use crate::timer::Interval;

/// The label of sockets without a name.
const UNNAMED: &str = "unnamed";

static METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Tells the recorder of the `metrics` facade how sockets fare. Clones are one exporter.
///
/// It keeps no socket open. What a closed socket has counted stays in the counters, so that they never go back.
#[derive(Debug, Clone, Default)]
#[must_use = "it does nothing until it is started, or `record` is called"]
pub struct MetricsExporter {
    sources: Arc<Mutex<Sources>>,
}

#[derive(Debug, Default)]
struct Sources {
    sockets: Vec<(Arc<SocketCore>, HealthCriteria)>,
    /// What sockets had counted that have ended.
    ended: Series,
    /// The times of handlers and asks that they had measured.
    ended_times: BTreeMap<String, Times>,
    is_described: bool,
}

/// The label of the socket, the metric, and its other label.
type SeriesKey = (String, &'static str, Option<(&'static str, &'static str)>);

/// Values of series, in which sockets that share a label are added up.
#[derive(Debug, Clone, Default)]
struct Series(BTreeMap<SeriesKey, (Kind, u64)>);

impl Series {
    fn add(&mut self, socket: &str, reading: Reading) {
        let Reading {
            metric: Metric { name, kind, .. },
            label,
            value,
        } = reading;
        let key = (socket.to_owned(), *name, label);
        let (_, sum) = self.0.entry(key).or_insert((*kind, 0));
        *sum = sum.saturating_add(value);
    }
}

impl MetricsExporter {
    /// An exporter of no socket yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads this socket as well.
    pub fn socket(self, socket: &Socket) -> Self {
        self.socket_with(socket, HealthCriteria::new())
    }

    /// Reads this socket as well, and judges by these criteria whether it is ready.
    pub fn socket_with(self, socket: &Socket, criteria: HealthCriteria) -> Self {
        self.add(socket, criteria);
        self
    }

    /// Reads this socket as well from now on, when others are read already.
    pub fn add(&self, socket: &Socket, criteria: HealthCriteria) {
        let mut sources = self.sources.lock();
        socket.core().timings.start();
        sources.sockets.push((Arc::clone(socket.core()), criteria));
    }

    /// How long handlers and asks of the sockets took, as histograms in the text format of Prometheus: `aiomsg_handling_seconds` and
    /// `aiomsg_ask_seconds`. It stands behind the page of the recorder, `page.render() + &exporter.histograms()`, because the facade
    /// takes single values alone, which would cost each message what it costs a recorder to keep one.
    ///
    /// Times are measured from when the exporter was told of a socket.
    #[must_use]
    pub fn histograms(&self) -> String {
        let sources = self.sources.lock();
        let mut times = sources.ended_times.clone();
        for (core, _) in &sources.sockets {
            let label = label_of(core).to_owned();
            times
                .entry(label)
                .or_default()
                .add(&Times::of(&core.timings));
        }
        drop(sources);
        render(&times)
    }

    /// Tells the recorder how the sockets fare now; for a page that is asked for them, just before it answers. It takes
    /// a lock of each link for a moment, as [`Socket::stats`] does.
    pub fn record(&self) {
        let mut sources = self.sources.lock();
        if !std::mem::replace(&mut sources.is_described, true) {
            describe();
        }
        let readings = sources.read();
        drop(sources);
        tell(&readings);
    }

    /// Tells the recorder now and again after each `period`, from this thread's arbiter, until it ends.
    ///
    /// # Panics
    ///
    /// Outside of an actix system and of a `LocalSet`.
    pub fn start(self, period: Duration) {
        actix_rt::spawn(async move {
            let interval = Interval::every(period);
            loop {
                self.record();
                interval.next().await;
            }
        });
    }
}

impl Sources {
    /// The sums of all sockets. Those that have ended in order are read for the last time.
    fn read(&mut self) -> Series {
        let mut series = self.ended.clone();
        let (ended, ended_times) = (&mut self.ended, &mut self.ended_times);
        self.sockets.retain(|(core, criteria)| {
            let health = core.health(criteria);
            // One that was given up goes on to be counted as that.
            let is_closed = core.lifecycle.report().is_some();
            let is_over = is_closed && health.is_live();
            let name = label_of(core);
            if is_over {
                let times = ended_times.entry(name.to_owned()).or_default();
                times.add(&Times::of(&core.timings));
            }
            for mut reading in of_socket(&core.stats(), &health) {
                match reading.metric.kind {
                    Kind::Counter if is_over => ended.add(name, reading),
                    Kind::Gauge if is_over => {
                        // The last peer is gone, and nothing is queued: the series goes to zero, and stays.
                        ended.add(
                            name,
                            Reading {
                                value: 0,
                                ..reading
                            },
                        );
                        continue;
                    }
                    // A closed one that was given up has its verdict, and no limits or queues any more.
                    Kind::Gauge if is_closed && !is_verdict(reading.metric) => reading.value = 0,
                    Kind::Counter | Kind::Gauge => {}
                }
                series.add(name, reading);
            }
            !is_over
        });
        series
    }
}

/// True if it says how a socket fares, and not what it has.
fn is_verdict(metric: &Metric) -> bool {
    [NOT_LIVE.name, NOT_READY.name].contains(&metric.name)
}

/// The label of a socket.
fn label_of(core: &SocketCore) -> &str {
    core.config.name.as_deref().unwrap_or(UNNAMED)
}

fn describe() {
    with_recorder(|recorder| {
        for Metric {
            name,
            kind,
            unit,
            help,
        } in ALL
        {
            let (name, unit, help) = ((*name).into(), Some(*unit), (*help).into());
            match kind {
                Kind::Counter => recorder.describe_counter(name, unit, help),
                Kind::Gauge => recorder.describe_gauge(name, unit, help),
            }
        }
        let help = "Restarts of a supervised actor.".into();
        recorder.describe_counter(telemetry::RESTARTS.into(), None, help);
    });
}

fn tell(series: &Series) {
    with_recorder(|recorder| {
        for ((socket, name, label), (kind, value)) in &series.0 {
            let mut labels = vec![Label::new("socket", socket.clone())];
            if let Some((name, value)) = *label {
                labels.push(Label::from_static_parts(name, value));
            }
            let key = Key::from_parts(*name, labels);
            match kind {
                Kind::Counter => recorder.register_counter(&key, &METADATA).absolute(*value),
                #[allow(clippy::cast_precision_loss, reason = "as all gauges are")]
                Kind::Gauge => recorder.register_gauge(&key, &METADATA).set(*value as f64),
            }
        }
    });
}
