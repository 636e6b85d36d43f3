//! A program that has a logger of the crate `log` and no subscriber of `tracing` sees the same lines. The logger is
//! one for the process, and so is this test.

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

#[actix::test]
async fn trouble_is_told_to_a_logger_of_the_crate_log() {
    log::set_logger(&Collect).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let socket = Socket::builder().start().unwrap();
    socket.connect("no-such-host.invalid:1").await.unwrap();
    let told = |part: &str| {
        let lines = LINES.lock().unwrap();
        lines
            .iter()
            .any(|line| line.starts_with("WARN") && line.contains(part))
    };
    eventually("the warning", || told("no-such-host.invalid:1")).await;
    socket.close_within(std::time::Duration::ZERO).await;
}
