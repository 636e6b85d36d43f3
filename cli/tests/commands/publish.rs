//! `aiomsg pub`.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::python::{PythonOptions, PythonPeer};
use super::support::{
    Folder, OnTerminal, aiomsg, command, ended, endpoint_in, free_port, listening, port_of, run,
    run_command,
};

#[tokio::test]
async fn lines_of_standard_input_are_published_and_written_when_it_exits() {
    let mut sub = aiomsg("sub --bind tcp://127.0.0.1:0 --count 2");
    let endpoint = listening(&mut sub).await;
    let mut publisher = aiomsg(&format!("pub --connect {endpoint}"));
    publisher.say("one");
    publisher.say("two words");
    publisher.close_stdin();
    let (code, lines, complaint) = ended(publisher).await;
    assert_eq!((code, lines.len()), (0, 0), "{complaint}");
    assert_eq!(ended(sub).await.1, ["one", "two words"]);
}

#[tokio::test]
async fn a_python_peer_gets_each_line() {
    let mut python = PythonPeer::start(&PythonOptions::bind(0)).await;
    let mut publisher = aiomsg(&format!("pub --connect tcp://127.0.0.1:{}", python.port));
    publisher.say("one");
    publisher.say("two");
    publisher.close_stdin();
    assert_eq!(ended(publisher).await.0, 0);
    assert_eq!(python.receive(2).await, ["one", "two"]);
}

#[tokio::test]
async fn a_python_peer_that_connects_to_it_gets_each_line() {
    let mut publisher = aiomsg("pub --bind tcp://127.0.0.1:0 --message n{{count}} --count 3");
    let port = port_of(&listening(&mut publisher).await);
    let mut python = PythonPeer::start(&PythonOptions::connect(port)).await;
    assert_eq!(python.receive(3).await, ["n1", "n2", "n3"]);
    assert_eq!(ended(publisher).await.0, 0);
}

#[tokio::test]
async fn files_are_messages_as_they_are() {
    let folder = Folder::new("files");
    let file = folder.place("two lines.txt");
    std::fs::write(&file, "a\nb").unwrap();
    let mut sub = aiomsg("sub --bind tcp://127.0.0.1:0 --count 1 --json");
    let endpoint = listening(&mut sub).await;
    let (code, ..) = run_command(command(&format!("pub --connect {endpoint}")).arg(&file)).await;
    assert_eq!(code, 0);
    let line: serde_json::Value = serde_json::from_str(&ended(sub).await.1[0]).unwrap();
    assert_eq!(line["text"], "a\nb");
}

#[tokio::test]
async fn a_named_pipe_is_opened_once_and_read_as_a_file() {
    let folder = Folder::new("pipe");
    let pipe = folder.place("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let mut sub = aiomsg("sub --bind tcp://127.0.0.1:0 --count 1");
    let endpoint = listening(&mut sub).await;
    let name = pipe.clone();
    // It waits here for whoever reads, and ends with the first who does.
    let writer = std::thread::spawn(move || std::fs::write(name, "through a pipe"));
    let (code, ..) = run_command(command(&format!("pub --connect {endpoint}")).arg(&pipe)).await;
    assert_eq!(code, 0);
    writer.join().unwrap().unwrap();
    assert_eq!(ended(sub).await.1, ["through a pipe"]);
}

#[tokio::test]
async fn messages_are_counted_filled_and_paced() {
    let mut sub = aiomsg("sub --bind tcp://127.0.0.1:0 --count 3");
    let endpoint = listening(&mut sub).await;
    let began = std::time::Instant::now();
    let options = format!("pub --connect {endpoint} -m {{{{count}}}} -n 3 --size 8 --rate 20/s");
    assert_eq!(run(&options).await.0, 0);
    // The third is due after two twentieths of a second, and is never early.
    assert!(began.elapsed() >= std::time::Duration::from_millis(100));
    assert_eq!(ended(sub).await.1, ["1       ", "2       ", "3       "]);
}

#[tokio::test]
async fn messages_that_a_stalled_peer_did_not_read_are_told_and_are_exit_code_1() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = format!("pub --connect tcp://127.0.0.1:{port} -m x --size 1k -n 30k");
    let mut publisher = aiomsg(&options);
    let (mut peer, _) = listener.accept().await.unwrap();
    peer.write_all(&HELLO).await.unwrap();
    // It reads nothing until the publisher has given up waiting for it, and then all that is left.
    let given_up = |line: &str| line.contains("does not read");
    publisher.stderr.find(given_up).await;
    let reading =
        tokio::spawn(async move { tokio::io::copy(&mut peer, &mut tokio::io::sink()).await });
    let (code, _, complaint) = ended(publisher).await;
    reading.abort();
    assert_eq!(code, 1, "{complaint}");
    assert!(complaint.contains("messages were dropped"), "{complaint}");
}

#[tokio::test]
async fn nobody_within_the_timeout_is_exit_code_3_with_the_reason() {
    // It was free a moment ago.
    let port = free_port();
    let options = format!("pub --connect tcp://127.0.0.1:{port} -m x --timeout 300ms");
    let (code, _, complaint) = run(&options).await;
    assert_eq!(code, 3, "{complaint}");
    assert!(complaint.contains("nobody is connected"), "{complaint}");
    assert!(complaint.contains("refused"), "{complaint}");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_is_told_once_with_what_to_do() {
    let mut echo = aiomsg("echo --bind tcp://127.0.0.1:0");
    let taken = listening(&mut echo).await;
    let cases = [
        (format!("--bind {taken}"), 1, "another socket listens there"),
        ("--bind tcp://127.0.0.1:80000".to_owned(), 2, "\"80000\""),
        (
            "--connect tcp://127.0.0.1:1 --header A:b".to_owned(),
            2,
            "ws and wss endpoints do",
        ),
        (
            "--bind tcp://127.0.0.1:0 --header A:b".to_owned(),
            2,
            "ws and wss endpoints do",
        ),
        // A bind end asks for no upgrade.
        (
            "--bind ws://127.0.0.1:0 --header A:b".to_owned(),
            2,
            "ws and wss endpoints do",
        ),
        (
            "--connect tcp://127.0.0.1:1 --ca ca.pem".to_owned(),
            2,
            "--ca is for TLS",
        ),
        (
            "--bind tcp://127.0.0.1:0 --cert a.pem --key a.key".to_owned(),
            2,
            "--cert and --key are for TLS",
        ),
        (
            "--bind tls://127.0.0.1:0".to_owned(),
            2,
            "aiomsg cert server",
        ),
    ];
    for (options, expected, told) in cases {
        let (code, _, complaint) = run(&format!("pub {options} -m x")).await;
        assert_eq!(code, expected, "{complaint}");
        assert!(complaint.contains(told), "{complaint}");
        assert_eq!(complaint.matches("tcp://").count().max(1), 1, "{complaint}");
    }
}

#[tokio::test]
async fn a_command_line_that_names_nobody_is_exit_code_2_and_says_what_to_do() {
    let (code, _, complaint) = run("pub -m x").await;
    assert_eq!(code, 2);
    assert!(complaint.contains("--connect tcp://"), "{complaint}");
}

#[tokio::test]
async fn on_a_terminal_it_publishes_what_is_typed_and_ends_at_the_end_of_input() {
    let mut sub = aiomsg("sub --bind tcp://127.0.0.1:0 --count 1");
    let endpoint = listening(&mut sub).await;
    let mut publisher = OnTerminal::spawn(&format!("pub --connect {endpoint}"));
    publisher.shows("is connected").await;
    publisher.type_in("typed\n");
    assert_eq!(ended(sub).await.1, ["typed"]);
    publisher.type_in("\x04");
    assert!(publisher.exit().await.success(), "{}", publisher.shown());
}

#[tokio::test]
async fn on_a_terminal_it_shows_progress_and_ctrl_c_ends_it_with_code_130() {
    let mut publisher = OnTerminal::spawn("pub --bind tcp://127.0.0.1:0 -m x -n 1M --rate 100/s");
    let shown = publisher.shows("listening on ").await;
    let port = port_of(&endpoint_in(&shown));
    let mut python = PythonPeer::start(&PythonOptions::connect(port)).await;
    assert_eq!(python.receive(1).await, ["x"]);
    publisher.shows("/1000000 messages").await;
    publisher.type_in("\x03");
    assert_eq!(publisher.exit().await.code(), Some(130));
}

/// A HELLO of nobody in particular.
const HELLO: [u8; 22] = [
    0, 0, 0, 18, 1, 1, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
];

#[tokio::test]
async fn a_message_that_is_half_written_when_its_peer_goes_is_told_and_is_exit_code_1() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // More than both kernels hold.
    let options = format!("pub --connect tcp://127.0.0.1:{port} -m x --size 48M");
    let publisher = aiomsg(&options);
    let (mut peer, _) = listener.accept().await.unwrap();
    peer.write_all(&HELLO).await.unwrap();
    peer.read_exact(&mut [0; 4096]).await.unwrap();
    drop((peer, listener));
    let (code, _, complaint) = ended(publisher).await;
    assert_eq!(code, 1, "{complaint}");
    assert!(
        complaint.contains("ended while they were written"),
        "{complaint}"
    );
}

#[tokio::test]
async fn a_subscriber_that_leaves_with_everything_is_no_loss() {
    let mut sub = aiomsg("sub --bind tcp://127.0.0.1:0 --count 1");
    let endpoint = listening(&mut sub).await;
    let mut publisher = aiomsg(&format!("pub --connect {endpoint}"));
    publisher.say("all");
    assert_eq!(ended(sub).await.1, ["all"]);
    publisher.close_stdin();
    let (code, _, complaint) = ended(publisher).await;
    assert_eq!(code, 0, "{complaint}");
}

#[tokio::test]
async fn what_stands_before_a_failure_is_sent_and_counted() {
    let folder = Folder::new("before");
    let file = folder.place("file");
    std::fs::write(&file, "before").unwrap();
    let mut sub = aiomsg("sub --bind tcp://127.0.0.1:0 --count 1");
    let endpoint = listening(&mut sub).await;
    let (code, _, complaint) = run(&format!("pub --connect {endpoint} {file} /dev/zero")).await;
    assert_eq!(code, 1, "{complaint}");
    assert!(
        complaint.contains("/dev/zero cannot be read: it is longer"),
        "{complaint}"
    );
    assert!(
        complaint.contains("1 messages were sent before"),
        "{complaint}"
    );
    assert_eq!(ended(sub).await.1, ["before"]);
}

#[tokio::test]
async fn a_file_above_the_largest_message_is_refused_before_anybody_is_there() {
    let folder = Folder::new("large");
    let file = folder.place("file");
    let made = std::fs::File::create(&file).unwrap();
    made.set_len(64 * 1024 * 1024).unwrap();
    let (code, _, complaint) = run(&format!("pub --bind tcp://127.0.0.1:0 {file}")).await;
    assert_eq!(code, 1, "{complaint}");
    assert!(
        complaint.contains("the most that a message has"),
        "{complaint}"
    );
}

#[tokio::test]
async fn when_everybody_has_left_the_timeout_ends_it_with_exit_code_3() {
    let mut sub = aiomsg("sub --bind tcp://127.0.0.1:0 --count 1");
    let endpoint = listening(&mut sub).await;
    let options = format!("pub --connect {endpoint} -m x --size 1M -n 1M --timeout 3s");
    let publisher = aiomsg(&options);
    assert_eq!(ended(sub).await.1.len(), 1);
    let (code, _, complaint) = ended(publisher).await;
    assert_eq!(code, 3, "{complaint}");
    assert!(complaint.contains("nobody is connected; "), "{complaint}");
}
