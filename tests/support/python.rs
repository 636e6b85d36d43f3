//! The Python package `aiomsg`, in a virtual environment under the target directory.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use actix_aiomsg::Identity;
use serde_json::{Value, json};

use super::process::Process;

/// Names a Python interpreter that has the package, instead of the environment of our own.
const OVERRIDE: &str = "AIOMSG_PYTHON";

/// The interpreters to make the environment with, best first.
const CANDIDATES: [&str; 6] = [
    "python3",
    "python3.14",
    "python3.13",
    "python3.12",
    "python3.11",
    "python",
];

/// A Python interpreter that has the package; made when it is missing, once for all tests.
///
/// # Panics
///
/// When it cannot be made, with a sentence that says what to do.
pub fn interpreter() -> &'static Path {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    INTERPRETER.get_or_init(|| match std::env::var_os(OVERRIDE) {
        Some(path) => path.into(),
        None => environment().unwrap_or_else(|reason| {
            panic!(
                "the tests against the Python package need Python 3.11 or newer with \
                 `pip install -r tests/python/requirements.txt`, and no such environment could be \
                 made under the target directory: {reason}\nName an interpreter that has the \
                 package in {OVERRIDE} instead."
            )
        }),
    })
}

/// A script of `tests/python` as a process.
pub async fn script(name: &str, arguments: &[&str]) -> Process {
    let python = super::aside(interpreter).await;
    let script = folder().join(name);
    Process::spawn(Command::new(python).arg(script).args(arguments))
}

/// The folder `tests/python` of the repository, whichever of its packages is tested.
fn folder() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = package.ancestors().map(|above| above.join("tests/python"));
    folders
        .find(|folder| folder.is_dir())
        .expect("every package is in the repository")
}

/// Waits until a script has ended well; yields what it printed and was not read.
pub async fn succeeds(mut script: Process) -> Vec<String> {
    let lines = script.rest_of_stdout().await;
    let status = script.exit().await;
    let complaint = script.complaint().await;
    assert!(status.success(), "{complaint}\n{lines:#?}");
    lines
}

/// A running Python peer; see `tests/python/peer.py` for its protocol.
pub struct PythonPeer {
    process: Process,
    /// Where it listens, if it binds.
    pub port: u16,
}

/// What kind of peer to start.
#[derive(Debug, Clone, Default)]
pub struct PythonOptions {
    arguments: Vec<String>,
}

impl PythonOptions {
    /// A peer that binds `port`, or a free one for 0.
    pub fn bind(port: u16) -> Self {
        Self::default().with("--role", "bind").with("--port", port)
    }

    /// A peer that connects to `port`.
    pub fn connect(port: u16) -> Self {
        Self::default()
            .with("--role", "connect")
            .with("--port", port)
    }

    /// One more option.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.arguments.push(name.to_owned());
        self.arguments.push(value.to_string());
        self
    }

    /// Sends everything back to where it came from.
    #[must_use]
    pub fn echo(mut self) -> Self {
        self.arguments.push("--echo".to_owned());
        self
    }
}

impl PythonPeer {
    /// Starts a peer and waits until it listens, or has begun to dial.
    pub async fn start(options: &PythonOptions) -> Self {
        let arguments: Vec<_> = options.arguments.iter().map(String::as_str).collect();
        let mut peer = Self {
            process: script("peer.py", &arguments).await,
            port: 0,
        };
        let ready = peer.event("ready").await;
        peer.port = ready["port"].as_u64().map_or(0, |port| {
            u16::try_from(port).expect("a port has sixteen bits")
        });
        peer
    }

    /// The next event, which must be of this kind.
    pub async fn event(&mut self, kind: &str) -> Value {
        let line = self.process.line().await;
        let event: Value = serde_json::from_str(&line).expect("the peer speaks JSON");
        assert_eq!(event["event"], kind, "{event}");
        event
    }

    /// The next message that it received: whom it was from, and the payload.
    pub async fn received(&mut self) -> (Identity, String) {
        let event = self.event("received").await;
        let text = |field: &str| event[field].as_str().expect("a text").to_owned();
        let peer = text("peer").parse().expect("an identity");
        (peer, text("payload"))
    }

    /// The payloads of the next `count` messages that it received.
    pub async fn receive(&mut self, count: usize) -> Vec<String> {
        let mut payloads = Vec::with_capacity(count);
        while payloads.len() < count {
            payloads.push(self.received().await.1);
        }
        payloads
    }

    /// The payloads of everything else that it received before it ended.
    pub async fn receive_rest(&mut self) -> Vec<String> {
        let lines = self.process.rest_of_stdout().await;
        let payload = |line: &String| {
            // The last line may have been cut short with the process.
            let event: Value = serde_json::from_str(line).ok()?;
            Some(event["payload"].as_str()?.to_owned())
        };
        lines.iter().filter_map(payload).collect()
    }

    /// Has it send one message by its send mode.
    pub fn send(&mut self, payload: &str) {
        self.order(&json!({ "do": "send", "payload": payload }));
    }

    /// Has it send one message to one peer.
    pub fn send_to(&mut self, peer: Identity, payload: &str) {
        let identity = peer.to_string();
        self.order(&json!({ "do": "send", "payload": payload, "identity": identity }));
    }

    /// Has it send `prefix0`, `prefix1` and so on.
    pub fn send_many(&mut self, prefix: &str, count: u64) {
        self.order(&json!({ "do": "send_many", "prefix": prefix, "from": 0, "to": count }));
    }

    /// How many of its messages are not acknowledged yet.
    pub async fn unacknowledged(&mut self) -> u64 {
        self.order(&json!({ "do": "unacknowledged" }));
        let event = self.event("unacknowledged").await;
        event["n"].as_u64().expect("a number")
    }

    /// Closes its socket and waits until it is closed.
    pub async fn close(&mut self) {
        self.order(&json!({ "do": "close" }));
        self.event("closed").await;
    }

    /// Ends the process on the spot.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    fn order(&mut self, command: &Value) {
        self.process.say(&command.to_string());
    }
}

/// `prefix0`, `prefix1` and so on, as a peer that was told to [`PythonPeer::send_many`] sends them.
pub fn numbered(prefix: &str, numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("{prefix}{number}")).collect()
}

/// Finds the environment, or makes it; the lock keeps several test programs from doing so at once.
fn environment() -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .ok_or("the target directory has no parent")?;
    let requirements = folder().join("requirements.txt");
    let failed = |error: io::Error| error.to_string();

    let lock = File::create(target.join("venv.lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let venv = target.join("venv");
    let python = venv.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    let wanted = fs::read_to_string(&requirements).map_err(failed)?;
    let installed = venv.join("requirements.txt");
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let base = CANDIDATES
        .into_iter()
        .find(|candidate| is_recent(candidate))
        .ok_or_else(|| format!("none of {CANDIDATES:?} is Python 3.11 or newer"))?;
    run(Command::new(base)
        .args(["-m", "venv", "--clear"])
        .arg(&venv))?;
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(&requirements))?;
    fs::write(installed, wanted).map_err(failed)?;
    Ok(python)
}

fn is_recent(interpreter: &str) -> bool {
    let check = "import sys; sys.exit(sys.version_info < (3, 11))";
    Command::new(interpreter)
        .args(["-c", check])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn run(command: &mut Command) -> Result<(), String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!(
        "{command:?} failed ({status}): {}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    ))
}
