//! `aiomsg send`.

use actix_aiomsg::{Identity, Socket};

use super::support::process::Process;
use super::support::python::{PythonOptions, PythonPeer};
use super::support::{
    Folder, OnTerminal, aiomsg, command, ended, endpoint_in, listening, port_of, run, run_command,
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

#[tokio::test]
async fn a_message_that_the_peer_cannot_take_is_told_and_others_count() {
    let (bound, endpoint) = tokio::sync::oneshot::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let peer = std::thread::spawn(move || {
        actix::System::new().block_on(async {
            let socket = Socket::builder().max_frame_bytes(64 * 1024);
            let socket = socket.start().unwrap();
            let mut messages = socket.messages();
            bound
                .send(socket.bind("tcp://127.0.0.1:0").await.unwrap())
                .unwrap();
            tokio::spawn(async move { while messages.next().await.is_some() {} });
            let _ = stopped.await;
        });
    });
    let endpoint = endpoint.await.unwrap();
    let folder = Folder::new("too-large");
    let (large, small) = (folder.place("large"), folder.place("small"));
    std::fs::write(&large, vec![0; 100_000]).unwrap();
    std::fs::write(&small, "small").unwrap();
    // Time for the peer to end the connection so often that it is blamed, on a busy machine too.
    let options = format!("send --connect {endpoint} --ack --timeout 10s");
    let (code, _, complaint) = run_command(command(&options).args([&large, &small])).await;
    drop(stop);
    peer.join().unwrap();
    assert_eq!(code, 3, "{complaint}");
    for part in [
        "message 1 is not acknowledged",
        "1 of 2 messages that were sent are handled",
        "The peer ended the connection",
    ] {
        assert!(complaint.contains(part), "{complaint}");
    }
}
