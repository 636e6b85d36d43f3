//! The bridge as a program that is killed, and one that is asked to stop.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use actix_aiomsg::prelude::*;

use crate::support::process::Process;
use crate::support::{
    Server, assert_each_once, assert_nothing_more, connected, eventually, number, ports, scale,
    sending, stored, within_patience,
};

/// The example program `bridge`, built as this test was.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().expect("this test has a path");
        let output = test
            .ancestors()
            .nth(2)
            .expect("below its profile's directory");
        let profile = match output.file_name().and_then(|name| name.to_str()) {
            Some("debug") => "dev",
            Some(profile) => profile,
            None => panic!("a profile's directory has a name"),
        };
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "actix-aiomsg-nats",
                "--example",
                "bridge",
            ])
            .args(["--profile", profile])
            .arg("--manifest-path")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .arg("--target-dir")
            .arg(output.parent().expect("the target directory"))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the example cannot be built");
        output.join("examples").join("bridge")
    })
}

/// A bridge program, started again and again with the same options.
struct Program {
    options: Vec<String>,
    endpoint: Endpoint,
    process: Option<Process>,
}

impl Program {
    async fn start(server: &Server, name: &str, route: &[&str]) -> Self {
        let [port] = ports();
        let listen = format!("tcp://127.0.0.1:{port}");
        let endpoint: Endpoint = listen.parse().unwrap();
        let mut options: Vec<String> =
            ["--nats", &server.url(), "--listen", &listen, "--name", name]
                .iter()
                .map(|option| (*option).to_owned())
                .collect();
        options.extend(["--ack-timeout", "1000", "--ack-wait", "1000"].map(str::to_owned));
        options.extend(route.iter().map(|option| (*option).to_owned()));
        let process = None;
        let mut program = Self {
            options,
            endpoint,
            process,
        };
        program.again().await;
        program
    }

    async fn again(&mut self) {
        let mut process = Process::spawn(Command::new(program()).args(&self.options));
        assert!(process.line().await.starts_with("listening on "));
        self.process = Some(process);
    }

    fn kill(&mut self) {
        self.process.as_mut().expect("it runs").kill();
    }
}

#[actix::test]
async fn whenever_a_bridge_is_killed_nothing_is_lost_or_comes_twice_in_either_direction() {
    let (count, kills) = (scale::of(20_000), scale::of(20).max(4));
    let server = Server::start("").await;
    let mut bridges = [
        Program::start(&server, "out", &["--out", "ORDERS/orders"]).await,
        Program::start(&server, "in", &["--in", "ORDERS/orders/shop"]).await,
    ];
    let sender = connected("sender", &bridges[0].endpoint).await;
    let receiver = connected("receiver", &bridges[1].endpoint).await;
    let sending = sending(&sender, 0..count);
    let mut numbers = Vec::new();
    let mut killed = 0;
    while (numbers.len() as u64) < count {
        let message = within_patience("a message", receiver.recv()).await.unwrap();
        numbers.push(number(message.payload()));
        drop(message);
        let due = (killed + 1) * count / (kills + 1);
        if killed < kills && numbers.len() as u64 >= due {
            // In turn, and the other one goes on meanwhile.
            let bridge = &mut bridges[(killed % 2) as usize];
            bridge.kill();
            bridge.again().await;
            killed += 1;
        }
    }
    assert_eq!(killed, kills);
    assert_each_once(&numbers, count);
    within_patience("all acknowledgements", sending)
        .await
        .unwrap();
    assert_nothing_more(&receiver).await;
    let jetstream = server.jetstream().await;
    assert_each_once(&stored(&jetstream, "ORDERS").await, count);
    let stats = receiver.stats();
    eprintln!(
        "{count} messages, {kills} kills: {} filtered by the receiver",
        stats.duplicates
    );
}

#[actix::test]
async fn a_bridge_that_is_asked_to_stop_stores_what_it_has_and_acknowledges_it() {
    let server = Server::start("").await;
    let mut bridge = Program::start(&server, "out", &["--out", "ORDERS/orders"]).await;
    let sender = connected("sender", &bridge.endpoint).await;
    let sending = sending(&sender, 0..2000);
    scale::reaches("some acknowledgements", 200, || sender.stats().acknowledged).await;
    let process = bridge.process.as_mut().unwrap();
    process.signal("TERM");
    let said = process.line().await;
    assert!(process.exit().await.success());
    let stored_then: u64 = {
        let rest = said.strip_prefix("stored ").expect("it says so");
        rest.split(',').next().unwrap().parse().unwrap()
    };
    let jetstream = server.jetstream().await;
    let there = stored(&jetstream, "ORDERS").await;
    assert_eq!(there.len() as u64, stored_then);
    eventually("what is stored to be acknowledged", || {
        sender.stats().acknowledged == stored_then
    })
    .await;
    bridge.again().await;
    within_patience("all acknowledgements", sending)
        .await
        .unwrap();
    assert_each_once(&stored(&jetstream, "ORDERS").await, 2000);
}
