//! What the compiler says about the mistakes that newcomers make: which lines to write.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds of a library beside this test, the newest first. Only the newest of ours is the one that
/// this test was built with; of a dependency there may be several, for other profiles.
fn builds(deps: &Path, name: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(deps).expect("the test lies beside its dependencies");
    let mut found: Vec<_> = files
        .filter_map(Result::ok)
        .filter(|file| {
            let file = file.file_name().to_string_lossy().into_owned();
            file.starts_with(&format!("lib{name}-")) && file.ends_with(".rlib")
        })
        .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())))
        .collect();
    assert!(!found.is_empty(), "no {name} in {}", deps.display());
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// What the compiler complains about in a function of a program that has an actor `Jobs` without a
/// handler.
fn complaint(name: &str, actix: &Path, function: &str) -> String {
    let test = std::env::current_exe().expect("it runs");
    let deps = test.parent().expect("it lies in a directory");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = directory.join(format!("{name}.rs"));
    let program = format!(
        "#![allow(unused)]\n\
         use actix_aiomsg::prelude::*;\n\
         struct Order;\n\
         struct Jobs;\n\
         impl actix::Actor for Jobs {{ type Context = actix::Context<Self>; }}\n\
         async fn told(socket: Socket, ctx: &mut actix::Context<Jobs>) {{ {function} }}\n\
         fn main() {{}}\n"
    );
    std::fs::write(&source, program).expect("it can be written");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--edition=2024", "--emit=metadata", "--color=never"])
        .arg("--out-dir")
        .arg(directory)
        .arg("-L")
        .arg(format!("dependency={}", deps.display()))
        .arg("--extern")
        .arg(format!(
            "actix_aiomsg={}",
            builds(deps, "actix_aiomsg")[0].display()
        ))
        .arg("--extern")
        .arg(format!("actix={}", actix.display()))
        .arg(&source)
        .output()
        .expect("the compiler runs");
    assert!(!output.status.success(), "it compiles: {function}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The complaint about a function has all of these parts.
fn assert_told(name: &str, function: &str, parts: &[&str]) {
    let test = std::env::current_exe().expect("it runs");
    let deps = test.parent().expect("it lies in a directory");
    let mut told = String::new();
    for actix in builds(deps, "actix") {
        told = complaint(name, &actix, function);
        if parts.iter().all(|part| told.contains(part)) {
            return;
        }
    }
    panic!("not all of {parts:?} in:\n{told}");
}

#[test]
fn a_type_that_is_no_payload_is_told_to_become_one() {
    assert_told(
        "payload",
        "let _ = socket.send_typed(&Order).await;",
        &[
            "`Order` does not say how it travels as a message",
            "actix_aiomsg::payload!(Order = \"topic \");",
            "impl Payload for Order {",
        ],
    );
}

#[test]
fn a_type_that_is_no_question_is_told_to_name_its_answer() {
    assert_told(
        "question",
        "let _ = socket.ask(Whom::Any, &Order).await;",
        &[
            "`Order` is no question: it does not say what answers it",
            "payload!(Order = \"topic \" => Reply, Reply);",
        ],
    );
}

#[test]
fn an_actor_that_subscribes_to_what_it_does_not_handle_is_told_to_handle_it() {
    assert_told(
        "subscriber",
        "socket.subscribe::<String>(ctx);",
        &[
            "the actor of this `actix::Context<Jobs>` does not handle `Received<String>`",
            "impl Handler<Received<String>> for",
            "`Handled`",
        ],
    );
}

#[test]
fn an_actor_that_serves_what_it_does_not_answer_is_told_to_answer_it() {
    assert_told(
        "server",
        "socket.serve::<String>(ctx);",
        &[
            "the actor of this `actix::Context<Jobs>` does not answer `Ask<String>`",
            "impl Handler<Ask<String>> for",
            "type Result = Answer<String>;",
        ],
    );
}
