//! A program that has a logger of the crate `log` and no subscriber of `tracing` sees the same lines: of a host that is
//! mistyped, and of messages that nobody receives. The logger is one for the process, and so is this test.

mod support;

use std::sync::Mutex;

use actix_aiomsg::prelude::*;
use support::eventually;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Collect;

impl log::Log for Collect {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        LINES.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

/// Whether a warning with this part has been told.
fn told(part: &str) -> bool {
    let lines = LINES.lock().unwrap();
    lines
        .iter()
        .any(|line| line.starts_with("WARN") && line.contains(part))
}

#[actix::test]
async fn trouble_is_told_to_a_logger_of_the_crate_log() {
    log::set_logger(&Collect).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let socket = Socket::builder().start().unwrap();
    socket.connect("no-such-host.invalid:1").await.unwrap();
    eventually("the warning", || told("no-such-host.invalid:1")).await;

    // Somebody has forgotten to subscribe.
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let client = Socket::builder().start().unwrap();
    client.connect(endpoint).await.unwrap();
    client.send("to nobody").await.unwrap();
    eventually("the warning", || told("that nobody receives")).await;
    assert_eq!(socket.recv().await.unwrap().text(), Ok("to nobody"));
    socket.close_within(std::time::Duration::ZERO).await;
}
