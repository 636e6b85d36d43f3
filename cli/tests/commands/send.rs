//! `aiomsg send`.

use actix_aiomsg::{Identity, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::process::Process;
use super::support::python::{PythonOptions, PythonPeer};
use super::support::{
    Folder, OnTerminal, aiomsg, command, ended, endpoint_in, listening, port_of, run,
};

#[tokio::test]
async fn a_message_goes_to_the_python_peer_that_is_named_and_to_no_other() {
    let name = Identity::from_name("desk").to_string();
    let mut desk = PythonPeer::start(&PythonOptions::bind(0).with("--identity", &name)).await;
    let mut other = PythonPeer::start(&PythonOptions::bind(0)).await;
    let ends = format!(
        "--connect tcp://127.0.0.1:{} --connect tcp://127.0.0.1:{}",
        desk.port, other.port
    );
    let (code, _, complaint) = run(&format!("send {ends} --to desk -m n{{{{count}}}} -n 2")).await;
    assert_eq!(code, 0, "{complaint}");
    assert_eq!(desk.receive(2).await, ["n1", "n2"]);
    // What came to the other would be in front of this.
    let (code, ..) = run(&format!(
        "send --connect tcp://127.0.0.1:{} -m last",
        other.port
    ))
    .await;
    assert_eq!(code, 0);
    assert_eq!(other.receive(1).await, ["last"]);
}

#[tokio::test]
async fn a_python_peer_acknowledges_each_of_many_messages() {
    let mut python = PythonPeer::start(&PythonOptions::bind(0)).await;
    let options = format!(
        "send --connect tcp://127.0.0.1:{} --ack -m x -n 1k",
        python.port
    );
    let (code, _, complaint) = run(&options).await;
    assert_eq!(code, 0, "{complaint}");
    assert_eq!(python.receive(1000).await.len(), 1000);
}

#[tokio::test]
async fn a_message_that_its_handler_refuses_is_exit_code_4() {
    let mut serve = Process::spawn(
        command("serve --bind tcp://127.0.0.1:0 --exec").args(["sh", "-c", "exit 3"]),
    );
    let endpoint = listening(&mut serve).await;
    let (code, _, complaint) = run(&format!("send --connect {endpoint} --ack -m x")).await;
    assert_eq!(code, 4, "{complaint}");
    let told = serve.stderr.next().await.unwrap();
    assert!(told.contains("sh failed: exit status: 3"), "{told}");
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_exit_code_3_with_those_who_are() {
    let mut echo = aiomsg("echo --bind tcp://127.0.0.1:0 --identity here");
    let endpoint = listening(&mut echo).await;
    let options = format!("send --connect {endpoint} --to away -m x --timeout 300ms");
    let (code, _, complaint) = run(&options).await;
    assert_eq!(code, 3);
    let here = Identity::from_name("here").to_string();
    assert!(complaint.contains(&here), "{complaint}");
}

#[tokio::test]
async fn on_a_terminal_a_python_peer_gets_the_message() {
    let mut send = OnTerminal::spawn("send --bind tcp://127.0.0.1:0 --ack -m there");
    let port = port_of(&endpoint_in(&send.shows("listening on ").await));
    let mut python = PythonPeer::start(&PythonOptions::connect(port)).await;
    assert_eq!(python.receive(1).await, ["there"]);
    assert!(send.exit().await.success());
}

#[tokio::test]
async fn a_refused_message_is_named_by_its_number_and_those_after_it_are_waited_for() {
    let mut serve = Process::spawn(command("serve --bind tcp://127.0.0.1:0 --exec").args([
        "sh",
        "-c",
        "test $(cat) != bad",
    ]));
    let endpoint = listening(&mut serve).await;
    let mut send = aiomsg(&format!("send --connect {endpoint} --ack"));
    for line in ["bad", "good", "bad"] {
        send.say(line);
    }
    send.close_stdin();
    let (code, _, complaint) = ended(send).await;
    assert_eq!(code, 4, "{complaint}");
    assert!(
        complaint.contains("message 1 was not handled"),
        "{complaint}"
    );
    assert!(complaint.contains("1 of 3 messages"), "{complaint}");

    // The server tells a failure again that comes again after a success, and the sum.
    serve.signal("TERM");
    let (code, _, complaint) = ended(serve).await;
    assert_eq!(code, 0, "{complaint}");
    assert_eq!(
        complaint.matches("exit status: 1").count(),
        2,
        "{complaint}"
    );
    assert!(complaint.contains("2 of 3 runs failed"), "{complaint}");
}

/// Bytes of a message that is too large for its peer.
const LARGE: usize = 100_000;

/// The exit code and the complaint of a command that sends a large message and a small one.
async fn send_large_and_small(endpoint: &str, timeout: &str) -> (i32, String) {
    let folder = Folder::new("too-large");
    let (large, small) = (folder.place("large"), folder.place("small"));
    std::fs::write(&large, vec![0; LARGE]).unwrap();
    std::fs::write(&small, "small").unwrap();
    let options = format!("send --connect {endpoint} --ack --timeout {timeout}");
    let mut sending = command(&options);
    sending.args([&large, &small]);
    // It takes as long as a busy machine needs for some twelve connections, and a second or more between the last of them.
    let output = tokio::task::spawn_blocking(move || sending.output());
    let output = output.await.unwrap().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), complaint)
}

#[tokio::test]
async fn a_message_that_the_peer_cannot_take_is_exit_code_1_and_others_count() {
    let (bound, endpoint) = tokio::sync::oneshot::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let peer = std::thread::spawn(move || {
        actix::System::new().block_on(async {
            let socket = Socket::builder().max_frame_bytes(50_000);
            let socket = socket.start().unwrap();
            let mut messages = socket.messages();
            bound
                .send(socket.bind("tcp://127.0.0.1:0").await.unwrap())
                .unwrap();
            tokio::spawn(async move { while messages.next().await.is_some() {} });
            let _ = stopped.await;
        });
    });
    let endpoint = endpoint.await.unwrap().to_string();
    let (code, complaint) = send_large_and_small(&endpoint, "10m").await;
    drop(stop);
    peer.join().unwrap();
    assert_eq!(code, 1, "{complaint}");
    for part in [
        "message 1 was not handled: the peer ends its connection",
        "1 of 2 messages that were sent are handled",
        "The peer ended the connection ",
        "larger than its limit",
    ] {
        assert!(complaint.contains(part), "{complaint}");
    }
}

#[tokio::test]
async fn a_message_without_an_acknowledgement_is_told_with_how_often_the_peer_ended_the_connection()
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    // Ends the first connection in the large message, and takes it on the second without acknowledging it.
    let peer = async {
        let hello = [&[0, 0, 0, 18, 1, 1][..], &[7; 16]].concat();
        let (mut first, _) = listener.accept().await.unwrap();
        first.write_all(&hello).await.unwrap();
        first.read_exact(&mut [0; LARGE / 2]).await.unwrap();
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        second.write_all(&hello).await.unwrap();
        while let Ok(length) = second.read_u32().await {
            let mut envelope = vec![0; usize::try_from(length).unwrap()];
            second.read_exact(&mut envelope).await.unwrap();
            if let [4, message @ ..] = &*envelope
                && message.len() < LARGE
            {
                let ack = [&[0, 0, 0, 17, 5], &message[..16]].concat();
                second.write_all(&ack).await.unwrap();
            }
        }
        // The command has ended.
        std::future::pending::<()>().await;
    };
    let (code, complaint) = tokio::select! {
        sent = send_large_and_small(&endpoint, "10s") => sent,
        () = peer => unreachable!("it is pending"),
    };
    assert_eq!(code, 3, "{complaint}");
    for part in [
        "message 1 is not acknowledged",
        "1 of 2 messages that were sent are handled",
        "The peer ended the connection once ",
    ] {
        assert!(complaint.contains(part), "{complaint}");
    }
}
