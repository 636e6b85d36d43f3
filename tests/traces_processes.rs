//! One purchase over three processes, as a collector of OpenTelemetry gets it.

mod support;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use actix_web::{App, HttpResponse, HttpServer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;
use serde_json::json;
use support::example;
use support::process::Process;
use support::python::{PythonOptions, PythonPeer};
use support::webdriver::Browser;

/// A collector that takes OTLP by HTTP, and keeps what it gets.
struct Collector {
    address: SocketAddr,
    got: Arc<Mutex<Vec<ResourceSpans>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&got);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let request = serve(stream.unwrap()).expect("a request");
                kept.lock().unwrap().extend(request.resource_spans);
            }
        });
        Self { address, got }
    }

    /// The spans that have come, each with the service that it is of.
    fn spans(&self) -> Vec<(String, Span)> {
        let got = self.got.lock().unwrap();
        let mut all = Vec::new();
        for of in got.iter() {
            let attributes = of.resource.iter().flat_map(|from| &from.attributes);
            let mut named = attributes.filter(|at| at.key == "service.name");
            let service = named.next().and_then(|at| at.value.as_ref()?.value.clone());
            let Some(Value::StringValue(service)) = service else {
                panic!("a service without a name");
            };
            let spans = of.scope_spans.iter().flat_map(|scope| &scope.spans);
            all.extend(spans.map(|span| (service.clone(), span.clone())));
        }
        all
    }
}

/// Takes one request, and says that all is well.
fn serve(stream: TcpStream) -> io::Result<ExportTraceServiceRequest> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line)?;
    assert_eq!(line, "POST /v1/traces HTTP/1.1\r\n");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line)?;
        let header = line.to_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        } else if let Some(value) = header.strip_prefix("content-type:") {
            assert_eq!(value.trim(), "application/x-protobuf");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    stream
        .get_mut()
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    Ok(ExportTraceServiceRequest::decode(&body[..]).expect("OTLP"))
}

/// The three processes, of which the front has bought and ended.
struct Purchase {
    orders: Process,
    inventory: Process,
    /// Where the news are.
    news: u16,
    desk: String,
    options: String,
}

impl Purchase {
    async fn begin(options: String) -> Self {
        let spawn = |role: &str| {
            let options = format!("{role} {options}");
            Process::spawn(&mut example::command("traces", &options))
        };
        let mut orders = spawn("orders");
        let places = orders.line().await;
        let places: Vec<&str> = places.split(' ').collect();
        let [desk, stock, news] = places[..] else {
            panic!("three endpoints: {places:?}");
        };
        let port = news.rsplit(':').next().unwrap().parse().unwrap();
        let mut inventory = spawn(&format!("inventory {stock} {news}"));
        assert_eq!(inventory.line().await, "ready");
        Self {
            orders,
            inventory,
            news: port,
            desk: desk.to_owned(),
            options,
        }
    }

    /// Buys one tea, and yields the trace that the front knows.
    async fn buy(&mut self) -> String {
        let options = format!("front {} {}", self.desk, self.options);
        let mut front = Process::spawn(&mut example::command("traces", &options));
        let line = front.line().await;
        assert!(front.exit().await.success(), "{}", front.complaint().await);
        assert_eq!(self.inventory.line().await, "tea was sold");
        let (told, trace) = line.rsplit_once(' ').unwrap();
        assert!(told.ends_with("teas are left; the trace is"), "{line}");
        trace.to_owned()
    }

    /// Ends the processes, which sends what spans are left.
    async fn end(mut self) {
        for process in [&mut self.orders, &mut self.inventory] {
            process.signal("TERM");
            assert!(process.exit().await.success());
        }
    }
}

/// The one span of a service with this name.
fn find(spans: &[(String, Span)], service: &str, name: &str) -> Span {
    let mut found = spans
        .iter()
        .filter(|(of, span)| of == service && span.name == name);
    let one = found.next().unwrap_or_else(|| panic!("{service}: {name}"));
    assert!(found.next().is_none(), "{service}: {name} twice");
    one.1.clone()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The spans of one purchase, by the service that each is of; those of the asks are all in one trace.
async fn purchase(relation: &str) -> (String, Vec<(String, Span)>) {
    let collector = Collector::start();
    let options = format!("--otlp http://{} --relation {relation}", collector.address);
    let mut purchase = Purchase::begin(options).await;
    let trace = purchase.buy().await;
    purchase.end().await;
    let spans = collector.spans();
    let chain = [
        ("front", "buy", SpanKind::Internal),
        ("front", "ask purchase", SpanKind::Client),
        ("orders", "answer purchase", SpanKind::Server),
        ("orders", "ask take", SpanKind::Client),
        ("inventory", "answer take", SpanKind::Server),
    ];
    let mut parent = Vec::new();
    for (service, name, kind) in chain {
        let span = find(&spans, service, name);
        assert_eq!(hex(&span.trace_id), trace, "{service}: {name}");
        assert_eq!(span.parent_span_id, parent, "{service}: {name}");
        assert_eq!(span.kind(), kind, "{service}: {name}");
        parent = span.span_id;
    }
    // Published from inside of the handler, which had asked meanwhile.
    let publish = find(&spans, "orders", "publish sold");
    let answer = find(&spans, "orders", "answer purchase");
    assert_eq!(hex(&publish.trace_id), trace);
    assert_eq!(publish.parent_span_id, answer.span_id);
    assert_eq!(publish.kind(), SpanKind::Producer);
    let process = find(&spans, "inventory", "process sold");
    assert_eq!(process.kind(), SpanKind::Consumer);
    let [link] = &process.links[..] else {
        panic!("one link: {process:#?}");
    };
    assert_eq!(link.span_id, publish.span_id);
    assert_eq!(link.trace_id, publish.trace_id);
    assert_eq!(spans.len(), 7, "{spans:#?}");
    (trace, spans)
}

#[actix::test]
async fn one_purchase_over_three_processes_is_one_trace_with_a_link_from_what_was_published() {
    let (trace, spans) = purchase("linked").await;
    let process = find(&spans, "inventory", "process sold");
    assert_ne!(hex(&process.trace_id), trace, "a trace of its own");
    assert!(process.parent_span_id.is_empty());
}

#[actix::test]
async fn by_option_the_handling_of_what_was_published_is_in_the_trace_as_well() {
    let (trace, spans) = purchase("child").await;
    let process = find(&spans, "inventory", "process sold");
    let publish = find(&spans, "orders", "publish sold");
    assert_eq!(hex(&process.trace_id), trace);
    assert_eq!(process.parent_span_id, publish.span_id);
}

const MODULE: &str = include_str!("../examples/browser/aiomsg.js");

/// Serves a page with nothing on it, and the module.
fn serve_module() -> SocketAddr {
    let server = HttpServer::new(|| {
        let file = |kind: &'static str, text: &'static str| {
            let answer = move || async move { HttpResponse::Ok().content_type(kind).body(text) };
            actix_web::web::get().to(answer)
        };
        App::new()
            .route("/", file("text/html", "<title>t</title>"))
            .route("/aiomsg.js", file("text/javascript", MODULE))
    });
    let server = server.workers(1).disable_signals();
    let server = server.bind("127.0.0.1:0").expect("a free port");
    let address = server.addrs()[0];
    actix::spawn(server.run());
    address
}

#[actix::test]
async fn a_python_peer_and_the_browser_module_get_bare_payloads_in_the_same_conversation() {
    let collector = Collector::start();
    let options = format!("--otlp http://{} --relation linked", collector.address);
    let mut purchase = Purchase::begin(options).await;
    let mut python = PythonPeer::start(&PythonOptions::connect(purchase.news)).await;
    let page = serve_module();
    let browser = Browser::start().await;
    browser.open(&format!("http://{page}/")).await;
    let url = format!("ws://127.0.0.1:{}/", purchase.news);
    let heard = actix::spawn(async move {
        let script = "for await (const message of aiomsg.connect(given.url)) return Array.from(message.payload);";
        let heard = browser.run(script, json!({ "url": url })).await;
        (heard, python.receive(1).await)
    });
    // What is published before they are connected is lost to them.
    let mut bought = 0;
    while !heard.is_finished() {
        purchase.buy().await;
        bought += 1;
    }
    let (browser, python) = heard.await.unwrap();
    const BARE: &str = r#"sold {"item":"tea"}"#;
    assert_eq!(browser, json!(BARE.as_bytes()));
    assert_eq!(python, [BARE]);
    purchase.end().await;
    let spans = collector.spans();
    let published =
        |(service, span): &&(String, Span)| service == "orders" && span.name == "publish sold";
    assert_eq!(spans.iter().filter(published).count(), bought);
}
