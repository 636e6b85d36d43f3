//! `aiomsg top`: in a pipe, on a terminal, and in tmux before a system that is not well.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::supervise::supervise;
use bytes::Bytes;
use serde_json::Value;

use super::support::process::Process;
use super::support::python::{PythonOptions, PythonPeer};
use super::support::{
    Folder, OnTerminal, again, aiomsg, aside, command, listening, port_of, run, run_command,
};
use super::tmux::Tmux;

/// A subscriber that can be looked into, and the Python peer that it hears.
async fn looked_into(folder: &Folder) -> (Process, PythonPeer, String) {
    let path = folder.place("look/sub.sock");
    let mut sub = aiomsg(&format!("sub --bind tcp://127.0.0.1:0 --inspection {path}"));
    let port = port_of(&listening(&mut sub).await);
    let mut python = PythonPeer::start(&PythonOptions::connect(port)).await;
    python.send("a secret");
    assert_eq!(sub.line().await, "a secret");
    (sub, python, path)
}

#[tokio::test]
async fn a_look_in_a_pipe_shows_a_python_peer_and_no_payload() {
    let folder = Folder::new("top-once");
    let (_sub, _python, path) = looked_into(&folder).await;
    let (code, lines, complaint) = run(&format!("top --once {path} -i 100ms")).await;
    assert_eq!(code, 0, "{complaint}");
    let text = lines.join("\n");
    assert!(text.contains("nothing is wrong"), "{text}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("peer     ") && line.contains(" tcp: ")),
        "{text}"
    );
    let (code, lines, _) = run(&format!("top --json {path} -i 100ms")).await;
    assert!(code == 0 && !lines[0].contains("secret"));
    let look: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(
        (&look["report"]["totals"]["received"], &look["place"]),
        (&1.into(), &path.into())
    );
    assert_eq!(look["diagnoses"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn on_a_terminal_a_python_peer_is_shown_until_ctrl_c() {
    let folder = Folder::new("top-terminal");
    let (_sub, _python, path) = looked_into(&folder).await;
    let mut top = OnTerminal::spawn(&format!("top {path} -i 100ms"));
    top.shows("127.0.0.1:").await;
    // The spaces between words are not written.
    top.shows("nothing").await;
    top.type_in("\x03");
    assert_eq!(top.exit().await.code(), Some(0));
    assert!(
        top.shown().contains("\x1b[?1049l"),
        "the screen is as it was"
    );
}

#[tokio::test]
async fn sockets_are_found_where_they_are_by_convention() {
    let folder = Folder::new("top-found");
    let run_top = async || {
        let mut top = command("top --check -i 100ms");
        run_command(top.env("XDG_RUNTIME_DIR", &folder.0)).await
    };
    let (code, _, complaint) = run_top().await;
    assert_eq!(code, 2);
    assert!(
        complaint.contains("none is in") && complaint.contains("--demo"),
        "{complaint}"
    );
    let path = folder.place("aiomsg/sub.sock");
    let mut sub = aiomsg(&format!("sub --bind tcp://127.0.0.1:0 --inspection {path}"));
    listening(&mut sub).await;
    let (code, lines, _) = run_top().await;
    assert_eq!(
        (code, lines),
        (0, vec![format!("{path}: nothing is wrong")])
    );
}

#[tokio::test]
async fn what_cannot_be_looked_into_is_told_with_what_to_do() {
    let (code, _, complaint) = run("top --once /nowhere/a.sock").await;
    assert_eq!(code, 1);
    assert!(
        complaint.contains("there is no socket at") && complaint.contains(".inspection(path)"),
        "{complaint}"
    );
    let (code, _, complaint) = run("top --demo").await;
    assert_eq!(code, 2);
    assert!(
        complaint.contains("needs a terminal") && complaint.contains("--once"),
        "{complaint}"
    );
    let folder = Folder::new("top-file");
    let path = folder.place("a.sock");
    std::fs::write(&path, "a file").unwrap();
    let (code, _, complaint) = run(&format!("top --once {path}")).await;
    assert_eq!(code, 1);
    assert!(complaint.contains("nobody listens at"), "{complaint}");
    let (code, _, complaint) =
        run(&format!("sub --bind tcp://127.0.0.1:0 --inspection {path}")).await;
    assert_eq!(code, 1);
    assert!(complaint.contains("is no socket file"), "{complaint}");
    let folder = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(Path::new(&path).parent().unwrap(), folder).unwrap();
    let (code, _, complaint) =
        run(&format!("sub --bind tcp://127.0.0.1:0 --inspection {path}")).await;
    assert_eq!(code, 1);
    assert!(
        complaint.contains("can be entered or read by others"),
        "{complaint}"
    );
}

#[tokio::test]
async fn on_a_terminal_a_socket_that_is_not_there_is_told_before_the_screen_is_opened() {
    let mut top = OnTerminal::spawn("top /nowhere/a.sock");
    let shown = top.shows("there is no socket at").await;
    assert_eq!(top.exit().await.code(), Some(1));
    assert!(!shown.contains("\x1b[?1049h"), "{shown:?}");
    assert!(top.shown().contains(".inspection(path)"), "{shown:?}");
}

#[tokio::test]
async fn a_look_connects_once() {
    let folder = Folder::new("top-connects");
    let path = folder.place("aiomsg/a.sock");
    std::fs::create_dir_all(folder.place("aiomsg")).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let serving = aside(move || {
        let (look, _) = listener.accept().unwrap();
        let mut requests = BufReader::new(look.try_clone().unwrap()).lines();
        while let Some(Ok(_)) = requests.next() {
            writeln!(&look, "{{\"format\":1,\"identity\":\"a\"}}").unwrap();
        }
        listener.set_nonblocking(true).unwrap();
        listener.accept().map(drop).map_err(|error| error.kind())
    });
    let mut top = command("top --once -i 100ms");
    let looking = run_command(top.env("XDG_RUNTIME_DIR", &folder.0));
    let ((code, _, complaint), others) = tokio::join!(looking, serving);
    assert_eq!(code, 0, "{complaint}");
    assert_eq!(others, Err(std::io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn the_made_up_system_is_not_well() {
    let (code, lines, _) = run("top --demo --check -i 100ms").await;
    assert_eq!(code, 5);
    assert!(
        lines.iter().any(|line| line.contains("link full for")),
        "{lines:?}"
    );
    let (code, lines, _) = run("top --demo --once -i 100ms").await;
    assert_eq!((code, lines[0].starts_with("orders ")), (0, true));
}

const SICK: &str = "top::three_diagnoses_of_a_system_that_is_not_well_are_on_the_screen";

/// A socket with a slow reader, a handler that never finishes, and an actor that is restarted again and again.
async fn be_sick(path: &str) {
    let socket = Socket::builder()
        .name("orders")
        .link_capacity(50, 1 << 20)
        .inspection(path)
        .start()
        .unwrap();
    let _jobs = Jobs(socket.downgrade()).start();
    let mut starts = 0;
    let _cache = supervise(move || {
        starts += 1;
        Cache(starts)
    })
    .name("cache")
    .intensity(5, Duration::from_secs(600))
    .spawn();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let slow = Socket::builder().inbox_capacity(1, 1).start().unwrap();
    slow.connect(endpoint).await.unwrap();
    slow.send("a job").await.unwrap();
    actix::spawn(async move {
        while slow.recv().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    });
    actix::spawn(async move { while socket.send(vec![0; 20_000]).await.is_ok() {} });
    eprintln!("sick");
    while again::order().await.is_some() {}
}

struct Jobs(WeakSocket);

impl Actor for Jobs {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe::<Bytes>(ctx);
    }
}

impl Handler<Received> for Jobs {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Received, _: &mut Self::Context) -> Self::Result {
        Box::pin(std::future::pending())
    }
}

/// Fails four times.
struct Cache(u32);

impl Actor for Cache {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        assert!(self.0 > 4, "no connection to the cache");
    }
}

#[test]
fn three_diagnoses_of_a_system_that_is_not_well_are_on_the_screen() {
    if let Some(path) = again::part() {
        return System::new().block_on(be_sick(&path));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let folder = Folder::new("top-sick");
        let path = folder.place("look/orders.sock");
        let mut sick = again::start(SICK, &path);
        again::told(&mut sick, "sick").await;
        look_at_it(&folder, &path).await;
        // The check tells the same.
        let (code, lines, _) = run(&format!("top --check {path}")).await;
        let text = lines.join("\n");
        assert_eq!(code, 5, "{text}");
        for part in [
            "link full for",
            "handler Jobs: running for",
            "cache: restart 4 of 5",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    });
}

async fn look_at_it(folder: &Folder, path: &str) {
    let top = format!("{} top {path} -i 200ms", env!("CARGO_BIN_EXE_aiomsg"));
    let after = "echo left with $?; stty -a | tr ' ;' '\\n\\n' | grep icanon; sleep 600";
    let tmux = Tmux::start(folder, 160, 40, &format!("{top}; {after}"));
    tmux.shows("link full for").await;
    tmux.shows("messages a second").await;
    tmux.shows("handler Jobs: running for").await;
    tmux.shows("cache: restart 4 of 5 in 10 min: no connection to the cache")
        .await;
    tmux.shows("orders (").await;
    tmux.press("?");
    tmux.shows("any key goes back").await;
    tmux.press("x");
    tmux.press("Enter");
    tmux.shows("it dialled us from 127.0.0.1:").await;
    tmux.press("Escape");
    tmux.shows("peers, by order").await;
    for key in ["/", "n", "o", "b", "o", "d", "y", "Enter"] {
        tmux.press(key);
    }
    tmux.shows("with \"nobody\"").await;
    tmux.press("Escape");
    tmux.hides("with \"nobody\"").await;
    tmux.press("p");
    tmux.shows(" paused").await;
    tmux.resize(80, 24);
    tmux.shows("link full for").await;
    tmux.press("C-c");
    tmux.shows("left with 0").await;
    let screen = tmux.shows("icanon").await;
    assert!(
        !screen.contains("-icanon"),
        "the terminal is as it was: {screen}"
    );
    assert!(!screen.contains("link full"), "{screen}");
}

#[tokio::test]
async fn a_socket_that_is_not_there_does_not_hide_the_others() {
    let folder = Folder::new("top-others");
    let (_sub, _python, path) = looked_into(&folder).await;
    let (code, lines, complaint) =
        run(&format!("top --check /nowhere {path} /neither -i 100ms")).await;
    assert_eq!(code, 1, "{complaint}");
    assert_eq!(lines, [format!("{path}: nothing is wrong")]);
    assert!(complaint.contains("no socket at /nowhere"), "{complaint}");
    assert!(complaint.contains("no socket at /neither"), "{complaint}");
}

#[tokio::test]
async fn colours_are_left_out_where_they_are_not_wanted_and_sigterm_restores_the_terminal() {
    let folder = Folder::new("top-demo");
    let top = format!("{} top --demo -i 200ms", env!("CARGO_BIN_EXE_aiomsg"));
    let tmux = Tmux::start(&folder, 132, 36, &top);
    tmux.shows("link full for").await;
    let coloured = tmux.coloured();
    assert!(is_coloured(&coloured), "{coloured:?}");
    if let Some(pictures) = std::env::var_os("AIOMSG_PICTURES") {
        // With something to see in the curves.
        tmux.shows("restart 4 of 5 in 10 s").await;
        tmux.picture(&Path::new(&pictures).join("top.svg"));
    }
    let other = Folder::new("top-plain");
    let file = other.place("process");
    let plain =
        format!("sh -c 'echo $$ > {file}; NO_COLOR=1 exec {top}'; echo left with $?; sleep 600");
    let tmux = Tmux::start(&other, 132, 36, &plain);
    tmux.shows("link full for").await;
    assert!(!is_coloured(&tmux.coloured()), "{:?}", tmux.coloured());
    let process = std::fs::read_to_string(&file).unwrap();
    let killed = std::process::Command::new("kill")
        .arg(process.trim())
        .status();
    assert!(killed.unwrap().success());
    tmux.shows("left with 0").await;
    tmux.hides("link full for").await;
}

/// Whether anything has another colour than the terminal's own.
fn is_coloured(screen: &str) -> bool {
    screen.replace("\x1b[39m", "").contains("\x1b[3")
}
