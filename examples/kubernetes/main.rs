//! A service whose instances an orchestrator starts and stops, and a front that finds them by DNS: the programs of the
//! manifests beside this file.

#[macro_use]
#[path = "../support/say.rs"]
mod say;
#[path = "../support/failure.rs"]
mod failure;
#[path = "../support/log.rs"]
mod log;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::{payload, prelude::*, web};
use actix_web::web::{Data, Path, get};
use actix_web::{App, HttpResponse, HttpServer};
use clap::{Parser, Subcommand};
use failure::Failure;
use log::log_from;
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::LevelFilter;

/// Less than `terminationGracePeriodSeconds` minus the seconds of `preStop`.
const DRAIN: Duration = Duration::from_secs(20);

/// A service and its front, for an orchestrator; each runs until SIGTERM.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    role: Role,
    /// The port of `/livez` and `/readyz`; of a front, of `/square/N` as well.
    #[arg(long, default_value_t = 8080, global = true)]
    http: u16,
}

#[derive(Subcommand)]
enum Role {
    /// One instance of the service.
    Worker {
        /// The port that fronts connect to.
        #[arg(long, default_value_t = 25000)]
        port: u16,
    },
    /// Answers HTTP requests by asking whichever worker has the least to do.
    Front {
        /// Where the workers are: a name that stands for all of them.
        #[arg(long, default_value = "dns+tcp://workers:25000")]
        workers: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Square {
    of: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Squared {
    is: u64,
    by: String,
}

payload!(Square = "square " => Squared, Squared = "squared ");

struct Worker {
    socket: WeakSocket,
    instance: String,
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let offer = self.socket.offer("square");
        let named = offer.and_then(|offer| offer.instance(&self.instance));
        match named {
            Ok(offer) => drop(offer.serve::<Square>(ctx)),
            Err(error) => eprintln!("square: {error}"),
        }
    }
}

impl Handler<Ask<Square>> for Worker {
    type Result = Answer<Square>;

    fn handle(&mut self, ask: Ask<Square>, _: &mut Self::Context) -> Self::Result {
        let squared = ask.of.checked_mul(ask.of);
        Ok(Squared {
            is: squared.ok_or_else(|| AskFailure::new("too large"))?,
            by: self.instance.clone(),
        })
    }
}

#[actix::main]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    log_from(LevelFilter::INFO);
    // The name of a pod is its host name.
    let instance = std::env::var("HOSTNAME").unwrap_or_else(|_| std::process::id().to_string());
    let (socket, criteria) = match &options.role {
        Role::Worker { port } => {
            let socket = Socket::builder().name("worker").start()?;
            let weak = socket.downgrade();
            supervise(move || Worker {
                socket: weak.clone(),
                instance: instance.clone(),
            })
            .name("square")
            .start();
            println!("{}", socket.bind(("0.0.0.0", *port)).await?);
            (socket, HealthCriteria::new())
        }
        Role::Front { workers } => {
            let socket = Socket::builder().name("front").start()?;
            socket.connect(workers).await?;
            // A front that has no worker is alive, and not ready.
            (
                socket,
                HealthCriteria::new().without_listener().min_peers(1),
            )
        }
    };
    let service = socket.service("square");
    let probes = web::health("/livez", "/readyz").socket_with(&socket, criteria);
    let site = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(service.clone()))
            .service(probes.clone())
            .route("/square/{number}", get().to(square))
    })
    .workers(1)
    .disable_signals()
    .bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, options.http)))?;
    println!("http://{}", site.addrs()[0]);
    let site = site.run();
    let web = site.handle();
    actix::spawn(site);
    let report = socket.run_until_signal(Drain::within(DRAIN)).await?;
    web.stop(true).await;
    eprintln!("{report:?}");
    Ok(())
}

/// Asks a worker. That a square is worked out twice does no harm, so a worker that dies costs nothing but time.
async fn square(service: Data<Service>, number: Path<u64>) -> HttpResponse {
    let ask = Square { of: *number };
    let answer = service.ask(&ask).idempotent().retry(2);
    match answer.await {
        Ok(Squared { is, by }) => HttpResponse::Ok().body(format!("{is} by {by}\n")),
        Err(error) => HttpResponse::ServiceUnavailable().body(format!("{error}\n")),
    }
}
