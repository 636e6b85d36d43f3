//! One purchase over three processes, followed by OpenTelemetry: the front asks orders, orders asks the inventory, and tells everybody what
//! was sold.
//!
//! ```text
//! cargo run --features otel --example traces -- --otlp http://localhost:4318
//! ```
//!
//! The address is that of a collector that takes OTLP by HTTP, such as Jaeger's. Without it the processes do the same, without spans.

#[macro_use]
#[path = "../support/say.rs"]
mod say;
#[path = "../shop/children.rs"]
mod children;
#[path = "../support/failure.rs"]
mod failure;
mod inventory;
mod messages;
mod orders;
#[path = "../support/otlp.rs"]
mod otlp;

use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use clap::{Parser, Subcommand, ValueEnum};
use opentelemetry::global;
use opentelemetry::trace::{FutureExt, TraceContextExt, Tracer};

use crate::children::Service;
use crate::failure::Failure;
use crate::inventory::Inventory;
use crate::messages::Purchase;
use crate::orders::Orders;

/// One purchase over three processes, followed by OpenTelemetry.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Where the collector is: the address of OTLP by HTTP, such as http://localhost:4318.
    #[arg(long, global = true)]
    otlp: Option<String>,
    /// Where the handling of what was published belongs: to a trace of its own with a link, or to the trace of its sender.
    #[arg(long, global = true, value_enum, default_value = "linked")]
    relation: Relation,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Relation {
    Linked,
    Child,
}

/// One of the three processes.
#[derive(Debug, Subcommand)]
enum Role {
    /// Takes orders; says where customers ask, where the inventory connects, and where the news are.
    Orders,
    /// Knows what is on the shelf.
    Inventory {
        /// Where orders asks it.
        stock: String,
        /// Where the news are.
        news: String,
    },
    /// Buys once.
    Front {
        /// Where orders is asked.
        desk: String,
    },
}

impl Options {
    /// A socket with this name, whose spans go to the collector if there is one.
    fn socket(&self, name: &str, mode: SendMode) -> Result<Socket, Failure> {
        let builder = Socket::builder().name(name).send_mode(mode);
        let builder = match (&self.otlp, self.relation) {
            (None, _) => builder,
            (Some(_), Relation::Linked) => builder.traces(SpanRelation::Linked),
            (Some(_), Relation::Child) => builder.traces(SpanRelation::Child),
        };
        Ok(builder.start()?)
    }

    fn name(&self) -> &'static str {
        match self.role {
            None | Some(Role::Front { .. }) => "front",
            Some(Role::Orders) => "orders",
            Some(Role::Inventory { .. }) => "inventory",
        }
    }
}

#[actix::main]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let collector = options.otlp.as_deref();
    let provider = collector.map(|url| otlp::install(options.name(), url));
    let provider = provider.transpose()?;
    let done = match &options.role {
        None => run_all(&options).await,
        Some(Role::Orders) => run_orders(&options).await,
        Some(Role::Inventory { stock, news }) => run_inventory(&options, stock, news).await,
        Some(Role::Front { desk }) => buy(&options, desk).await,
    };
    if let Some(provider) = provider {
        // The exporter has a thread of its own, for which this waits.
        tokio::task::spawn_blocking(move || provider.shutdown()).await??;
    }
    done
}

async fn run_orders(options: &Options) -> Result<(), Failure> {
    let desk = options.socket("desk", SendMode::RoundRobin)?;
    let stock = options.socket("stock", SendMode::RoundRobin)?;
    let news = options.socket("news", SendMode::Publish)?;
    let mut places = Vec::new();
    for socket in [&desk, &stock, &news] {
        places.push(socket.bind("tcp://127.0.0.1:0").await?.to_string());
    }
    let orders = Orders {
        desk: desk.downgrade(),
        stock,
        news,
    };
    orders.start();
    println!("{}", places.join(" "));
    desk.run_until_signal(Drain::within(Duration::from_secs(5)))
        .await?;
    Ok(())
}

async fn run_inventory(options: &Options, stock: &str, news: &str) -> Result<(), Failure> {
    let (asked, heard) = (
        options.socket("stock", SendMode::RoundRobin)?,
        options.socket("news", SendMode::RoundRobin)?,
    );
    let inventory = Inventory {
        stock: asked.downgrade(),
        news: heard.downgrade(),
        left: 1_000,
    };
    inventory.start();
    for (socket, endpoint) in [(&asked, stock), (&heard, news)] {
        socket.connect(endpoint).await?;
        socket.wait_for_peers(1).await?;
    }
    println!("ready");
    asked
        .run_until_signal(Drain::within(Duration::from_secs(5)))
        .await?;
    Ok(())
}

/// Buys a tea, inside of a span of the program's own.
async fn buy(options: &Options, desk: &str) -> Result<(), Failure> {
    let socket = options.socket("front", SendMode::RoundRobin)?;
    socket.connect(desk).await?;
    let context = opentelemetry::Context::current_with_span(global::tracer("front").start("buy"));
    let item = "tea".to_owned();
    let buying = async { socket.ask(Whom::Any, &Purchase { item }).await };
    let bought = buying.with_context(context.clone()).await;
    context.span().end();
    let receipt = bought?;
    let trace = context.span().span_context().trace_id();
    println!("{} teas are left; the trace is {trace}", receipt.left);
    socket.close().await;
    Ok(())
}

/// Starts the other two processes, and buys.
async fn run_all(options: &Options) -> Result<(), Failure> {
    let relation = format!("--relation={}", options.relation.word());
    let collector = options.otlp.iter().map(|url| format!("--otlp={url}"));
    let shared: Vec<String> = std::iter::once(relation).chain(collector).collect();
    let start = |role: &[&str]| {
        let shared = shared.iter().map(String::as_str);
        Service::start(&role.iter().copied().chain(shared).collect::<Vec<_>>())
    };
    let mut orders = start(&["orders"])?;
    let places: Vec<String> = orders.endpoint.split(' ').map(str::to_owned).collect();
    let [desk, stock, news] = &places[..] else {
        return Err("orders has three endpoints".into());
    };
    let mut inventory = start(&["inventory", stock, news])?;
    buy(options, desk).await?;
    orders.stop()?;
    inventory.stop()?;
    Ok(())
}

impl Relation {
    const fn word(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Child => "child",
        }
    }
}
