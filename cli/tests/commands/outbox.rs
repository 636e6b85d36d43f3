//! `aiomsg outbox`: files of sockets that run no more, and what cannot be used.

use std::time::Duration;

use actix_aiomsg::outbox::{DeadLetterBounds, Outbox};
use actix_aiomsg::prelude::*;
use serde_json::Value;

use super::support::{Folder, OnTerminal, eventually, run};

/// A socket that keeps its letters in this file.
fn socket(path: &str) -> Socket {
    let outbox = Outbox::new(path).absent(Duration::from_millis(20));
    Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .dead_letter_queue(DeadLetterBounds::new())
        .identity(Identity::from_name("orders"))
        .outbox_with(outbox)
        .start()
        .unwrap()
}

/// A file with a message that waits, a letter for `warehouse`, one that expired, and one that was received and rejected.
async fn filled(folder: &Folder) -> String {
    let path = folder.place("outbox");
    let sender = socket(&path);
    let rejects = Socket::start().unwrap();
    let endpoint = sender.bind("tcp://127.0.0.1:0").await.unwrap();
    rejects.connect(endpoint).await.unwrap();
    let receipt = rejects.send("no order").receipt().await.unwrap();
    sender.recv().await.unwrap().reject();
    receipt.await.unwrap_err();
    rejects.close().await;
    sender
        .send_to(Identity::from_name("warehouse"), "ten apples")
        .await
        .unwrap();
    eventually("two letters", || sender.stats().kept_letters == 2).await;
    let sending = sender.send(&b"\xff\x00"[..]);
    sending
        .time_to_live(Duration::from_millis(1))
        .await
        .unwrap();
    eventually("three letters", || sender.stats().kept_letters == 3).await;
    sender.send("waits").await.unwrap();
    sender.close_within(Duration::ZERO).await;
    path
}

fn lines(printed: &[String]) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).expect("a line of JSON");
    printed.iter().map(parse).collect()
}

#[actix::test]
async fn a_file_is_inspected_for_people_and_for_machines() {
    let folder = Folder::new("outbox-inspect");
    let path = filled(&folder).await;
    let (code, printed, complaint) = run(&format!("outbox inspect {path}")).await;
    assert_eq!(code, 0, "{complaint}");
    let text = printed.join("\n");
    let orders = Identity::from_name("orders");
    for expected in [
        &format!("identity  {orders}"),
        "messages  1 wait, 5 bytes, the oldest of 20",
        "  for whoever is next: 1, 5 bytes",
        "letters   3, 20 bytes",
        "  expired, to be sent: 1, 2 bytes",
        "  peer_gone, to be sent: 1, 10 bytes",
        "  rejected, received: 1, 8 bytes",
        "damaged   0",
    ] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
    let (code, printed, _) = run(&format!("outbox inspect {path} --json")).await;
    assert_eq!(code, 0);
    let object = &lines(&printed)[0];
    assert_eq!(object["identity"], orders.to_string());
    assert_eq!(object["messages"]["count"], 1);
    assert_eq!(object["letters"]["count"], 3);
    assert_eq!(object["letters_by_reason"][2]["reason"], "rejected");
    assert_eq!(object["damaged"], 0);
}

#[actix::test]
async fn letters_and_messages_are_exported_as_lines_of_json() {
    let folder = Folder::new("outbox-export");
    let path = filled(&folder).await;
    let (code, printed, complaint) = run(&format!("outbox export {path}")).await;
    assert_eq!(code, 0, "{complaint}");
    let letters = lines(&printed);
    let reasons: Vec<_> = letters.iter().map(|letter| &letter["reason"]).collect();
    assert_eq!(reasons, ["rejected", "peer_gone", "expired"]);
    assert_eq!(letters[1]["text"], "ten apples");
    assert_eq!(
        letters[1]["peer"],
        Identity::from_name("warehouse").to_string()
    );
    assert_eq!(letters[2]["hex"], "ff00");
    for (options, expected) in [
        ("--reason peer_gone", "ten apples"),
        ("--peer warehouse", "ten apples"),
        ("--received", "no order"),
        ("--messages", "waits"),
    ] {
        let (code, printed, _) = run(&format!("outbox export {path} {options}")).await;
        let found = lines(&printed);
        assert_eq!((code, found.len()), (0, 1), "{options}");
        assert_eq!(found[0]["text"], expected);
    }
    let id = &letters[0]["id"];
    let (_, printed, _) = run(&format!("outbox export {path} --id {id},77")).await;
    assert_eq!(lines(&printed), letters[..1]);
    let (code, _, complaint) = run(&format!("outbox export {path} --reason poisoned")).await;
    assert_eq!(code, 2);
    assert!(
        complaint.contains("the reasons are expired, resend_limit"),
        "{complaint}"
    );
}

#[actix::test]
async fn what_is_redriven_is_sent_by_the_next_start_and_what_was_received_stays() {
    let folder = Folder::new("outbox-redrive");
    let path = filled(&folder).await;
    let (code, printed, complaint) = run(&format!("outbox redrive {path}")).await;
    assert_eq!(code, 0, "{complaint}");
    assert!(
        printed[0].starts_with("messages again: 2 letters"),
        "{printed:?}"
    );
    assert!(
        printed[1].starts_with("letters still: 1 letter,"),
        "{printed:?}"
    );
    let (_, printed, _) = run(&format!("outbox redrive {path} --json")).await;
    assert_eq!(printed, [r#"{"left":1,"redriven":0}"#]);
    let sender = socket(&path);
    assert_eq!(sender.stats().restored_messages, 3);
    let pending = sender.pending(10).await.unwrap();
    let payloads: Vec<_> = pending.iter().map(|message| &message.payload[..]).collect();
    assert_eq!(payloads, [&b"waits"[..], b"ten apples", b"\xff\x00"]);
    sender.close_within(Duration::ZERO).await;
}

#[actix::test]
async fn a_purge_asks_on_a_terminal_and_wants_yes_elsewhere() {
    let folder = Folder::new("outbox-purge");
    let path = filled(&folder).await;
    let (code, _, complaint) = run(&format!("outbox purge {path}")).await;
    assert_eq!(code, 1);
    assert!(
        complaint.contains("3 letters would be thrown away"),
        "{complaint}"
    );
    assert!(complaint.contains("--yes"), "{complaint}");
    let mut terminal = OnTerminal::spawn(&format!("outbox purge {path} --reason expired"));
    terminal.shows("Throw 1 letter away for good? [y/N] ").await;
    terminal.type_in("n\n");
    terminal.shows("nothing was thrown away").await;
    assert_eq!(terminal.exit().await.code(), Some(1));
    let mut terminal = OnTerminal::spawn(&format!("outbox purge {path} --reason expired"));
    terminal.shows("[y/N] ").await;
    terminal.type_in("y\n");
    terminal.shows("thrown away: 1 letter").await;
    assert_eq!(terminal.exit().await.code(), Some(0));
    let (code, printed, _) = run(&format!("outbox purge {path} --yes --json")).await;
    assert_eq!(
        (code, &printed[..]),
        (0, &[r#"{"purged":2}"#.to_owned()][..])
    );
    let (code, printed, _) = run(&format!("outbox purge {path}")).await;
    assert_eq!((code, printed[0].as_str()), (0, "thrown away: 0 letters"));
}

#[actix::test]
async fn files_that_cannot_be_used_are_left_as_they_are_and_say_what_to_do() {
    let folder = Folder::new("outbox-refused");
    let path = filled(&folder).await;
    let running = socket(&path);
    let (code, _, complaint) = run(&format!("outbox inspect {path}")).await;
    assert_eq!(code, 1);
    assert!(complaint.contains("is in use"), "{complaint}");
    assert!(complaint.contains("stop that program"), "{complaint}");
    running.close_within(Duration::ZERO).await;

    let missing = folder.place("missing");
    let (code, _, complaint) = run(&format!("outbox inspect {missing}")).await;
    assert_eq!(code, 1);
    assert!(complaint.contains("there is no outbox at"), "{complaint}");
    assert!(!std::path::Path::new(&missing).exists());

    let foreign = folder.place("foreign");
    std::fs::write(&foreign, "a letter").unwrap();
    let (code, _, complaint) = run(&format!("outbox purge {foreign} --yes")).await;
    assert_eq!(code, 1);
    assert!(complaint.contains("is not an outbox"), "{complaint}");
    assert_eq!(std::fs::read(&foreign).unwrap(), b"a letter");

    // A page in the middle is changed.
    let mut bytes = std::fs::read(&path).unwrap();
    let damaged = folder.place("damaged");
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&damaged, &bytes).unwrap();
    let (code, _, complaint) = run(&format!("outbox inspect {damaged}")).await;
    assert_eq!(code, 1);
    assert!(complaint.contains("is damaged"), "{complaint}");
    assert_eq!(std::fs::read(&damaged).unwrap(), bytes);
}

#[actix::test]
async fn an_empty_file_stays_as_it_is() {
    let folder = Folder::new("outbox-empty");
    let path = folder.place("empty");
    std::fs::write(&path, "").unwrap();
    for verb in ["inspect", "export", "redrive", "purge --yes"] {
        let (code, _, complaint) = run(&format!("outbox {verb} {path}")).await;
        assert_ne!(code, 0, "{verb}");
        assert!(complaint.contains("empty"), "{verb}: {complaint}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0, "{verb}");
    }
}

#[actix::test]
async fn a_path_that_cannot_be_looked_at_is_not_told_as_one_where_nothing_is() {
    let folder = Folder::new("outbox-no-folder");
    let file = folder.place("file");
    std::fs::write(&file, "no folder").unwrap();
    let (code, _, complaint) = run(&format!("outbox inspect {file}/outbox")).await;
    assert_eq!(code, 1);
    assert!(complaint.contains("cannot be opened: "), "{complaint}");
    assert!(!complaint.contains("there is no outbox"), "{complaint}");
}
