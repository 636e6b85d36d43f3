//! `aiomsg ask`.

use serde_json::Value;

use super::support::process::Process;
use super::support::python::{PythonOptions, PythonPeer, interpreter};
use super::support::{OnTerminal, aiomsg, aside, command, ended, listening, run};

#[tokio::test]
async fn the_answer_is_printed_and_the_round_trip_told() {
    let mut echo = aiomsg("echo --bind tcp://127.0.0.1:0 --identity echo");
    let endpoint = listening(&mut echo).await;
    let (code, lines, complaint) = run(&format!("ask --connect {endpoint} --to echo hello")).await;
    assert_eq!((code, &lines[..]), (0, &["hello".to_owned()][..]));
    assert!(complaint.contains("answered in "), "{complaint}");
    let (_, lines, _) = run(&format!("ask --connect {endpoint} --json hello")).await;
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["text"], "hello");
    assert!(line["milliseconds"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn the_question_may_come_by_standard_input() {
    let mut echo = aiomsg("echo --bind tcp://127.0.0.1:0");
    let endpoint = listening(&mut echo).await;
    let mut ask = aiomsg(&format!("ask --connect {endpoint}"));
    ask.say("two");
    ask.say("lines");
    ask.close_stdin();
    let (code, lines, _) = ended(ask).await;
    assert_eq!(
        (code, &lines[..]),
        (
            0,
            &["two".to_owned(), "lines".to_owned(), String::new()][..]
        )
    );
}

#[tokio::test]
async fn a_raw_question_has_the_next_message_of_a_python_peer_as_its_answer() {
    let python = PythonPeer::start(&PythonOptions::bind(0).echo()).await;
    let options = format!("ask --connect tcp://127.0.0.1:{} --raw hello", python.port);
    let (code, lines, complaint) = run(&options).await;
    assert_eq!((code, lines), (0, vec!["hello".to_owned()]), "{complaint}");
    let mut terminal = OnTerminal::spawn(&options);
    terminal.shows("answered in ").await;
    assert!(terminal.exit().await.success());
}

#[tokio::test]
async fn a_python_peer_asks_and_is_answered() {
    let mut serve =
        Process::spawn(command("serve --bind tcp://127.0.0.1:0 --exec").args(["tr", "a-z", "A-Z"]));
    let endpoint = listening(&mut serve).await;
    // The 26 bytes of an ask, as docs/ASK.md has them, by the package alone.
    let script = r#"
import asyncio, os, sys
from aiomsg import Søcket
async def main():
    async with Søcket() as socket:
        await socket.connect("127.0.0.1", int(sys.argv[1]))
        ask = b"\xa1ASK\x01\x00" + os.urandom(16) + b"\0\0\0\0"
        await socket.send(ask + b"quietly")
        answer = await socket.recv()
        assert answer[4] == 2 and answer[6:22] == ask[6:22], answer
        print(answer[26:].decode())
asyncio.run(main())
"#;
    let port = super::support::port_of(&endpoint).to_string();
    let python = aside(interpreter).await;
    let asking = Process::spawn(std::process::Command::new(python).args(["-c", script, &port]));
    let (code, lines, complaint) = ended(asking).await;
    assert_eq!(
        (code, lines),
        (0, vec!["QUIETLY".to_owned()]),
        "{complaint}"
    );
}

#[tokio::test]
async fn a_service_is_asked_by_its_name_and_one_that_nobody_offers_is_told() {
    let mut serve = Process::spawn(
        command("serve --bind tcp://127.0.0.1:0 --offer upper --exec").args(["tr", "a-z", "A-Z"]),
    );
    let endpoint = listening(&mut serve).await;
    for options in ["--service upper", "--service upper --service-key k"] {
        let (code, lines, complaint) =
            run(&format!("ask --connect {endpoint} {options} yes")).await;
        assert_eq!((code, lines), (0, vec!["YES".to_owned()]), "{complaint}");
    }
    let options = format!("ask --connect {endpoint} --service lower --timeout 300ms x");
    let (code, _, complaint) = run(&options).await;
    assert_eq!(code, 3, "{complaint}");
    assert!(complaint.contains("offers \"lower\""), "{complaint}");
}

#[tokio::test]
async fn a_peer_that_knows_no_asks_is_exit_code_3_and_raw_is_advised() {
    let python = PythonPeer::start(&PythonOptions::bind(0)).await;
    let options = format!(
        "ask --connect tcp://127.0.0.1:{} --timeout 300ms x",
        python.port
    );
    let (code, _, complaint) = run(&options).await;
    assert_eq!(code, 3);
    assert!(complaint.contains("--raw"), "{complaint}");
}

#[tokio::test]
async fn a_raw_question_without_an_answer_is_exit_code_3_and_says_what_to_do() {
    let python = PythonPeer::start(&PythonOptions::bind(0)).await;
    let to = format!("--connect tcp://127.0.0.1:{}", python.port);
    let (code, _, complaint) = run(&format!("ask {to} --raw --timeout 300ms x")).await;
    assert_eq!(code, 3);
    assert!(complaint.contains("send a message back"), "{complaint}");
    assert!(complaint.contains("--timeout"), "{complaint}");
}
