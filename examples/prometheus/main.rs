//! Two services in one program, with what an operator wants of them: figures for Prometheus, and answers to probes.
//! The files beside this one have a dashboard for Grafana, and rules that raise an alarm.

#[macro_use]
#[path = "../support/say.rs"]
mod say;
#[path = "../support/failure.rs"]
mod failure;
#[path = "../support/log.rs"]
mod log;

use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::{prelude::*, web};
use actix_web::web::{Data, get};
use actix_web::{App, HttpResponse, HttpServer};
use clap::Parser;
use failure::Failure;
use log::log_from;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::LevelFilter;

/// Two services with figures for Prometheus; runs until Ctrl-C.
#[derive(Parser)]
struct Options {
    /// The port of `/metrics`, `/livez` and `/readyz`, a free one if you do not say.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Answers what it is sent. Every hundredth job makes it panic, and its supervisor starts it again.
struct Stock(WeakSocket, u32);

impl Actor for Stock {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe(ctx);
    }
}

impl Handler<Received> for Stock {
    type Result = ();
    fn handle(&mut self, job: Received, _: &mut Self::Context) {
        self.1 += 1;
        assert!(self.1 < 100, "a bad job");
        if let Err(error) = job.reply("in stock") {
            eprintln!("{error}");
        }
    }
}

#[actix::main]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    log_from(LevelFilter::INFO);
    let page = PrometheusBuilder::new().install_recorder()?;
    let stock = Socket::builder().name("stock").start()?;
    let orders = Socket::builder().name("orders").start()?;

    let jobs = stock.downgrade();
    supervise(move || Stock(jobs.clone(), 0))
        .name("stock")
        .intensity(5, Duration::from_secs(10))
        .start();
    orders
        .connect(stock.bind("tcp://127.0.0.1:0").await?)
        .await?;
    let (asking, answers) = (orders.clone(), orders.clone());
    actix::spawn(async move {
        while asking.send("a job").await.is_ok() {
            actix::clock::sleep(Duration::from_millis(50)).await;
        }
    });
    actix::spawn(async move { while answers.recv().await.is_ok() {} });

    let only_connects = HealthCriteria::new().without_listener().min_peers(1);
    let exporter = MetricsExporter::new()
        .socket(&stock)
        .socket_with(&orders, only_connects);
    let probes = web::health("/livez", "/readyz")
        .socket(&stock)
        .socket_with(&orders, only_connects);
    let site = HttpServer::new(move || {
        App::new()
            .app_data(Data::new((exporter.clone(), page.clone())))
            .service(probes.clone())
            .route("/metrics", get().to(metrics))
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", options.port))?;
    println!("http://{}/metrics", site.addrs()[0]);
    let site = site.run();
    let web = site.handle();
    actix::spawn(site);

    let drain = Drain::within(Duration::from_secs(10));
    let report = stock.run_until_signal(drain).await?;
    orders.close().await;
    web.stop(true).await;
    eprintln!("{report:?}");
    Ok(())
}

/// The page that Prometheus reads: the sockets are asked when it is.
async fn metrics(app: Data<(MetricsExporter, PrometheusHandle)>) -> HttpResponse {
    let (exporter, page) = app.get_ref();
    exporter.record();
    page.run_upkeep();
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(page.render() + &exporter.histograms())
}
