//! `aiomsg serve --exec`.

use std::time::Duration;

use super::support::process::Process;
use super::support::python::{PythonOptions, PythonPeer};
use super::support::{Folder, OnTerminal, aiomsg, command, endpoint_in, listening, port_of, run};

/// A server that runs this shell script for each message.
fn serve(options: &str, script: &str) -> Process {
    let mut command = command(&format!("serve --bind tcp://127.0.0.1:0 {options} --exec"));
    Process::spawn(command.args(["sh", "-c", script]))
}

#[tokio::test]
async fn each_message_of_a_python_peer_is_the_input_of_a_process_and_acknowledged_by_its_exit_status()
 {
    let mut serve = serve("", "cat; echo \" $AIOMSG_KIND\"");
    let port = port_of(&listening(&mut serve).await);
    let options = PythonOptions::connect(port).with("--delivery", "at-least-once");
    let mut python = PythonPeer::start(&options).await;
    python.send("one");
    python.send("two");
    assert_eq!(serve.line().await, "one message");
    assert_eq!(serve.line().await, "two message");
    while python.unacknowledged().await > 0 {}
    serve.signal("TERM");
    assert_eq!(serve.exit().await.code(), Some(0));
}

#[tokio::test]
async fn what_is_printed_for_a_message_of_a_python_peer_goes_back_by_choice() {
    let mut serve = serve("--reply", "printf \"$AIOMSG_PEER: \"; cat");
    let port = port_of(&listening(&mut serve).await);
    let name = "00112233445566778899aabbccddeeff";
    let options = PythonOptions::connect(port).with("--identity", name);
    let mut python = PythonPeer::start(&options).await;
    python.send("hello");
    assert_eq!(python.receive(1).await, [format!("{name}: hello")]);
}

#[tokio::test]
async fn no_shell_takes_part() {
    let mut serve = Process::spawn(
        command("serve --bind tcp://127.0.0.1:0 --exec").args(["echo", "$HOME; exit 1 | `x`"]),
    );
    let endpoint = listening(&mut serve).await;
    let (code, lines, _) = run(&format!("ask --connect {endpoint} x")).await;
    assert_eq!((code, lines[0].as_str()), (0, "$HOME; exit 1 | `x`"));
}

#[cfg(unix)]
#[tokio::test]
async fn without_path_the_system_looks_for_the_program() {
    let mut serve = command("serve --bind tcp://127.0.0.1:0 --exec cat");
    let mut serve = Process::spawn(serve.env_remove("PATH"));
    let endpoint = listening(&mut serve).await;
    let (code, lines, complaint) = run(&format!("ask --connect {endpoint} found")).await;
    assert_eq!((code, lines), (0, vec!["found".to_owned()]), "{complaint}");
}

#[tokio::test]
async fn an_ask_whose_program_fails_is_refused() {
    let mut serve = serve("", "echo no answer; exit 7");
    let endpoint = listening(&mut serve).await;
    let (code, lines, complaint) = run(&format!("ask --connect {endpoint} x")).await;
    assert_eq!((code, lines.len()), (4, 0));
    assert!(complaint.contains("exit status: 7"), "{complaint}");
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_ended_and_its_message_refused() {
    let mut serve = Process::spawn(
        command("serve --bind tcp://127.0.0.1:0 --timeout 200ms --exec").args(["sleep", "600"]),
    );
    let endpoint = listening(&mut serve).await;
    let (code, _, complaint) = run(&format!("send --connect {endpoint} --ack -m x")).await;
    assert_eq!(code, 4, "{complaint}");
    let told = serve.stderr.next().await.unwrap();
    assert!(told.contains("longer than --timeout"), "{told}");
}

#[tokio::test]
async fn as_many_processes_run_at_a_time_as_there_are_jobs() {
    // Each waits for the other to have begun; one at a time would wait for ever.
    let folder = Folder::new("jobs");
    let path = folder.0.display();
    let script = format!(
        "me=$(cat); : > {path}/$me; until [ -e {path}/a ] && [ -e {path}/b ]; do sleep 0.01; done; echo done"
    );
    let mut serve = serve("--jobs 2", &script);
    let endpoint = listening(&mut serve).await;
    assert_eq!(run(&format!("send --connect {endpoint} -m a")).await.0, 0);
    assert_eq!(run(&format!("send --connect {endpoint} -m b")).await.0, 0);
    assert_eq!(serve.line().await, "done");
    assert_eq!(serve.line().await, "done");
}

#[tokio::test]
async fn a_process_that_runs_when_it_is_stopped_is_finished_and_acknowledged() {
    let mut serve = serve("", "echo begun; read line; sleep 0.3; echo \"$line\"");
    let port = port_of(&listening(&mut serve).await);
    let options = PythonOptions::connect(port).with("--delivery", "at-least-once");
    let mut python = PythonPeer::start(&options).await;
    python.send("in hand\n");
    assert_eq!(serve.line().await, "begun");
    serve.signal("TERM");
    assert_eq!(serve.line().await, "in hand");
    assert_eq!(serve.exit().await.code(), Some(0));
    assert_eq!(python.unacknowledged().await, 0);
}

#[tokio::test]
async fn a_process_that_outlasts_the_drain_is_ended_with_exit_code_1() {
    let mut serve = serve("--drain 200ms", "echo $$; exec sleep 600");
    let endpoint = listening(&mut serve).await;
    assert_eq!(run(&format!("send --connect {endpoint} -m x")).await.0, 0);
    let id = serve.line().await;
    serve.signal("TERM");
    assert_eq!(serve.exit().await.code(), Some(1));
    let is_running = || {
        let mut kill = std::process::Command::new("kill");
        let status = kill
            .args(["-0", &id])
            .stderr(std::process::Stdio::null())
            .status();
        status.unwrap().success()
    };
    super::support::eventually("its process to end", || !is_running()).await;
}

#[tokio::test]
async fn on_a_terminal_a_program_serves_a_python_peer_until_ctrl_c() {
    let mut serve = OnTerminal::spawn("serve --bind tcp://127.0.0.1:0 --exec cat");
    let port = port_of(&endpoint_in(&serve.shows("listening on ").await));
    let mut python = PythonPeer::start(&PythonOptions::connect(port)).await;
    python.send("shown");
    serve.shows("shown").await;
    serve.type_in("\x03");
    tokio::time::timeout(Duration::from_secs(30), serve.exit())
        .await
        .expect("it ends");
}

#[tokio::test]
async fn a_program_that_can_be_started_no_more_is_told_of() {
    let folder = Folder::new("serve-gone");
    let program = folder.place("program");
    std::fs::copy("/bin/cat", &program).unwrap();
    let mut serve = aiomsg(&format!("serve --bind tcp://127.0.0.1:0 --exec {program}"));
    let endpoint = listening(&mut serve).await;
    std::fs::remove_file(&program).unwrap();
    assert_eq!(run(&format!("send --connect {endpoint} -m x")).await.0, 0);
    serve
        .stderr
        .find(|line| line.contains("cannot") && line.contains("program"))
        .await;
    serve.signal("TERM");
    serve.exit().await;
}
