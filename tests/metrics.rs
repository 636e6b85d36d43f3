//! The figures of sockets, as a recorder has them.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::health::HealthCriteria;
use actix_aiomsg::metrics::MetricsExporter;
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::{Part, Probe};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use support::actors::echo;
use support::panics::print_panics_briefly;
use support::{eventually, within_patience};

/// The page of a recorder, which hears of these sockets now: each series with its value.
fn page(recorder: &PrometheusRecorder, exporter: &MetricsExporter) -> BTreeMap<String, f64> {
    metrics::with_local_recorder(recorder, || exporter.record());
    series(recorder)
}

fn series(recorder: &PrometheusRecorder) -> BTreeMap<String, f64> {
    let text = recorder.handle().render();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let series = lines.map(|line| line.rsplit_once(' ').expect("a series and its value"));
    series
        .map(|(series, value)| (series.to_owned(), value.parse().expect("a number")))
        .collect()
}

fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

#[actix::test]
async fn the_figures_of_stats_become_series_with_the_name_of_the_socket() {
    let recorder = recorder();
    let server = Socket::builder().name("orders").start().unwrap();
    let client = Socket::start().unwrap();
    let exporter = MetricsExporter::new().socket(&server).socket(&client);
    let before = page(&recorder, &exporter);
    assert_eq!(before[r#"aiomsg_sockets_not_ready{socket="orders"}"#], 1.0);
    assert_eq!(before[r#"aiomsg_peers{socket="orders"}"#], 0.0);

    let _echoed = echo(&server);
    client
        .connect(server.bind("127.0.0.1:0").await.unwrap())
        .await
        .unwrap();
    for _ in 0..3 {
        client.send("twelve bytes").await.unwrap();
        within_patience("an answer", client.recv()).await.unwrap();
    }
    let after = page(&recorder, &exporter);
    let stats = server.stats();
    assert_eq!(
        after[r#"aiomsg_received_messages_total{socket="orders"}"#],
        3.0
    );
    assert_eq!(
        after[r#"aiomsg_sent_messages_total{socket="unnamed"}"#],
        3.0
    );
    assert_eq!(after[r#"aiomsg_peers{socket="orders"}"#], 1.0);
    assert_eq!(after[r#"aiomsg_sockets_not_ready{socket="orders"}"#], 0.0);
    let budget = after[r#"aiomsg_memory_budget_bytes{socket="orders"}"#];
    assert_eq!(budget, stats.limits.memory_budget as f64);
    // An identity is no label.
    let text = recorder.handle().render();
    for peer in [server.identity(), client.identity()] {
        assert!(!text.contains(&peer.to_string()), "{text}");
    }
    assert!(
        text.contains("# HELP aiomsg_queue_bytes Bytes in a queue."),
        "{text}"
    );
    assert!(
        text.contains("# TYPE aiomsg_dead_letters_total counter"),
        "{text}"
    );
}

#[actix::test]
async fn what_waits_and_what_is_lost_is_told_by_queue_and_by_reason() {
    let recorder = recorder();
    let socket = Socket::builder()
        .name("outbound")
        .outbox_capacity(2, 1_000_000)
        .outbox_overflow(Overflow::DropOldest)
        .start()
        .unwrap();
    let exporter = MetricsExporter::new().socket(&socket);
    for _ in 0..5 {
        socket.send("news").await.unwrap();
    }
    let page = page(&recorder, &exporter);
    let queue = |metric: &str, queue: &str| {
        page[&format!(r#"aiomsg_queue_{metric}{{socket="outbound",queue="{queue}"}}"#)]
    };
    assert_eq!(queue("messages", "outbox"), 2.0);
    assert!(queue("bytes", "outbox") > 0.0);
    assert_eq!(queue("limit_bytes", "outbox"), 1_000_000.0);
    assert_eq!(queue("messages", "inbox"), 0.0);
    let lost = |reason: &str| {
        page[&format!(r#"aiomsg_dead_letters_total{{socket="outbound",reason="{reason}"}}"#)]
    };
    assert_eq!((lost("overflow"), lost("expired")), (3.0, 0.0));
}

#[actix::test]
async fn sockets_without_a_name_share_a_label_and_are_added_up() {
    let recorder = recorder();
    let sockets: Vec<Socket> = (0..3).map(|_| Socket::start().unwrap()).collect();
    let exporter = MetricsExporter::new();
    for socket in &sockets {
        exporter.add(socket, HealthCriteria::new());
        socket.send("news").await.unwrap();
    }
    let of = |page: &BTreeMap<String, f64>, name: &str| {
        page[&format!(r#"aiomsg_{name}{{socket="unnamed"}}"#)]
    };
    let waiting = |page: &BTreeMap<String, f64>| page[r#"aiomsg_queue_messages{socket="unnamed",queue="outbox"}"#];
    let all = page(&recorder, &exporter);
    assert_eq!((of(&all, "sockets"), waiting(&all)), (3.0, 3.0));
    let series = all.len();
    // What a socket has counted stays when it is closed, and counts once.
    for left in [2.0, 1.0, 0.0] {
        sockets[left as usize].close_within(Duration::ZERO).await;
        for _ in 0..2 {
            let page = page(&recorder, &exporter);
            assert_eq!((of(&page, "sockets"), waiting(&page)), (left, left));
            let lost = page[r#"aiomsg_dead_letters_total{socket="unnamed",reason="closed"}"#];
            assert_eq!(lost, 3.0 - left);
            assert_eq!(page.len(), series, "no series comes or goes");
        }
    }
}

#[actix::test]
async fn a_socket_that_was_given_up_is_told_for_as_long_as_the_program_runs() {
    print_panics_briefly();
    let recorder = recorder();
    let (recipient, mut events) = Probe::recipient();
    let socket = Socket::builder()
        .on_socket_event(recipient)
        .start()
        .unwrap();
    let exporter = MetricsExporter::new().socket(&socket);
    (0..6).for_each(|_| socket.crash(Part::Router));
    let closed = |event| matches!(event, SocketEvent::Closed { .. }).then_some(());
    events.find(closed).await.expect("the end");
    for _ in 0..2 {
        let page = page(&recorder, &exporter);
        assert_eq!(page[r#"aiomsg_sockets_not_live{socket="unnamed"}"#], 1.0);
        assert_eq!(page[r#"aiomsg_sockets_not_ready{socket="unnamed"}"#], 1.0);
    }
}

struct Fragile;

impl Actor for Fragile {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "()")]
struct Break;

impl Handler<Break> for Fragile {
    type Result = ();
    fn handle(&mut self, _: Break, _: &mut Self::Context) {
        panic!("broken");
    }
}

#[test]
fn restarts_are_counted_by_the_name_of_the_actor_and_the_timer_tells_by_itself() {
    print_panics_briefly();
    let recorder = recorder();
    metrics::with_local_recorder(&recorder, || {
        System::new().block_on(async {
            let fragile = supervise(|| Fragile)
                .name("fragile")
                .intensity(5, Duration::from_secs(10))
                .start();
            let socket = Socket::builder().name("timed").start().unwrap();
            MetricsExporter::new()
                .socket(&socket)
                .start(Duration::from_millis(10));
            for _ in 0..2 {
                assert!(fragile.send(Break).await.is_err());
            }
            eventually("the restarts", || {
                series(&recorder).get(r#"aiomsg_restarts_total{child="fragile"}"#) == Some(&2.0)
            })
            .await;
            socket.send("news").await.unwrap();
            eventually("the message", || {
                let waiting = r#"aiomsg_queue_messages{socket="timed",queue="outbox"}"#;
                series(&recorder).get(waiting) == Some(&1.0)
            })
            .await;
        });
    });
}

#[actix::test]
async fn every_series_is_one_of_the_metrics_that_the_documentation_lists() {
    let recorder = recorder();
    let socket = Socket::start().unwrap();
    let page = page(&recorder, &MetricsExporter::new().socket(&socket));
    let told: std::collections::BTreeSet<&str> = page
        .keys()
        .map(|series| series.split('{').next().unwrap())
        .chain([
            "aiomsg_restarts_total",
            "aiomsg_handling_seconds",
            "aiomsg_ask_seconds",
        ])
        .collect();
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md");
    let document = std::fs::read_to_string(document).unwrap();
    let table = document.split("## Metrics").nth(1).unwrap();
    let listed: std::collections::BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `aiomsg_"))
        .map(|line| line.split(['`', '{']).next().unwrap())
        .collect();
    let told: std::collections::BTreeSet<&str> = told
        .iter()
        .map(|name| name.strip_prefix("aiomsg_").unwrap())
        .collect();
    assert_eq!(listed, told);
}

/// Answers after a while, by asking the clock alone.
struct Slow(WeakSocket);

impl Actor for Slow {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.serve::<String>(ctx);
    }
}

/// The least time that it takes.
const PAUSE: Duration = Duration::from_millis(30);

impl Handler<Ask<String>> for Slow {
    type Result = ResponseFuture<Answer<String>>;

    fn handle(&mut self, ask: Ask<String>, _: &mut Self::Context) -> Self::Result {
        Box::pin(async move {
            tokio::time::sleep(PAUSE).await;
            Ok(ask.into_request())
        })
    }
}

#[actix::test]
async fn the_times_of_handlers_and_asks_are_histograms_that_stay_when_a_socket_is_closed() {
    let (server, client) = (
        Socket::builder().name("se\"rver").start().unwrap(),
        Socket::builder().name("client").start().unwrap(),
    );
    Slow(server.downgrade()).start();
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    let ask = || client.ask(Whom::Any, &"how late is it?".to_owned());
    // Before anybody wants to know.
    ask().await.unwrap();
    let exporter = MetricsExporter::new().socket(&server).socket(&client);
    let _echoed = echo(&client);
    for _ in 0..3 {
        ask().await.unwrap();
    }
    let read = || {
        let text = exporter.histograms();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| line.rsplit_once(' ').expect("a series and its value"));
        series
            .map(|(series, value)| (series.to_owned(), value.parse::<f64>().expect("a number")))
            .collect::<BTreeMap<_, _>>()
    };
    let check = |read: &BTreeMap<String, f64>| {
        for (metric, socket) in [("handling", "se\\\"rver"), ("ask", "client")] {
            let of = |what: &str, labels: &str| {
                read[&format!("aiomsg_{metric}_seconds_{what}{{socket=\"{socket}\"{labels}}}")]
            };
            assert_eq!(of("count", ""), 3.0, "{metric}");
            assert!(of("sum", "") >= 3.0 * PAUSE.as_secs_f64());
            assert_eq!(of("bucket", ",le=\"0.025\""), 0.0, "nothing is so quick");
            assert_eq!(of("bucket", ",le=\"+Inf\""), 3.0);
        }
    };
    check(&read());

    // Of handlers that finish at once each is counted, too.
    for number in 0..200 {
        server.send(number.to_string()).await.unwrap();
    }
    let handled = r#"aiomsg_handling_seconds_count{socket="client"}"#;
    eventually("all of them", || read()[handled] >= 200.0).await;
    assert_eq!(read()[handled], 200.0);

    for socket in [&server, &client] {
        socket.close().await;
    }
    let recorder = recorder();
    for _ in 0..2 {
        page(&recorder, &exporter);
        check(&read());
        assert_eq!(read()[handled], 200.0);
    }
}
