//! `aiomsg relay` and `aiomsg replay`.

use std::collections::HashSet;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::support::python::{PythonOptions, PythonPeer};
use super::support::{
    Folder, OnTerminal, aiomsg, command, ended, endpoint_in, listening, port_of, run, run_command,
    within_patience,
};

#[tokio::test]
async fn what_one_python_peer_sends_another_gets_and_the_recording_is_sent_again() {
    let folder = Folder::new("relay");
    let file = folder.place("recording");
    let mut to = PythonPeer::start(&PythonOptions::bind(0)).await;
    let options = format!(
        "relay bind:tcp://127.0.0.1:0 connect:tcp://127.0.0.1:{} --capture {file}",
        to.port
    );
    let mut relay = aiomsg(&options);
    let port = port_of(&listening(&mut relay).await);
    let connect = PythonOptions::connect(port).with("--delivery", "at-least-once");
    let mut from = PythonPeer::start(&connect).await;
    from.send("one");
    from.send("\u{ff}\u{fe}");
    assert_eq!(to.receive(2).await, ["one", "\u{ff}\u{fe}"]);
    while from.unacknowledged().await > 0 {}
    relay.signal("TERM");
    assert_eq!(relay.exit().await.code(), Some(0));

    let options = format!(
        "replay {file} --connect tcp://127.0.0.1:{} --speed max",
        to.port
    );
    let (code, _, complaint) = run(&options).await;
    assert_eq!(code, 0, "{complaint}");
    assert_eq!(to.receive(2).await, ["one", "\u{ff}\u{fe}"]);

    // Nothing that is recorded is written over.
    let options = format!("relay bind:tcp://127.0.0.1:0 bind:tcp://127.0.0.1:0 --capture {file}");
    let (code, _, complaint) = run(&options).await;
    assert_eq!(code, 1);
    assert!(complaint.contains("new file"), "{complaint}");
}

#[tokio::test]
async fn a_recording_of_full_size_ends_the_relay() {
    let folder = Folder::new("full");
    let file = folder.place("recording");
    let options = format!(
        "relay bind:tcp://127.0.0.1:0 bind:tcp://127.0.0.1:0 --capture {file} --capture-limit 100"
    );
    let mut relay = aiomsg(&options);
    let (to, from) = (listening(&mut relay).await, listening(&mut relay).await);
    let _there = aiomsg(&format!("sub --connect {to}"));
    let _here = aiomsg(&format!("pub --connect {from} -m again -n 1M --rate 50/s"));
    let (code, _, complaint) = ended(relay).await;
    assert_eq!(code, 1);
    assert!(complaint.contains("limit of 100 bytes"), "{complaint}");
    assert!(complaint.contains("--capture-limit"), "{complaint}");
    // What was recorded is whole.
    let mut replay = aiomsg(&format!(
        "replay {file} --bind tcp://127.0.0.1:0 --speed max"
    ));
    let there = listening(&mut replay).await;
    let (code, lines, complaint) = run(&format!("sub --connect {there} -n 2")).await;
    assert_eq!(
        (code, &lines[..]),
        (0, &["again".to_owned(), "again".to_owned()][..]),
        "{complaint}"
    );
    assert_eq!(ended(replay).await.0, 0);
}

#[tokio::test]
async fn both_directions_and_all_peers_by_choice() {
    let mut relay = aiomsg("relay bind:tcp://127.0.0.1:0 bind:tcp://127.0.0.1:0 --both --publish");
    let (to, from) = (listening(&mut relay).await, listening(&mut relay).await);
    let there = aiomsg(&format!("sub --connect {to} -n 1"));
    let there_too = aiomsg(&format!("sub --connect {to} -n 1"));
    let here = aiomsg(&format!("sub --connect {from} -n 1"));
    // Until all have come who are to get one.
    let _there = aiomsg(&format!("pub --connect {from} -m there -n 1M --rate 50/s"));
    let _here = aiomsg(&format!("pub --connect {to} -m here -n 1M --rate 50/s"));
    assert_eq!(ended(there).await.1, ["there"]);
    assert_eq!(ended(there_too).await.1, ["there"]);
    assert_eq!(ended(here).await.1, ["here"]);
}

#[tokio::test]
async fn on_a_terminal_a_relay_serves_python_peers_until_ctrl_c() {
    let mut to = PythonPeer::start(&PythonOptions::bind(0)).await;
    let place = format!("connect:tcp://127.0.0.1:{}", to.port);
    let mut relay = OnTerminal::spawn(&format!("relay bind:tcp://127.0.0.1:0 {place}"));
    let port = port_of(&endpoint_in(&relay.shows("listening on ").await));
    let mut from = PythonPeer::start(&PythonOptions::connect(port)).await;
    from.send("there");
    assert_eq!(to.receive(1).await, ["there"]);
    relay.type_in("\x03");
    assert_eq!(relay.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_place_says_whether_it_listens_or_dials() {
    let (code, _, complaint) = run("relay tcp://127.0.0.1:1 tcp://127.0.0.1:2").await;
    assert_eq!(code, 2);
    assert!(complaint.contains("bind:tcp://"), "{complaint}");
}

/// The peers of the end that may be looked into at this path.
async fn peers_in(path: &str) -> usize {
    let (code, lines, complaint) = run(&format!("top {path} --json -i 100ms")).await;
    assert_eq!(code, 0, "{complaint}");
    let look: Value = serde_json::from_str(&lines[0]).unwrap();
    look["report"]["peers"].as_array().unwrap().len()
}

#[tokio::test]
async fn each_side_has_places_an_identity_and_an_inspection_of_its_own() {
    let folder = Folder::new("relay-sides");
    let (front, back) = (folder.place("front"), folder.place("back"));
    let (one, two) = (
        PythonPeer::start(&PythonOptions::bind(0)).await,
        PythonPeer::start(&PythonOptions::bind(0)).await,
    );
    let mut relay = aiomsg(&format!(
        "relay bind:tcp://127.0.0.1:0 --from bind:tcp://127.0.0.1:0 --from-identity desk --from-inspection {front} \
         connect:tcp://127.0.0.1:{} --to connect:tcp://127.0.0.1:{} --to-identity door --to-inspection {back}",
        one.port, two.port
    ));
    let (first, second) = (listening(&mut relay).await, listening(&mut relay).await);
    // Both are there before anything goes to them in turn.
    while peers_in(&back).await < 2 {}
    let mut got = HashSet::new();
    for (from, text) in [(first, "by the first"), (second, "by the second")] {
        let send = format!("send --connect {from} --to desk -m");
        let (code, _, complaint) = run_command(command(&send).arg(text)).await;
        assert_eq!(code, 0, "{complaint}");
        got.insert(text.to_owned());
    }
    let mut at_the_back = HashSet::new();
    for mut peer in [one, two] {
        at_the_back.extend(peer.receive(1).await);
    }
    assert_eq!(at_the_back, got);
    for (path, name) in [(front, "desk"), (back, "door")] {
        let (code, lines, complaint) = run(&format!("top {path} --once -i 100ms")).await;
        assert_eq!(code, 0, "{complaint}");
        let identity = actix_aiomsg::Identity::from_name(name).to_string();
        assert!(lines[0].contains(&identity), "{lines:?}");
    }
}

#[tokio::test]
async fn what_stands_before_the_cut_of_a_recording_is_sent() {
    let folder = Folder::new("cut");
    let file = folder.place("recording");
    let mut to = aiomsg("sub --bind tcp://127.0.0.1:0 --count 2");
    let there = listening(&mut to).await;
    let mut relay = aiomsg(&format!(
        "relay bind:tcp://127.0.0.1:0 connect:{there} --capture {file}"
    ));
    let endpoint = listening(&mut relay).await;
    let options = format!("send --connect {endpoint} --ack -m n{{{{count}}}} -n 2");
    assert_eq!(run(&options).await.0, 0);
    assert_eq!(ended(to).await.1, ["n1", "n2"]);
    relay.signal("TERM");
    relay.exit().await;
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();

    let mut to = aiomsg("sub --bind tcp://127.0.0.1:0 --count 1");
    let there = listening(&mut to).await;
    let (code, _, complaint) = run(&format!("replay {file} --connect {there}")).await;
    assert_eq!(code, 1, "{complaint}");
    assert!(
        complaint.contains("1 messages were sent before"),
        "{complaint}"
    );
    assert_eq!(ended(to).await.1, ["n1"]);
}

#[tokio::test]
async fn a_header_goes_to_the_endpoints_that_have_an_upgrade_whatever_else_is_dialled() {
    for options in [
        "sub --connect tcp://127.0.0.1:1 --connect ws://HERE/x",
        "relay connect:ws://HERE/x connect:tcp://127.0.0.1:1",
        "relay bind:tcp://127.0.0.1:0 connect:tcp://127.0.0.1:1 --to connect:ws://HERE/x",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap().to_string();
        let options = options.replace("HERE", &here);
        let _dialling = aiomsg(&format!("{options} --header Authorization:s3cret"));
        let request = within_patience("an upgrade", async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            String::from_utf8(request).unwrap()
        })
        .await;
        let has_it = request
            .lines()
            .any(|line| line.eq_ignore_ascii_case("authorization: s3cret"));
        assert!(has_it, "{options}: {request}");
    }
    let plain = "relay bind:ws://127.0.0.1:0 connect:tcp://127.0.0.1:1 --header A:b";
    let (code, _, complaint) = run(plain).await;
    assert_eq!(code, 2, "{complaint}");
    assert!(complaint.contains("ws and wss endpoints do"), "{complaint}");
}

#[tokio::test]
async fn a_relay_takes_options_of_tls_where_one_of_its_ends_wants_it() {
    let plain = "relay bind:tcp://127.0.0.1:0 connect:tcp://127.0.0.1:1 --ca /nowhere/ca.pem";
    let (code, _, complaint) = run(plain).await;
    assert_eq!(code, 2, "{complaint}");
    assert!(complaint.contains("--ca is for TLS"), "{complaint}");
    // It comes as far as to read the file.
    let mixed = "relay bind:tcp://127.0.0.1:0 connect:tls://127.0.0.1:1 --ca /nowhere/ca.pem";
    let (code, _, complaint) = run(mixed).await;
    assert_eq!(code, 1, "{complaint}");
    assert!(complaint.contains("/nowhere/ca.pem"), "{complaint}");
}
