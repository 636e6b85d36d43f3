//! The page and the module of `examples/browser`, in Chromium.

mod support;

use std::path::Path;

use actix_aiomsg::prelude::*;
use serde_json::{Value, json};
use support::actors::collect;
use support::agent::port_in;
use support::example;
use support::process::Process;
use support::python::{PythonOptions, PythonPeer};
use support::webdriver::{Browser, ENTER, TAB, Tab};
use support::{eventually, within_patience};

/// Names a folder that pictures of the page go to, as those in `docs/`.
const PICTURES: &str = "AIOMSG_PICTURES";

/// The chat as a program, and where it is.
struct Chat {
    program: Process,
    url: String,
    peers_port: u16,
}

impl Chat {
    async fn start() -> Self {
        Self::on("--port 0 --peers-port 0").await
    }

    async fn on(options: &str) -> Self {
        let mut program = Process::spawn(&mut example::command("chat_web", options));
        let line = program.line().await;
        let (_, url) = line.split_once("http://").expect("it says where it is");
        let url = format!("http://{url}");
        let peers_port = port_in(&program.line().await);
        Self {
            program,
            url,
            peers_port,
        }
    }

    /// Another life, in the same place.
    async fn restart(&mut self) {
        let port = self.url.trim_end_matches('/').rsplit(':').next();
        let options = format!(
            "--port {} --peers-port {}",
            port.expect("a port"),
            self.peers_port
        );
        *self = Self::on(&options).await;
    }
}

/// Opens the chat in the tab that is in front, under a name.
async fn join(browser: &Browser, chat: &Chat, name: &str) {
    browser.open(&chat.url).await;
    let script = format!(
        "(document.getElementById('name').value = '{name}', document.getElementById('name').dispatchEvent(new Event('change')))"
    );
    browser.value(&script).await;
    is_up(browser).await;
}

async fn is_up(browser: &Browser) {
    browser
        .eventually("document.getElementById('status').dataset.state === 'up'")
        .await;
}

/// Types a line into the message box, which has the focus, and sends it.
async fn say(browser: &Browser, text: &str) {
    browser
        .value("document.getElementById('text').focus()")
        .await;
    browser.press(text).await;
    browser.press(ENTER).await;
}

/// Waits until a line is shown.
async fn sees(browser: &Browser, text: &str) {
    browser
        .eventually(&format!(
            "[...document.querySelectorAll('.said')].some((said) => said.textContent === {text:?})"
        ))
        .await;
}

/// What is shown, in order.
async fn lines(browser: &Browser) -> Vec<String> {
    let lines = browser
        .value("[...document.querySelectorAll('.said')].map((said) => said.textContent)")
        .await;
    serde_json::from_value(lines).expect("a list of texts")
}

/// The text of a line of chat; the board is passed over.
fn line_in(told: &str) -> Option<String> {
    let told: Value = serde_json::from_str(told).ok()?;
    Some(told["text"].as_str()?.to_owned())
}

async fn python_hears(python: &mut PythonPeer, text: &str) {
    let hearing = async { while line_in(&python.received().await.1).as_deref() != Some(text) {} };
    within_patience("Python to hear of it", hearing).await;
}

#[actix::test]
async fn two_tabs_python_and_rust_hold_one_conversation_over_a_restart_of_the_server() {
    let mut chat = Chat::start().await;
    let browser = Browser::start().await;
    let ada = browser.tab().await;
    join(&browser, &chat, "Ada").await;
    let grace = browser.new_tab().await;
    browser.switch(&grace).await;
    join(&browser, &chat, "Grace").await;

    let mut python = PythonPeer::start(&PythonOptions::connect(chat.peers_port)).await;
    let rust = Socket::start().unwrap();
    let mut heard = collect(&rust);
    rust.connect(("127.0.0.1", chat.peers_port)).await.unwrap();
    rust.wait_for_peers(1).await.unwrap();
    let mut rust_hears = async |text: &str| {
        while line_in(&heard.next().await.1).as_deref() != Some(text) {}
    };
    browser
        .eventually("document.querySelectorAll('#peers li').length === 4")
        .await;

    say(&browser, "Grace here").await;
    browser.switch(&ada).await;
    sees(&browser, "Grace here").await;
    say(&browser, "Ada here").await;
    python_hears(&mut python, "Ada here").await;
    python.send("Python here");
    rust_hears("Python here").await;
    rust.send("Rust here").await.unwrap();
    python_hears(&mut python, "Rust here").await;
    let first = ["Grace here", "Ada here", "Python here", "Rust here"];
    for tab in [&ada, &grace] {
        browser.switch(tab).await;
        sees(&browser, "Rust here").await;
        assert_eq!(lines(&browser).await, first);
    }

    chat.program.kill();
    eventually("Rust to notice", || rust.peers().is_empty()).await;
    for tab in [&ada, &grace] {
        browser.switch(tab).await;
        browser
            .eventually("document.getElementById('status').dataset.state !== 'up'")
            .await;
    }
    say(&browser, "Grace while it was away").await;
    rust.send("Rust while it was away").await.unwrap();
    browser
        .eventually("document.querySelectorAll('.pending').length === 1")
        .await;
    chat.restart().await;

    browser
        .eventually("document.querySelectorAll('.pending').length === 0")
        .await;
    rust_hears("Grace while it was away").await;
    python_hears(&mut python, "Grace while it was away").await;
    python.send("Python is back");
    rust_hears("Python is back").await;
    for tab in [&ada, &grace] {
        browser.switch(tab).await;
        is_up(&browser).await;
        sees(&browser, "Python is back").await;
        let mut lines = lines(&browser).await;
        assert_eq!(lines[..4], first);
        // Who was back first is a matter of chance.
        lines[4..].sort();
        let second = [
            "Grace while it was away",
            "Python is back",
            "Rust while it was away",
        ];
        assert_eq!(lines[4..], second);
    }
    assert_eq!(browser.complaints().await, [""; 0]);

    chat.program.signal("INT");
    assert!(chat.program.exit().await.success());
    browser
        .eventually("document.getElementById('status-text').textContent.startsWith('Reconnecting')")
        .await;
}
