//! The page and the module of `examples/browser`, in Chromium.

mod support;

use actix_aiomsg::prelude::*;
use serde_json::{Value, json};
use support::actors::collect;
use support::agent::port_in;
use support::example;
use support::process::Process;
use support::python::{PythonOptions, PythonPeer};
use support::webdriver::{Browser, ENTER, TAB};
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

/// The texts that are seen and do not stand out from what is behind them.
const FAINT: &str = "[...document.querySelectorAll('body *')]
  .filter((element) => element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
  .filter((element) => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
      .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
      .reduce((sum, c, index) => sum + c * [0.2126, 0.7152, 0.0722][index], 0);
    let behind = element;
    while (behind && (parts(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
    const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map((colour) => light(parts(colour)));
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
  }).map((element) => element.textContent)";

/// Makes the page believe in a screen of this size and colours of this kind.
async fn show_on(browser: &Browser, width: u32, height: u32, colours: &str) {
    let narrow = width < 700;
    let metrics =
        json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": narrow });
    browser
        .command("Emulation.setDeviceMetricsOverride", metrics)
        .await;
    let scheme = json!({ "name": "prefers-color-scheme", "value": colours });
    browser
        .command(
            "Emulation.setEmulatedMedia",
            json!({ "features": [scheme] }),
        )
        .await;
}

#[actix::test]
async fn the_page_fits_phone_and_desk_in_light_and_dark_and_needs_no_mouse() {
    let chat = Chat::start().await;
    let browser = Browser::start().await;
    show_on(&browser, 1120, 700, "light").await;
    join(&browser, &chat, "Ada").await;
    let focus = "document.activeElement.id || document.activeElement.localName";
    assert_eq!(browser.value(focus).await, "text");
    browser.press("Good morning!").await;
    browser.press(ENTER).await;
    sees(&browser, "Good morning!").await;
    browser.press(TAB).await;
    assert_eq!(browser.value(focus).await, "button");
    browser.press(TAB).await;
    assert_eq!(browser.value(focus).await, "summary");
    for open in [false, true] {
        browser.press(ENTER).await;
        assert_eq!(
            browser.value("document.getElementById('board').open").await,
            open
        );
    }

    let others = [
        ("Press 4", "Press 4 has started its shift."),
        ("Grace", "Morning, Ada. Who restarted the hub?"),
        ("Packing line", "Not me: I only reconnected."),
    ];
    let mut sockets = Vec::new();
    for (name, text) in others {
        let socket = Socket::start().unwrap();
        socket
            .connect(("127.0.0.1", chat.peers_port))
            .await
            .unwrap();
        socket.wait_for_peers(1).await.unwrap();
        let name = json!({ "kind": "name", "name": name });
        socket.send_json(&name).unwrap().await.unwrap();
        socket.send(text).await.unwrap();
        sees(&browser, text).await;
        sockets.push((socket, name));
    }
    say_at_text(&browser, "I did, and nobody lost a word.").await;
    let board = "document.querySelectorAll('#peers li').length === 4";
    browser.eventually(board).await;
    let pictures = std::env::var_os(PICTURES).map(std::path::PathBuf::from);
    if pictures.is_some() {
        // A curve to look at.
        for second in 0..40_u32 {
            for _ in 0..(second * 7 % 12 + second % 5) {
                let (socket, name) = &sockets[0];
                socket.send_json(name).unwrap().await.unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }

    for (name, width, height) in [
        ("desk", 1120, 700),
        ("phone", 390, 844),
        ("small", 320, 568),
    ] {
        for colours in ["light", "dark"] {
            show_on(&browser, width, height, colours).await;
            browser
                .value(
                    "document.getElementById('board').open = innerWidth > 700 || innerHeight > 800",
                )
                .await;
            browser.eventually(board).await;
            // The colours of names are chosen as the board comes, once a second.
            browser
                .eventually("document.getElementById('status').dataset.state === 'up'")
                .await;
            let overflow = "document.documentElement.scrollWidth - innerWidth";
            assert_eq!(browser.value(overflow).await, 0, "{name}");
            let box_seen =
                "document.getElementById('text').getBoundingClientRect().bottom <= innerHeight";
            assert_eq!(browser.value(box_seen).await, true, "{name}");
            browser
                .value("document.querySelectorAll('.note').forEach((note) => note.remove())")
                .await;
            assert_eq!(browser.value(FAINT).await, json!([]), "{name}, {colours}");
            if let Some(folder) = &pictures {
                let picture = browser.screenshot().await;
                std::fs::write(folder.join(format!("chat-{name}-{colours}.png")), picture).unwrap();
            }
        }
    }
    assert_eq!(browser.complaints().await, [""; 0]);
}

async fn say_at_text(browser: &Browser, text: &str) {
    say(browser, text).await;
    sees(browser, text).await;
}

#[actix::test]
async fn a_port_that_is_taken_is_an_error_that_says_what_to_do() {
    let chat = Chat::start().await;
    let port = chat.url.trim_end_matches('/').rsplit(':').next().unwrap();
    for (options, other) in [
        (format!("--peers-port 0 --port {port}"), "--port"),
        (
            format!("--port 0 --peers-port {}", chat.peers_port),
            "--peers-port",
        ),
    ] {
        let mut second = Process::spawn(&mut example::command("chat_web", &options));
        assert!(!second.exit().await.success());
        let complaint = second.complaint().await;
        assert!(complaint.contains(other), "{complaint}");
        assert!(!complaint.contains("panicked"), "{complaint}");
    }
}
