//! `aiomsg sub`.

use super::support::process::Process;
use super::support::python::{PythonOptions, PythonPeer};
use super::support::{OnTerminal, aiomsg, command, ended, endpoint_in, listening, port_of, run};

#[tokio::test]
async fn two_payloads_of_a_python_peer_are_two_lines() {
    let mut sub = aiomsg("sub --bind tcp://127.0.0.1:0 --count 2");
    let port = port_of(&listening(&mut sub).await);
    let mut python = PythonPeer::start(&PythonOptions::connect(port)).await;
    python.send("one");
    python.send("two");
    let (code, lines, complaint) = ended(sub).await;
    assert_eq!(code, 0, "{complaint}");
    assert_eq!(lines, ["one", "two"]);
}

#[tokio::test]
async fn what_a_python_peer_wants_acknowledged_is_acknowledged() {
    let mut sub = aiomsg("sub --bind tcp://127.0.0.1:0");
    let port = port_of(&listening(&mut sub).await);
    let options = PythonOptions::connect(port).with("--delivery", "at-least-once");
    let mut python = PythonPeer::start(&options).await;
    python.send("one");
    assert_eq!(sub.line().await, "one");
    while python.unacknowledged().await > 0 {}
    sub.signal("TERM");
    assert!(sub.exit().await.success());
}

#[tokio::test]
async fn only_messages_of_the_topic_are_printed() {
    let mut sub = aiomsg("sub --bind tcp://127.0.0.1:0 --count 1 --topic b");
    let endpoint = listening(&mut sub).await;
    let mut publisher = aiomsg(&format!("pub --connect {endpoint}"));
    publisher.say("a1");
    publisher.say("b1");
    publisher.close_stdin();
    assert_eq!(ended(publisher).await.0, 0);
    assert_eq!(ended(sub).await.1, ["b1"]);
}

#[tokio::test]
async fn too_few_messages_within_the_timeout_are_exit_code_3() {
    let (code, _, complaint) = run("sub --bind tcp://127.0.0.1:0 -n 1 --timeout 200ms").await;
    assert_eq!(code, 3);
    assert!(complaint.contains("0 of 1 messages came"), "{complaint}");
}

#[tokio::test]
async fn ctrl_c_before_the_count_is_reached_is_exit_code_130_and_without_a_count_it_is_the_end() {
    let mut counting = aiomsg("sub --bind tcp://127.0.0.1:0 -n 5");
    let mut endless = aiomsg("sub --bind tcp://127.0.0.1:0");
    listening(&mut counting).await;
    listening(&mut endless).await;
    counting.signal("INT");
    endless.signal("INT");
    assert_eq!(counting.exit().await.code(), Some(130));
    assert_eq!(endless.exit().await.code(), Some(0));
}

#[tokio::test]
async fn it_ends_without_a_word_when_nobody_reads_its_output_any_more() {
    let mut sub = Process::spawn_unread(&mut command("sub --bind tcp://127.0.0.1:0"));
    let endpoint = listening(&mut sub).await;
    sub.close_stdout();
    assert_eq!(run(&format!("pub --connect {endpoint} -m x")).await.0, 0);
    assert_eq!(sub.exit().await.code(), Some(0));
    assert_eq!(sub.complaint().await, "");
}

#[tokio::test]
async fn on_a_terminal_json_is_indented_and_no_payload_steers_the_terminal() {
    let mut sub = OnTerminal::spawn("sub --bind tcp://127.0.0.1:0 -n 3");
    let port = port_of(&endpoint_in(&sub.shows("listening on ").await));
    let mut python = PythonPeer::start(&PythonOptions::connect(port)).await;
    python.send(r#"{"price": 1}"#);
    python.send("\u{ff}\u{fe}");
    python.send("\u{1b}[2Jgone");
    assert!(sub.exit().await.success());
    let shown = sub.shows("gone").await;
    assert!(shown.contains("{\r\n  \"price\": 1\r\n}"), "{shown:?}");
    assert!(shown.contains("hex fffe"), "{shown:?}");
    assert!(!shown.contains("\u{1b}[2J"), "{shown:?}");
}

#[tokio::test]
async fn a_signal_ends_it_while_nobody_reads_the_last_lines() {
    let mut sub = Process::spawn_unread(&mut command("sub --bind tcp://127.0.0.1:0 -n 1"));
    let endpoint = listening(&mut sub).await;
    // More than a pipe holds.
    let (code, ..) = run(&format!("pub --connect {endpoint} -m x --size 1M")).await;
    assert_eq!(code, 0);
    sub.signal("TERM");
    assert_eq!(sub.exit().await.code(), Some(143));
}

#[tokio::test]
async fn the_timeout_ends_it_while_nobody_reads_the_last_lines() {
    let options = "sub --bind tcp://127.0.0.1:0 -n 1 --timeout 3s";
    let mut sub = Process::spawn_unread(&mut command(options));
    let endpoint = listening(&mut sub).await;
    // In its time or not.
    run(&format!(
        "pub --connect {endpoint} -m x --size 1M --timeout 5s"
    ))
    .await;
    assert_eq!(sub.exit().await.code(), Some(3));
}
