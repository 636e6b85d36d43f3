//! What the log says at INFO, read from child processes: one line where there is trouble, none where
//! there is not, and never one for each time.

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use support::log::Log;
use support::process::Process;
use support::raw_peer::{ACK, RawPeer};
use support::{agent, aside, eventually, example};

/// An agent whose log is read at this level.
fn logging(level: &str, options: &str) -> Process {
    let mut command = agent::command(options);
    command.env("RUST_LOG", level).env("NO_COLOR", "1");
    Process::spawn(&mut command)
}

/// The first line that warns, without waiting for long: a dialer says within 10 s that it does not
/// get through.
async fn warning(agent: &mut Process) -> String {
    agent.stderr.find(|line| line.contains("WARN")).await
}

fn assert_has(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
}

/// What an agent that waits for one message warns of from now on until it has got that.
async fn warnings_to_the_end(agent: &mut Process, port: u16) -> Vec<String> {
    let client = Socket::start().unwrap();
    client.connect(format!("127.0.0.1:{port}")).await.unwrap();
    client.send("done").await.unwrap();
    let said = agent::completes(agent).await;
    let warnings = said.lines().filter(|line| line.contains("WARN"));
    warnings.map(str::to_owned).collect()
}

/// A port that nobody listens at.
fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

#[actix::test]
async fn an_agent_that_nobody_asked_for_a_log_shows_warnings_on_standard_error_alone() {
    let port = closed_port();
    let options = format!("--role connect --port {port} --behavior sink --count 1");
    let mut agent = Process::spawn(agent::command(&options).env_remove("RUST_LOG"));
    let line = warning(&mut agent).await;
    assert_has(&line, &[&format!("127.0.0.1:{port}"), "refused"]);
    let server = Socket::start().unwrap();
    server
        .bind(format!("tcp://127.0.0.1:{port}"))
        .await
        .unwrap();
    server.send("hello").await.unwrap();
    let mut printed = agent.stdout.take().unwrap();
    assert_eq!(printed.find(|_| true).await, "hello");
    let said = agent::completes(&mut agent).await;
    assert!(!said.contains("INFO") && !said.contains("DEBUG"), "{said}");
}

#[actix::test]
async fn a_closed_port_is_one_warning_and_its_opening_is_told() {
    let port = closed_port();
    let options = format!("--role connect --port {port} --behavior sink --count 1");
    let mut agent = logging("info", &options);
    let start = Instant::now();
    let line = warning(&mut agent).await;
    let endpoint = format!("127.0.0.1:{port}");
    assert_has(&line, &[&endpoint, "refused", "attempts="]);

    let server = Socket::start().unwrap();
    server.bind(format!("tcp://{endpoint}")).await.unwrap();
    server.send("hello").await.unwrap();
    let said = agent::completes(&mut agent).await;
    let lines = |part: &str| said.lines().filter(|line| line.contains(part)).count();
    assert_eq!(lines("the endpoint is reached"), 1, "{said}");
    // One more for each minute that the test was made to wait.
    let minutes = start.elapsed().as_secs() as usize / 60;
    assert!(lines("WARN") <= minutes, "{said}");
}

#[actix::test]
async fn a_host_that_is_mistyped_is_a_warning() {
    let options =
        "--role connect --host no-such-host.invalid --port 25000 --behavior sink --count 1";
    let line = warning(&mut logging("info", options)).await;
    assert_has(&line, &["no-such-host.invalid:25000", "reason="]);
}

#[cfg(feature = "tls-dev")]
#[actix::test]
async fn a_certificate_that_is_refused_is_a_warning() {
    let (server, other) = (Tls::dev(), Tls::dev());
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let authority = directory.join(format!("log-{}.crt", Identity::random()));
    std::fs::write(&authority, other.ca_pem()).unwrap();
    let socket = Socket::start().unwrap();
    let options = BindOptions::new().tls(server.server());
    let endpoint = socket
        .bind_with("tls://127.0.0.1:0", options)
        .await
        .unwrap();
    let port = endpoint.port().unwrap();
    let options = format!(
        "--role connect --port {port} --behavior sink --count 1 --tls true --tls-ca {}",
        authority.display()
    );
    let line = warning(&mut logging("info", &options)).await;
    std::fs::remove_file(authority).unwrap();
    assert_has(&line, &[&format!("127.0.0.1:{port}"), "certificate"]);
}

#[actix::test]
async fn timers_by_which_peers_lose_each_other_are_a_warning() {
    let options = "--role bind --port 0 --behavior sink --count 1 --heartbeat-interval-ms 60000";
    let line = warning(&mut logging("info", options)).await;
    assert_has(&line, &["interval=60s", "timeout=15s"]);
}

#[actix::test]
async fn a_server_of_another_protocol_is_told_by_its_first_byte() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Whoever has gone reads nothing.
            let _ = stream.unwrap().write_all(b"220 mail.example.com ESMTP\r\n");
        }
    });
    let options = format!("--role connect --port {port} --behavior sink --count 1");
    let line = warning(&mut logging("info", &options)).await;
    assert_has(&line, &["speaks another protocol", "0x32"]);
}

/// Whoever connects, says this, and goes away, so many times.
fn knock(port: u16, times: usize, word: &[u8]) {
    for _ in 0..times {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(word).unwrap();
    }
}

#[actix::test]
async fn probes_that_say_nothing_are_no_warning_and_strangers_that_babble_are_one() {
    const PROBES: usize = 260;
    let options = "--role bind --port 0 --behavior sink --count 1";
    let mut agent = logging("actix_aiomsg=debug", options);
    let port = agent::listening(&mut agent).await;
    knock(port, PROBES, b"");
    let (mut silent, mut warnings) = (0, 0);
    while silent < PROBES {
        let line = agent.stderr.next().await.expect("it runs");
        silent += usize::from(line.contains("DEBUG") && line.contains("connection refused"));
        warnings += usize::from(line.contains("WARN"));
    }
    assert_eq!(warnings, 0);

    knock(port, PROBES, b"\xff is no frame");
    let warnings = warnings_to_the_end(&mut agent, port).await;
    assert!((1..=2).contains(&warnings.len()), "{warnings:#?}");
    assert_has(&warnings[0], &["connection refused", "0xff"]);
}

/// Waits until the agent has told of so many probes, each at DEBUG, and fails if it warns meanwhile.
async fn tells_of_probes(agent: &mut Process, probes: usize) {
    let mut told = 0;
    while told < probes {
        let line = agent.stderr.next().await.expect("it runs");
        assert!(!line.contains("WARN"), "{line}");
        told += usize::from(line.contains("DEBUG") && line.contains("connection refused"));
    }
}

/// Connections that say nothing until they are ended.
fn stay_silent(port: u16, probes: usize) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect(("127.0.0.1", port)).unwrap();
    (0..probes).map(connect).collect()
}

#[actix::test]
async fn probes_that_are_silent_until_the_handshake_timeout_are_no_warning() {
    let options = "--role bind --port 0 --behavior sink --count 1 --handshake-timeout-ms 200";
    let mut agent = logging("actix_aiomsg=debug", options);
    let port = agent::listening(&mut agent).await;
    let silent = stay_silent(port, 20);
    tells_of_probes(&mut agent, 20).await;
    drop(silent);

    // Whoever begins and does not go on is no probe.
    let mut half = TcpStream::connect(("127.0.0.1", port)).unwrap();
    half.write_all(&[0, 0]).unwrap();
    assert_has(&warning(&mut agent).await, &["was not finished in time"]);
}

#[cfg(feature = "tls-dev")]
#[actix::test]
async fn probes_of_a_tls_port_are_no_warning() {
    let pem = Tls::dev().server_pem();
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let name = directory.join(Identity::random().to_string());
    let (cert, key) = (name.with_extension("crt"), name.with_extension("key"));
    std::fs::write(&cert, pem.certificate).unwrap();
    std::fs::write(&key, pem.key).unwrap();
    let options = format!(
        "--role bind --port 0 --behavior sink --count 1 --handshake-timeout-ms 200 --tls true \
         --tls-cert {} --tls-key {}",
        cert.display(),
        key.display()
    );
    let mut agent = logging("actix_aiomsg=debug", &options);
    let port = agent::listening(&mut agent).await;
    knock(port, 20, b"");
    tells_of_probes(&mut agent, 20).await;
    let silent = stay_silent(port, 20);
    tells_of_probes(&mut agent, 20).await;
    drop(silent);

    knock(port, 1, b"GET / HTTP/1.1\r\n\r\n");
    assert_has(&warning(&mut agent).await, &["connection refused", "TLS"]);
    std::fs::remove_file(cert).unwrap();
    std::fs::remove_file(key).unwrap();
}

/// Whether the example that blocks was kept waiting as long as its job takes; a wait of "6.1ms" is none.
fn waited_seconds(told: &str) -> bool {
    told.contains("waited for 6.") && !told.contains("ms at most")
}

#[actix::test]
async fn a_handler_that_blocks_the_thread_of_its_connections_is_named_with_how_long() {
    let options = "--jobs 1 --millis 6000 --on-the-thread";
    let mut program = Process::spawn(&mut example::command("blocking", options));
    let told = program.rest_of_stdout().await.join("\n");
    assert!(waited_seconds(&told), "{told}");
    let said = program.complaint().await;
    let warnings: Vec<_> = said.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{said}");
    assert_has(
        warnings[0],
        &["a handler blocks its thread", "Cruncher", "blocked_for=5"],
    );
}

#[actix::test]
async fn work_that_blocks_elsewhere_is_no_warning_and_keeps_nobody_waiting() {
    let options = "--jobs 1 --millis 6000";
    let mut program = Process::spawn(&mut example::command("blocking", options));
    let told = program.rest_of_stdout().await.join("\n");
    assert!(told.contains("1 jobs took 6."), "{told}");
    assert!(!waited_seconds(&told), "{told}");
    assert_eq!(program.complaint().await, "");
}

#[actix::test]
async fn probes_are_counted() {
    let socket = Socket::start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let port = endpoint.port().unwrap();
    knock(port, 3, b"");
    knock(port, 2, b"\xff");
    eventually("all of them", || socket.stats().refused == 5).await;
    assert_eq!(socket.stats().probes, 3);

    let impatient = Socket::builder().handshake_timeout(Duration::from_millis(200));
    let socket = impatient.start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let silent = stay_silent(endpoint.port().unwrap(), 3);
    eventually("all of them", || socket.stats().refused == 3).await;
    assert_eq!(socket.stats().probes, 3);
    drop(silent);
}

#[actix::test]
async fn a_peer_that_breaks_the_rules_is_told_apart() {
    let options = "--role bind --port 0 --behavior sink --count 1";
    let mut agent = logging("info", options);
    let port = agent::listening(&mut agent).await;
    aside(move || {
        for _ in 0..20 {
            let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
            // A frame of 4 GiB.
            peer.say(&[0xff; 4]);
            peer.expect_end();
        }
    })
    .await;
    let warnings = warnings_to_the_end(&mut agent, port).await;
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert_has(
        &warnings[0],
        &["a peer broke the protocol", "above the limit"],
    );
}

#[actix::test]
async fn malformed_frames_from_one_address_are_one_warning_whatever_names_its_peers_have() {
    let options = "--role bind --port 0 --behavior sink --count 1";
    let mut agent = logging("info", options);
    let port = agent::listening(&mut agent).await;
    aside(move || {
        for name in 1..=20 {
            let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [name; 16]);
            // Half an id.
            peer.frame(ACK, &[1; 8]);
            peer.finish();
            peer.expect_end();
        }
    })
    .await;
    let warnings = warnings_to_the_end(&mut agent, port).await;
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert_has(&warnings[0], &["a peer sends malformed frames"]);
}

#[actix::test]
async fn no_line_of_any_level_has_a_payload() {
    const SECRET: &str = "s3cr3t";
    let (log, _logging) = Log::begin(tracing::Level::TRACE);
    let (recipient, mut dead) = Probe::<DeadLetter>::recipient();
    let server = Socket::builder().on_dead_letter(recipient).start().unwrap();
    support::each::each(&server, |message: Received| -> Handled {
        message.reply(message.payload().clone()).unwrap();
        match message.wants_acknowledgement() {
            true => Ok::<_, &str>(()).into(),
            false => Err("it cannot be").into(),
        }
    });
    let client = Socket::start().unwrap();
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    client.send(SECRET).await.unwrap();
    assert_eq!(dead.next().await.unwrap().reason, DeadLetterReason::Poison);
    client.send(SECRET).acknowledged().await.unwrap();
    assert_eq!(client.recv().await.unwrap().text(), Ok(SECRET));
    assert!(client.try_send_to(Identity::random(), SECRET).is_err());
    client.close().await;
    server.close().await;
    let log = log.text();
    assert!(
        log.contains("DEBUG") && log.contains("it cannot be"),
        "{log}"
    );
    assert!(!log.contains(SECRET), "{log}");
}
