//! Debian's Chromium without a window, driven over the WebDriver protocol.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::PATIENCE;
use super::process::Process;

/// Names a chromedriver that is not where Debian has it.
const OVERRIDE: &str = "AIOMSG_CHROMEDRIVER";

/// How long a script of a test may take.
const SCRIPT_LIMIT: Duration = PATIENCE;

/// The key that WebDriver names so.
pub const ENTER: &str = "\u{e007}";
pub const TAB: &str = "\u{e004}";

/// A browser, which ends with this.
pub struct Browser {
    driver: Process,
    port: u16,
    session: String,
}

/// One tab of a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tab(String);

impl Browser {
    /// Starts the driver and the browser.
    ///
    /// # Panics
    ///
    /// When they are not installed, with a sentence that says what to do.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same with more options of the browser's command line.
    pub async fn with(options: &[&str]) -> Self {
        let program = std::env::var_os(OVERRIDE).map_or("chromedriver".into(), PathBuf::from);
        assert!(
            Command::new(&program).arg("--version").output().is_ok(),
            "the tests with a browser need Chromium and its driver (on Debian: apt-get install \
             chromium chromium-driver); name the driver in {OVERRIDE} if it is elsewhere"
        );
        let mut driver = Process::spawn(Command::new(program).arg("--port=0"));
        let stdout = driver.stdout.as_mut().expect("it is read");
        let line = stdout
            .find(|line| line.contains("started successfully"))
            .await;
        let port = line.trim_end_matches('.').rsplit(' ').next();
        let mut browser = Self {
            driver,
            port: port
                .and_then(|port| port.parse().ok())
                .expect("it names its port"),
            session: String::new(),
        };
        let arguments = [
            "--headless=new",
            // A test may run as root, in a container with little shared memory and no graphics.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--window-size=1280,900",
        ];
        let arguments = [&arguments, options].concat();
        let session = browser
            .ask(
                "POST",
                "/session",
                &json!({ "capabilities": { "alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": { "args": arguments },
                "goog:loggingPrefs": { "browser": "ALL" },
                "timeouts": { "script": SCRIPT_LIMIT.as_millis() },
            } } }),
            )
            .await;
        let id = session["sessionId"].as_str().expect("a session");
        browser.session = format!("/session/{id}");
        browser
    }

    /// The tab that is in front.
    pub async fn tab(&self) -> Tab {
        let handle = self.get("/window").await;
        Tab(handle.as_str().expect("a handle").to_owned())
    }

    /// One more tab.
    pub async fn new_tab(&self) -> Tab {
        let window = self.post("/window/new", json!({ "type": "tab" })).await;
        Tab(window["handle"].as_str().expect("a handle").to_owned())
    }

    /// Brings a tab to the front; what follows happens there.
    pub async fn switch(&self, tab: &Tab) {
        self.post("/window", json!({ "handle": tab.0 })).await;
    }

    /// Loads a page.
    pub async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// The value of a JavaScript expression.
    pub async fn value(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.post("/execute/sync", json!({ "script": script, "args": [] }))
            .await
    }

    /// What the body of an asynchronous JavaScript function returns in the end. The functions of the
    /// module are in `aiomsg`, the arguments in `given`.
    ///
    /// # Panics
    ///
    /// When it throws, with what it threw.
    pub async fn run(&self, body: &str, given: Value) -> Value {
        let script = format!(
            "const [given, done] = arguments;
             (async () => {{ const aiomsg = await import('/aiomsg.js'); {body} }})()
               .then((value) => done({{ value }}), (error) => done({{ error: String(error?.stack ?? error) }}));"
        );
        let mut outcome = self
            .post(
                "/execute/async",
                json!({ "script": script, "args": [given] }),
            )
            .await;
        assert!(outcome["error"].is_null(), "{}", outcome["error"]);
        outcome["value"].take()
    }

    /// Waits until a JavaScript expression is true.
    pub async fn eventually(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(expression).await != json!(true) {
            if Instant::now() > deadline {
                let text = self.value("document.body.innerText").await;
                panic!("waited too long for {expression}; the page says: {text}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Presses keys, in whatever has the focus.
    pub async fn press(&self, keys: &str) {
        let actions: Vec<_> = keys
            .chars()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
            })
            .collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("/actions", json!({ "actions": [keyboard] }))
            .await;
    }

    /// Calls a command of the browser's own debugging protocol.
    pub async fn command(&self, name: &str, parameters: Value) {
        let command = json!({ "cmd": name, "params": parameters });
        self.post("/goog/cdp/execute", command).await;
    }

    /// A picture of what is seen, as PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        let picture = self.get("/screenshot").await;
        let picture = picture.as_str().expect("base64");
        STANDARD.decode(picture).expect("base64")
    }

    /// What pages have complained about so far, other than connections that were refused.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({ "type": "browser" })).await;
        let entries = log.as_array().expect("a list").iter();
        entries
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .filter(|message| !message.contains("WebSocket connection to"))
            .collect()
    }

    async fn get(&self, path: &str) -> Value {
        let path = format!("{}{path}", self.session);
        self.ask("GET", &path, &Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let path = format!("{}{path}", self.session);
        self.ask("POST", &path, &body).await
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = request(method, path, body);
        let asking = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream.write_all(request.as_bytes()).await?;
            // The driver does not close the connection.
            let mut answer = Vec::new();
            while body_of(&answer).is_none() {
                if stream.read_buf(&mut answer).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            std::io::Result::Ok(answer)
        };
        // A script has its own limit, which is to end first.
        let asked = tokio::time::timeout(2 * SCRIPT_LIMIT, asking).await;
        let answer = asked.expect("the driver answers").expect("the driver runs");
        let body = body_of(&answer).expect("it is whole");
        let mut answer: Value = serde_json::from_slice(body).expect("the driver speaks JSON");
        let value = answer["value"].take();
        let error = &value["error"];
        assert!(
            !error.is_string() || value["message"].is_null(),
            "{path}: {error}: {}",
            value["message"]
        );
        value
    }
}

fn request(method: &str, path: &str, body: &Value) -> String {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The body of an HTTP answer, once it is whole.
fn body_of(answer: &[u8]) -> Option<&[u8]> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = answer.split_at(head + 4);
    let head = String::from_utf8_lossy(head).to_lowercase();
    let (_, length) = head.split_once("content-length:")?;
    let length = length.lines().next()?.trim().parse().ok()?;
    body.get(..length)
}

impl Drop for Browser {
    /// Ends the browser, which would outlive its driver.
    fn drop(&mut self) {
        let quit = || {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            stream.write_all(request("DELETE", &self.session, &Value::Null).as_bytes())?;
            let mut answer = [0; 1024];
            // It answers when the browser has ended.
            stream.read(&mut answer)
        };
        if let Err(error) = quit() {
            eprintln!("the browser may still run: {error}");
        }
        self.driver.kill();
    }
}
