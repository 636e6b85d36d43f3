//! Where a socket can live: in systems of every make, several at a time, beside a web server.

mod support;

use std::time::Duration;

use actix::System;
use actix_aiomsg::{error::StartError, prelude::*};
use actix_web::{App, HttpServer, web};
use support::log::Log;
use support::{again, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::LocalSet;
use tokio::time::timeout;
use tracing::Level;

const LONG: Duration = Duration::from_secs(30);

/// Sends one message from one new socket to another.
async fn works() {
    let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    client.send("hello").await.unwrap();
    let message = timeout(LONG, server.recv()).await.unwrap().unwrap();
    assert_eq!(message.text(), Ok("hello"));
    drop(message);
    client.close().await;
    server.close().await;
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

#[test]
fn a_socket_works_in_a_system_of_its_own_runtime_or_of_ours_and_in_a_bare_local_set() {
    System::new().block_on(works());
    System::with_tokio_rt(runtime).block_on(works());
    LocalSet::new().block_on(&runtime(), works());
}

/// Tells of each message after an await.
struct Later(tokio::sync::mpsc::UnboundedSender<String>);

impl actix::Actor for Later {
    type Context = actix::Context<Self>;
}

impl actix::Handler<Received> for Later {
    type Result = Handled;

    fn handle(&mut self, message: Received, _: &mut Self::Context) -> Handled {
        let told = self.0.clone();
        Handled::future(async move {
            tokio::task::yield_now().await;
            told.send(message.text()?.to_owned())?;
            Ok::<(), Box<dyn std::error::Error>>(())
        })
    }
}

#[test]
fn a_recipient_whose_handler_returns_a_future_works_in_a_bare_local_set() {
    use actix::Actor;

    // A thread that has had a system keeps it; this one may have.
    let fresh = std::thread::spawn(|| {
        LocalSet::new().block_on(&runtime(), async {
            let (told, mut telling) = tokio::sync::mpsc::unbounded_channel();
            let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
            server.subscribe_recipient(Later(told).start().recipient());
            client
                .connect(server.bind("127.0.0.1:0").await.unwrap())
                .await
                .unwrap();
            for text in ["one", "two"] {
                client.send(text).await.unwrap();
                let said = timeout(LONG, telling.recv()).await.unwrap();
                assert_eq!(said.as_deref(), Some(text));
            }
        })
    });
    fresh.join().unwrap();
}

#[test]
fn outside_of_any_system_there_is_an_error_and_no_panic() {
    let is_refused = || assert!(matches!(Socket::start(), Err(StartError::NoSystem)));
    is_refused();
    runtime().block_on(async { is_refused() });
    // It exists and does not run.
    let system = System::new();
    is_refused();
    drop(system);
}

#[test]
fn a_socket_in_a_plain_tokio_main_says_what_to_do_and_nothing_else() {
    const NAME: &str = "a_socket_in_a_plain_tokio_main_says_what_to_do_and_nothing_else";
    if again::part().is_some() {
        // As `#[tokio::main]` does, which prints the error that `main` returns.
        let outcome = runtime().block_on(async { Socket::start() });
        eprintln!("Error: {}", outcome.unwrap_err());
        // What panics after that is reported as ever.
        let _ = std::thread::spawn(|| panic!("on demand")).join();
        std::process::exit(1);
    }
    let mut child = again::start(NAME, "program");
    System::new().block_on(async {
        let told = child.complaint().await;
        assert_eq!(child.exit().await.code(), Some(1), "{told}");
        let (error, panic) = told.split_once('\n').expect("two lines");
        assert!(error.contains("#[actix::main]"), "{told}");
        assert!(error.starts_with("Error: no actix system"), "{told}");
        assert!(panic.contains("on demand"), "{told}");
        assert_eq!(told.matches("panicked").count(), 1, "{told}");
    });
}

#[test]
fn a_socket_in_an_arbiter_outlives_the_task_that_started_it() {
    System::new().block_on(async {
        let arbiter = actix::Arbiter::new();
        let (sender, socket) = tokio::sync::oneshot::channel();
        arbiter.spawn_fn(move || drop(sender.send(Socket::start().unwrap())));
        let server = timeout(LONG, socket).await.unwrap().unwrap();
        let client = Socket::start().unwrap();
        client
            .connect(server.bind("127.0.0.1:0").await.unwrap())
            .await
            .unwrap();
        client.send("across threads").await.unwrap();
        let message = timeout(LONG, server.recv()).await.unwrap().unwrap();
        assert_eq!(message.text(), Ok("across threads"));
        drop(message);
        server.close().await;
        arbiter.stop();
    });
}

#[test]
fn a_named_socket_is_found_in_its_system_until_it_is_closed() {
    System::new().block_on(async {
        assert!(Socket::named("orders").is_none());
        let socket = Socket::builder().name("orders").start().unwrap();
        let other = Socket::builder().name("events").start().unwrap();
        let identity = socket.identity();
        drop((socket, other));
        let found = Socket::named("orders").expect("its name keeps it open");
        assert_eq!(found.identity(), identity);
        assert_ne!(Socket::named("events").unwrap().identity(), identity);
        let taken = Socket::builder().name("orders").start();
        assert!(matches!(taken, Err(StartError::NameTaken(name)) if name == "orders"));

        let elsewhere = std::thread::spawn(|| {
            System::new().block_on(async { Socket::named("orders").is_none() })
        });
        assert!(elsewhere.join().unwrap(), "another system has its own");

        found.close().await;
        assert!(Socket::named("orders").is_none());
        let again = Socket::builder().name("orders").start().unwrap();
        assert_ne!(again.identity(), identity);
    });
}

#[test]
fn many_sockets_share_a_system() {
    System::new().block_on(async {
        let server = Socket::start().unwrap();
        let endpoint = server.bind("127.0.0.1:0").await.unwrap();
        let clients: Vec<_> = (0..20).map(|_| Socket::start().unwrap()).collect();
        for client in &clients {
            client.connect(endpoint.clone()).await.unwrap();
            client.send(client.identity().to_string()).await.unwrap();
        }
        for _ in &clients {
            let message = timeout(LONG, server.recv()).await.unwrap().unwrap();
            assert_eq!(message.text().unwrap(), message.peer().to_string());
        }
    });
}

#[test]
fn connections_may_be_spread_over_arbiters() {
    System::new().block_on(async {
        let server = Socket::builder().arbiters(2).start().unwrap();
        let endpoint = server.bind("127.0.0.1:0").await.unwrap();
        let clients: Vec<_> = (0..4).map(|_| Socket::start().unwrap()).collect();
        for client in &clients {
            client.connect(endpoint.clone()).await.unwrap();
            for n in 0..100 {
                client.send(n.to_string()).await.unwrap();
            }
        }
        let mut next = std::collections::HashMap::new();
        for _ in 0..400 {
            let message = timeout(LONG, server.recv()).await.unwrap().unwrap();
            let next = next.entry(message.peer()).or_insert(0);
            assert_eq!(message.text().unwrap(), next.to_string());
            message.reply("got it").unwrap();
            *next += 1;
        }
        for client in &clients {
            for _ in 0..100 {
                let reply = timeout(LONG, client.recv()).await.unwrap().unwrap();
                assert_eq!(reply.text(), Ok("got it"));
            }
        }
        assert_eq!(server.close().await.unsent, 0);
    });
}

#[test]
fn several_arbiters_need_a_system() {
    // A thread that has had a system keeps it; this one may have.
    let fresh = std::thread::spawn(|| {
        LocalSet::new().block_on(&runtime(), async {
            let spread = Socket::builder().arbiters(2).start();
            matches!(spread, Err(StartError::Configuration(_)))
        })
    });
    assert!(fresh.join().unwrap());
}

#[actix_web::test]
async fn a_handler_of_a_web_server_sends_on_a_socket() {
    let server = Socket::start().unwrap();
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    let client = Socket::start().unwrap();
    client.connect(endpoint).await.unwrap();
    // The workers of the web server are threads of their own.
    let shared = client.clone();
    let web = HttpServer::new(move || {
        let send = |socket: web::Data<Socket>, path: web::Path<String>| async move {
            match socket.send(path.into_inner()).await {
                Ok(()) => "sent",
                Err(_) => "not sent",
            }
        };
        let data = web::Data::new(shared.clone());
        App::new()
            .app_data(data)
            .route("/{text}", web::get().to(send))
    });
    let web = web
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
    let address = web.addrs()[0];
    let running = web.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);
    let mut request = tokio::net::TcpStream::connect(address).await.unwrap();
    let text = "GET /hello HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
    request.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = request.read_to_string(&mut answer);
    timeout(LONG, reading).await.unwrap().unwrap();
    assert!(
        answer.ends_with("sent") && !answer.ends_with("not sent"),
        "{answer}"
    );
    let message = timeout(LONG, server.recv()).await.unwrap().unwrap();
    assert_eq!(message.text(), Ok("hello"));
    handle.stop(false).await;
}

/// Runs a system that stops when `main` has ended, and yields what it logged.
fn stopped<T>(main: impl Future<Output = T>) -> (T, String) {
    let (log, _logging) = Log::begin(Level::INFO);
    let system = System::new();
    let ended = system.block_on(main);
    System::current().stop();
    system.run().unwrap();
    (ended, log.text())
}

fn loss(log: &str) -> &str {
    let line = log.lines().find(|line| line.contains("the system stopped"));
    let line = line.unwrap_or_else(|| panic!("no word of it: {log}"));
    assert!(line.contains("WARN"), "{line}");
    line
}

#[test]
fn a_system_that_stops_before_its_socket_is_closed_says_what_is_lost() {
    let (socket, log) = stopped(async {
        let socket = Socket::start().unwrap();
        for _ in 0..3 {
            socket.send("to nobody").await.unwrap();
        }
        socket
    });
    assert!(loss(&log).contains("unsent=3"), "{log}");
    let reason = socket.close_reason().expect("it is closed");
    assert!(reason.contains("the system stopped"), "{reason}");
    assert!(socket.try_send("late").unwrap_err().is_closed());
    assert_eq!(socket.stats().dead_letters, 3);
}

#[test]
fn a_system_that_stops_says_what_was_received_and_not_handled() {
    let (_sockets, log) = stopped(async {
        let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
        let endpoint = server.bind("127.0.0.1:0").await.unwrap();
        client.connect(endpoint).await.unwrap();
        for _ in 0..5 {
            client.send("for nobody's handler").await.unwrap();
        }
        let waits = || server.stats().inbox_messages == 5;
        eventually("the messages", waits).await;
        (server, client)
    });
    assert!(loss(&log).contains("unsent=0"), "{log}");
    assert!(loss(&log).contains("unhandled=5"), "{log}");
}
