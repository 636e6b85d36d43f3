//! The inspection endpoint: who may look, what is seen, and that nobody who looks does any harm.
#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::error::{InspectionError, StartError};
use actix_aiomsg::inspection::{FORMAT, Report};
use actix_aiomsg::prelude::*;
use support::folder::Folder;
use support::{aside, eventually};

/// A look from outside.
struct Look(BufReader<UnixStream>);

impl Look {
    fn at(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        Self(BufReader::new(stream))
    }

    fn ask(&mut self, request: &str) -> String {
        writeln!(self.0.get_mut(), "{request}").unwrap();
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    fn report(&mut self) -> Report {
        serde_json::from_str(&self.ask("")).unwrap()
    }
}

async fn report(path: &Path) -> Report {
    let path = path.to_owned();
    aside(move || Look::at(&path).report()).await
}

fn set_mode(folder: &Folder, mode: u32) {
    std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn refusal(path: &Path) -> InspectionError {
    match Socket::builder().inspection(path).start() {
        Err(StartError::Inspection(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[actix::test]
async fn a_socket_is_seen_with_its_peers_and_counts_and_no_payload() {
    let folder = Folder::new("look-seen");
    let path = folder.file("look/a.sock");
    let socket = Socket::builder()
        .name("seen")
        .inspection(&path)
        .start()
        .unwrap();
    assert_eq!((mode(&folder.file("look")), mode(&path)), (0o700, 0o600));
    let peer = Socket::start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    peer.connect(endpoint).await.unwrap();
    socket.send("a secret").await.unwrap();
    assert_eq!(peer.recv().await.unwrap().text().unwrap(), "a secret");
    peer.send("another secret").await.unwrap();
    socket.recv().await.unwrap();

    let at = path.clone();
    let line = aside(move || Look::at(&at).ask("")).await;
    assert!(!line.contains("secret"), "{line}");
    let report: Report = serde_json::from_str(&line).unwrap();
    assert_eq!((report.format, &*report.phase), (FORMAT, "open"));
    assert_eq!(report.name.as_deref(), Some("seen"));
    assert_eq!(report.identity, socket.identity().to_string());
    assert_eq!(report.process, std::process::id());
    assert_eq!((report.totals["sent"], report.totals["received"]), (1, 1));
    let [seen] = &report.peers[..] else {
        panic!("{report:?}")
    };
    assert_eq!(seen.peer, peer.identity().to_string());
    assert_eq!((&*seen.transport, &*seen.role), ("tcp", "bind"));
    assert_eq!((seen.sent, seen.queued, seen.full_for), (1, 0, None));
    assert!(seen.queue_bound > 0 && seen.queue_bound_bytes > 0);
    assert!(report.children.iter().any(|child| child.name == "router"));
    let up = format!("peer {} up", peer.identity());
    let log: Vec<_> = report.log.iter().map(|line| &*line.text).collect();
    assert!(
        log[0].starts_with("listening on tcp://127.0.0.1:"),
        "{log:?}"
    );
    assert!(log.iter().any(|line| line.starts_with(&up)), "{log:?}");

    socket.close().await;
    eventually("the socket file to go", || !path.exists()).await;
}

#[actix::test]
async fn a_path_that_cannot_be_used_is_refused_with_the_reason() {
    let folder = Folder::new("look-refused");
    set_mode(&folder, 0o755);
    let path = folder.file("a.sock");
    let error = refusal(&path);
    assert!(matches!(error, InspectionError::OpenDirectory { .. }));
    assert!(error.to_string().contains("its mode is 755"), "{error}");

    set_mode(&folder, 0o700);
    std::fs::write(&path, "a file").unwrap();
    assert!(matches!(
        refusal(&path),
        InspectionError::NoSocketFile { .. }
    ));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a file");

    let long = folder.file(&"a".repeat(100));
    assert!(matches!(refusal(&long), InspectionError::TooLong { .. }));

    let below = path.join("b.sock");
    let error = refusal(&below);
    assert!(matches!(error, InspectionError::Io { .. }), "{error}");
    assert!(error.to_string().contains("b.sock"), "{error}");
}

#[actix::test]
async fn what_a_dead_process_left_is_replaced_and_a_living_one_is_not() {
    let folder = Folder::new("look-stale");
    set_mode(&folder, 0o700);
    let path = folder.file("a.sock");
    drop(UnixListener::bind(&path).unwrap());
    let socket = Socket::builder().inspection(&path).start().unwrap();
    assert!(matches!(refusal(&path), InspectionError::InUse { .. }));
    assert_eq!(report(&path).await.phase, "open");
    socket.close().await;
    eventually("the path to be free", || !path.exists()).await;
    let next = Socket::builder().inspection(&path).start().unwrap();
    assert_eq!(report(&path).await.identity, next.identity().to_string());
}

#[actix::test]
async fn watchers_are_bounded_and_one_that_does_not_read_holds_up_nobody() {
    let folder = Folder::new("look-watchers");
    let path = folder.file("a.sock");
    let socket = Socket::builder().inspection(&path).start().unwrap();
    let peer = Socket::start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    peer.connect(endpoint).await.unwrap();
    let at = path.clone();
    let (looks, refused) = aside(move || {
        let looks: Vec<_> = (0..8)
            .map(|_| {
                let mut look = Look::at(&at);
                // The first report is read, and none of those that follow.
                look.ask(r#"{"every":0.1}"#);
                look
            })
            .collect();
        (looks, Look::at(&at).line())
    })
    .await;
    assert!(refused.contains("8 look already"), "{refused}");
    for number in 0..1_000 {
        socket.send(number.to_string()).await.unwrap();
        assert_eq!(
            peer.recv().await.unwrap().text().unwrap(),
            number.to_string()
        );
    }
    drop(looks);
    let seen = aside(move || {
        loop {
            let line = Look::at(&path).ask("");
            if !line.contains("error") {
                return line;
            }
            std::thread::yield_now();
        }
    });
    let report: Report = serde_json::from_str(&seen.await).unwrap();
    assert_eq!(report.totals["sent"], 1_000);
}

#[actix::test]
async fn a_watcher_is_told_again_and_again_and_what_is_no_request_is_told_so() {
    let folder = Folder::new("look-again");
    let path = folder.file("a.sock");
    let _socket = Socket::builder().inspection(&path).start().unwrap();
    aside(move || {
        let mut look = Look::at(&path);
        assert!(look.ask("what?").starts_with(r#"{"error":"no request"#));
        let first: Report = serde_json::from_str(&look.ask(r#"{"every":0.1}"#)).unwrap();
        let later: Report = serde_json::from_str(&look.line()).unwrap();
        assert!(later.uptime > first.uptime);
        // A line without an end is no request, however long it is.
        let mut endless = UnixStream::connect(&path).unwrap();
        let written = (0..1_000).try_for_each(|_| endless.write_all(&[b'x'; 4096]));
        assert!(written.is_err(), "it is let go");
        assert_eq!(look.report().format, FORMAT);
    })
    .await;
}

/// Blocks its thread until it is told to go on.
struct Jobs(WeakSocket, mpsc::Receiver<()>);

impl Actor for Jobs {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe::<bytes::Bytes>(ctx);
    }
}

impl Handler<Received> for Jobs {
    type Result = ();

    fn handle(&mut self, _: Received, _: &mut Self::Context) {
        // Dropped at the end of the test.
        let _ = self.1.recv();
    }
}

#[actix::test]
async fn a_handler_that_blocks_the_thread_of_the_socket_is_seen_by_name() {
    let folder = Folder::new("look-blocked");
    let path = folder.file("a.sock");
    let socket = Socket::builder()
        .heartbeat_interval(Duration::from_millis(500))
        .inspection(&path)
        .start()
        .unwrap();
    let (go_on, blocked) = mpsc::channel();
    let _jobs = Jobs(socket.downgrade(), blocked).start();
    let peer = Socket::start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    peer.connect(endpoint).await.unwrap();
    peer.wait_for_peers(1).await.unwrap();
    // This thread is blocked with the handler: another one looks, and frees it.
    let watch = std::thread::spawn(move || {
        let mut look = Look::at(&path);
        loop {
            let report = look.report();
            if let Some(blocked) = report.blocked.first() {
                drop(go_on);
                return blocked.clone();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    peer.send("a job").await.unwrap();
    let seen = aside(move || watch.join().unwrap()).await;
    assert!(seen.actor.unwrap().ends_with("::Jobs"));
    assert!(seen.blocked_for >= 1.0, "{}", seen.blocked_for);
}

/// Never finishes.
struct Stuck(WeakSocket);

impl Actor for Stuck {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe::<bytes::Bytes>(ctx);
    }
}

impl Handler<Received> for Stuck {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Received, _: &mut Self::Context) -> Self::Result {
        Box::pin(std::future::pending())
    }
}

#[actix::test]
async fn an_asynchronous_handler_that_does_not_finish_is_seen_with_its_time_and_its_queue() {
    let folder = Folder::new("look-stuck");
    let path = folder.file("a.sock");
    let socket = Socket::builder().inspection(&path).start().unwrap();
    let _stuck = Stuck(socket.downgrade()).start();
    let peer = Socket::start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    peer.connect(endpoint).await.unwrap();
    for _ in 0..2 {
        peer.send("a job").await.unwrap();
    }
    loop {
        let report = report(&path).await;
        let [handler] = &report.handlers[..] else {
            continue;
        };
        if handler.running_for.is_some_and(|time| time > 0.0) && handler.waiting == 2 {
            assert!(handler.actor.ends_with("::Stuck"));
            let told = socket.subscriptions();
            assert!(told[0].subscribers[0].running_for.is_some());
            return;
        }
    }
}

#[actix::test]
async fn a_link_that_its_peer_does_not_read_is_seen_to_be_full() {
    let folder = Folder::new("look-full");
    let path = folder.file("a.sock");
    let socket = Socket::builder()
        .link_capacity(10, 1 << 20)
        .inspection(&path)
        .start()
        .unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let peer = Socket::builder()
        .inbox_capacity(1, 1 << 10)
        .start()
        .unwrap();
    peer.connect(endpoint).await.unwrap();
    socket.wait_for_peers(1).await.unwrap();
    let payload = vec![0; 100_000];
    eventually("the link to be full", || {
        socket.try_send(payload.clone()).is_err()
    })
    .await;
    let full = |report: Report| report.peers[0].full_for;
    let first = full(report(&path).await).expect("it is full");
    let later = full(report(&path).await).expect("it still is");
    assert!(later > first);
}

/// Fails the first two times that it is started.
struct Faulty(Arc<AtomicU32>);

impl Actor for Faulty {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        let earlier = self.0.fetch_add(1, Ordering::Relaxed);
        assert!(earlier >= 2, "no database");
    }
}

#[actix::test]
async fn restarts_are_seen_with_how_many_are_left() {
    let folder = Folder::new("look-restarts");
    let path = folder.file("a.sock");
    let _socket = Socket::builder().inspection(&path).start().unwrap();
    let starts = Arc::new(AtomicU32::new(0));
    let faulty = supervise(move || Faulty(Arc::clone(&starts)))
        .name("faulty-of-the-inspection")
        .intensity(5, Duration::from_secs(600))
        .backoff(Backoff::fixed(Duration::from_millis(1)))
        .spawn();
    loop {
        let report = report(&path).await;
        let mut children = report.children.iter();
        let child = children.find(|child| child.name == "faulty-of-the-inspection");
        let child = child.expect("it is listed");
        if child.recent_restarts == 2 {
            assert_eq!((child.max_restarts, child.restart_window), (5, 600.0));
            assert_eq!(child.last_panic.as_deref(), Some("no database"));
            let told = faulty.inspect().recent_restarts.expect("it was restarted");
            assert_eq!((told.count, told.max_restarts), (2, 5));
            break;
        }
    }
    faulty.stop().await;
    let children = report(&path).await.children;
    assert!(
        children
            .iter()
            .all(|child| child.name != "faulty-of-the-inspection")
    );
}
