//! The life of a service under an orchestrator: started, ready, asked to stop, draining, gone.
#![cfg(unix)]

mod support;

use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::{health::HealthCriteria, web};
use actix_web::{App, HttpServer};
use support::again;
use support::site::{answer, get};
use support::{eventually, within_patience};

/// Finishes its one job when the parent says so.
struct Worker(WeakSocket);

impl Actor for Worker {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe(ctx);
    }
}

impl Handler<Received> for Worker {
    type Result = ResponseFuture<()>;
    fn handle(&mut self, job: Received, _: &mut Self::Context) -> Self::Result {
        Box::pin(async move {
            eprintln!("begun");
            assert_eq!(again::order().await.as_deref(), Some("finish"));
            job.reply("done").expect("there is room for an answer");
        })
    }
}

/// The service: its probes are answered before it listens.
fn serve() -> ! {
    System::new().block_on(async {
        let socket = Socket::builder().name("orders").start().unwrap();
        let pages = web::health("/livez", "/readyz").socket(&socket);
        let server = HttpServer::new(move || App::new().service(pages.clone()))
            .workers(1)
            .disable_signals()
            .bind("127.0.0.1:0")
            .unwrap();
        eprintln!("web {}", server.addrs()[0].port());
        let server = server.run();
        let site = server.handle();
        actix::spawn(server);
        let _worker = Worker(socket.downgrade()).start();
        assert_eq!(again::order().await.as_deref(), Some("listen"));
        let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
        eprintln!("port {}", endpoint.port().expect("of TCP"));
        let drain = Drain::within(Duration::from_secs(60));
        let report = socket.run_until_signal(drain).await.unwrap();
        eprintln!("report {} {}", report.handled, report.unfinished);
        site.stop(true).await;
    });
    std::process::exit(0)
}

#[test]
fn a_service_is_ready_from_its_first_listener_until_it_is_asked_to_stop() {
    const TEST: &str = "a_service_is_ready_from_its_first_listener_until_it_is_asked_to_stop";
    if again::part().is_some() {
        serve();
    }
    System::new().block_on(async {
        let mut child = again::start(TEST, "service");
        let web = again::told_number(&mut child, "web ").await;
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], web as u16));
        let probe = |path: &'static str| get(address, path);

        assert_eq!(probe("/livez").await, (200, "ok\n".to_owned()));
        let unready = (503, "orders: not ready: no listener\n".to_owned());
        assert_eq!(probe("/readyz").await, unready);

        child.say("listen");
        let port = again::told_number(&mut child, "port ").await;
        assert_eq!(probe("/readyz").await, (200, "ok\n".to_owned()));

        let client = Socket::start().unwrap();
        client.connect(format!("127.0.0.1:{port}")).await.unwrap();
        client.send("a job").await.unwrap();
        child.stderr.find(|line| line == "begun").await;
        child.signal("TERM");
        let draining = (503, "orders: not ready: draining\n".to_owned());
        while probe("/readyz").await.0 == 200 {
            actix::clock::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(probe("/readyz").await, draining);
        assert_eq!(probe("/livez").await, (200, "ok\n".to_owned()));

        child.say("finish");
        let answer = within_patience("the answer", client.recv()).await.unwrap();
        assert_eq!(answer.text(), Ok("done"));
        assert_eq!(again::told(&mut child, "report ").await, "1 0");
        assert!(child.exit().await.success());
    });
}

#[actix::test]
async fn probes_are_answered_for_all_sockets_by_their_own_criteria() {
    let (first, second) = (Socket::start().unwrap(), Socket::start().unwrap());
    first.bind("127.0.0.1:0").await.unwrap();
    let criteria = HealthCriteria::new().without_listener().min_peers(1);
    let pages = web::health("/l", "/r")
        .socket(&first)
        .socket_with(&second, criteria);
    let none = web::health("/none/l", "/none/r");
    let server = HttpServer::new(move || App::new().service(pages.clone()).service(none.clone()))
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.addrs()[0];
    actix::spawn(server.run());
    let text = "the socket: not ready: 0 of the 1 peers that it needs\n";
    assert_eq!(get(address, "/r").await, (503, text.to_owned()));
    assert_eq!(get(address, "/none/l").await.0, 200);
    assert_eq!(
        get(address, "/none/r").await,
        (503, "there is no socket\n".to_owned())
    );
    let head = answer(
        address,
        "HEAD /l HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("cache-control: no-store\r\n"), "{head}");
    // The pages do not keep it open.
    let ended = second.downgrade();
    drop(second);
    assert!(ended.upgrade().is_none());
    let (status, text) = get(address, "/r").await;
    assert_eq!(status, 503, "{text}");
}

/// The thread of its socket waits in the handler until the test lets it go on.
struct Blocks(WeakSocket, std::sync::mpsc::Receiver<()>);

impl Actor for Blocks {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe(ctx);
    }
}

impl Handler<Received> for Blocks {
    type Result = ();
    fn handle(&mut self, job: Received, _: &mut Self::Context) {
        job.reply("begun").expect("there is room for an answer");
        // The message is on its way only when this thread goes on; the flag is not.
        BEGUN.store(true, std::sync::atomic::Ordering::SeqCst);
        self.1.recv().expect("the test lets it go on");
    }
}

static BEGUN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

#[test]
fn a_handler_that_blocks_the_thread_of_its_socket_does_not_hold_up_the_probes() {
    let (let_go, held) = std::sync::mpsc::channel();
    let (tell, told) = std::sync::mpsc::channel();
    // It ends with the process.
    std::thread::spawn(move || {
        System::new().block_on(async {
            let socket = Socket::start().unwrap();
            let pages = web::health("/livez", "/readyz").socket(&socket);
            let server = HttpServer::new(move || App::new().service(pages.clone()))
                .workers(1)
                .disable_signals()
                .bind("127.0.0.1:0")
                .unwrap();
            let address = server.addrs()[0];
            actix::spawn(server.run());
            let _blocks = Blocks(socket.downgrade(), held).start();
            let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
            tell.send((address, endpoint)).unwrap();
            std::future::pending::<()>().await;
        });
    });
    System::new().block_on(async {
        let (address, endpoint) = told.recv().unwrap();
        let client = Socket::start().unwrap();
        client.connect(endpoint).await.unwrap();
        client.send("a job").await.unwrap();
        eventually("the handler", || {
            BEGUN.load(std::sync::atomic::Ordering::SeqCst)
        })
        .await;
        for path in ["/livez", "/readyz"] {
            assert_eq!(get(address, path).await, (200, "ok\n".to_owned()));
        }
        let_go.send(()).unwrap();
        let answer = within_patience("the answer", client.recv()).await.unwrap();
        assert_eq!(answer.text(), Ok("begun"));
    });
}
