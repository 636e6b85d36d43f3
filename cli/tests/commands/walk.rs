//! What all commands have in common: how they end, and that each error says what to do.

use super::support::process::Process;
use super::support::python::{PythonOptions, PythonPeer};
use super::support::{
    Folder, OnTerminal, aiomsg, command, ended, endpoint_in, free_port, listening, port_of, run,
};

const HERE: &str = "--bind tcp://127.0.0.1:0";

/// A recording of two messages.
async fn recording(folder: &Folder) -> String {
    let file = folder.place("recording");
    let mut relay = aiomsg(&format!(
        "relay bind:tcp://127.0.0.1:0 bind:tcp://127.0.0.1:0 --capture {file}"
    ));
    let (to, from) = (listening(&mut relay).await, listening(&mut relay).await);
    let sub = aiomsg(&format!("sub --connect {to} -n 2"));
    let publisher = aiomsg(&format!("pub --connect {from} -m again -n 2"));
    assert_eq!(ended(sub).await.1, ["again", "again"]);
    assert_eq!(ended(publisher).await.0, 0);
    relay.signal("TERM");
    assert_eq!(relay.exit().await.code(), Some(0));
    file
}

#[tokio::test]
async fn no_complaint_shows_a_password_or_a_token() {
    let cases = [
        ("send --connect tcp://user:s3cret@host -m x", 2),
        ("pub --bind ws://u:s3cret@h:1/x -m x", 2),
        ("sub --bind wss://h:1/x?token=s3cret", 2),
        (
            "pub --connect ws://127.0.0.1:1/x?token=s3cret -m x --timeout 50ms",
            3,
        ),
        ("sub --connect ws://h:1 --header Authorization=s3cret", 2),
        ("send tcp://user:s3cret@host hello", 1),
        ("replay tcp://user:s3cret@host", 1),
        ("top --once tcp://user:s3cret@host", 1),
        ("sub tcp://user:s3cret@host", 2),
        ("tcp://user:s3cret@host", 2),
        ("relay tcp://user:s3cret@host bind:h:1", 2),
        ("relay bind:h:1 bind:tcp://user:s3cret@host", 2),
        ("ping tcp://user:s3cret@host", 2),
        ("doctor tcp://user:s3cret@host", 1),
    ];
    for (options, expected) in cases {
        let (code, lines, complaint) = run(options).await;
        assert!(!complaint.is_empty(), "{options}");
        let told = lines.join("\n") + &complaint;
        assert!(!told.contains("s3cret"), "{options}: {told}");
        assert_eq!(code, expected, "{options}: {told}");
    }
}

#[tokio::test]
async fn ctrl_c_is_exit_code_130_before_a_command_is_done_and_0_where_it_is_the_only_end() {
    let folder = Folder::new("walk-ctrl-c");
    let file = recording(&folder).await;
    let commands = [
        (format!("sub {HERE}"), 0),
        (format!("sub {HERE} -n 1"), 130),
        (format!("pub {HERE} -m x"), 130),
        (format!("send {HERE} -m x"), 130),
        (format!("send {HERE} -m x --to desk"), 130),
        (format!("ask {HERE} x"), 130),
        // Its standard input has not ended.
        (format!("ask {HERE}"), 130),
        (format!("ask {HERE} x --service upper"), 130),
        (format!("serve {HERE} --exec cat"), 0),
        (format!("echo {HERE}"), 0),
        (
            "relay bind:tcp://127.0.0.1:0 bind:tcp://127.0.0.1:0".to_owned(),
            0,
        ),
        (format!("replay {file} {HERE}"), 130),
        (format!("bench one-way {HERE} --timeout 1h"), 130),
        (format!("bench round-trip {HERE} --timeout 1h"), 130),
        (format!("bench fan-out {HERE} --timeout 1h"), 130),
        (format!("peers {HERE}"), 0),
        (format!("peers {HERE} -n 1"), 130),
        (format!("services upper {HERE}"), 0),
        (format!("services upper {HERE} -n 1"), 130),
    ];
    for (options, code) in commands {
        let mut process = aiomsg(&options);
        listening(&mut process).await;
        process.signal("INT");
        let exit = process.exit().await.code();
        let complaint = process.complaint().await;
        assert_eq!(exit, Some(code), "{options}: {complaint}");
        assert_eq!(
            complaint.contains("error:"),
            code != 0,
            "{options}: {complaint}"
        );
    }
}

#[tokio::test]
async fn output_that_nobody_reads_any_more_ends_a_command_without_a_word() {
    for options in [
        format!("sub {HERE}"),
        format!("peers {HERE}"),
        format!("services upper {HERE}"),
    ] {
        let mut process = Process::spawn_unread(&mut command(&options));
        let endpoint = listening(&mut process).await;
        process.close_stdout();
        let other = match options.contains("services") {
            true => format!("serve --connect {endpoint} --offer upper --exec cat"),
            false => format!("pub --connect {endpoint} -m x -n 1M --rate 50/s"),
        };
        let _other = aiomsg(&other);
        assert_eq!(process.exit().await.code(), Some(0), "{options}");
        assert_eq!(process.complaint().await, "", "{options}");
    }
    let python = PythonPeer::start(&PythonOptions::bind(0)).await;
    for options in [
        format!("ping tcp://127.0.0.1:{} -n 0 -i 10ms", python.port),
        format!("doctor tcp://127.0.0.1:{}", python.port),
        "top --demo --once -i 100ms".to_owned(),
        "bench one-way -n 100".to_owned(),
    ] {
        let mut process = Process::spawn_unread(&mut command(&options));
        process.close_stdout();
        assert_eq!(process.exit().await.code(), Some(0), "{options}");
        assert_eq!(process.complaint().await, "", "{options}");
    }
}

#[tokio::test]
async fn a_peer_that_cannot_be_reached_is_exit_code_3_with_the_doctor_advised() {
    let folder = Folder::new("walk-nobody");
    let file = recording(&folder).await;
    let there = format!("--connect tcp://127.0.0.1:{} --timeout 300ms", free_port());
    for options in [
        format!("sub {there} -n 1"),
        format!("pub {there} -m x"),
        format!("send {there} -m x"),
        format!("send {there} -m x --to desk"),
        format!("ask {there} x"),
        format!("ask {there} x --service upper"),
        format!("replay {file} {there}"),
        format!("bench one-way {there}"),
        format!("bench round-trip {there}"),
        format!("bench fan-out {there}"),
        format!("peers {there} -n 1"),
        format!("services upper {there} -n 1"),
    ] {
        let (code, _, complaint) = run(&options).await;
        assert_eq!(code, 3, "{options}: {complaint}");
        assert!(
            complaint.contains("aiomsg doctor tcp://"),
            "{options}: {complaint}"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_missing_is_named_with_what_to_do() {
    for (options, advice) in [
        (format!("pub {HERE} /nowhere/message"), "name"),
        (
            "replay /nowhere/recording --bind tcp://127.0.0.1:0".to_owned(),
            "--capture",
        ),
        (
            "relay bind:tcp://127.0.0.1:0 bind:tcp://127.0.0.1:0 --capture /nowhere/recording"
                .to_owned(),
            "directory",
        ),
        (
            "sub --connect tls://localhost:1 --ca /nowhere/ca.pem".to_owned(),
            "aiomsg cert ca",
        ),
        (
            "serve --bind tcp://127.0.0.1:0 --exec /nowhere/program".to_owned(),
            "program",
        ),
        ("outbox inspect /nowhere/outbox".to_owned(), ""),
        ("top --once /nowhere/socket".to_owned(), ".inspection(path)"),
    ] {
        let (code, _, complaint) = run(&options).await;
        assert!(code == 1 || code == 2, "{options}: {code} {complaint}");
        assert!(complaint.contains("/nowhere/"), "{options}: {complaint}");
        assert!(complaint.contains(advice), "{options}: {complaint}");
    }
}

#[tokio::test]
async fn on_a_terminal_a_recording_is_sent_to_a_python_peer() {
    let folder = Folder::new("walk-replay");
    let file = recording(&folder).await;
    let mut replay = OnTerminal::spawn(&format!("replay {file} {HERE} --speed max"));
    let port = port_of(&endpoint_in(&replay.shows("listening on ").await));
    let mut python = PythonPeer::start(&PythonOptions::connect(port)).await;
    assert_eq!(python.receive(2).await, ["again", "again"]);
    assert!(replay.exit().await.success(), "{}", replay.shown());
}

#[tokio::test]
async fn a_python_peer_offers_no_service_which_is_told_in_a_pipe_and_on_a_terminal() {
    let python = PythonPeer::start(&PythonOptions::bind(0)).await;
    let options = format!(
        "services upper --connect tcp://127.0.0.1:{} -n 1 --timeout 300ms",
        python.port
    );
    let (code, lines, complaint) = run(&options).await;
    assert_eq!((code, lines.len()), (3, 0), "{complaint}");
    assert!(complaint.contains("serve --offer"), "{complaint}");
    let mut terminal = OnTerminal::spawn(&options);
    assert_eq!(terminal.exit().await.code(), Some(3));
    terminal.shows("serve --offer").await;
}
