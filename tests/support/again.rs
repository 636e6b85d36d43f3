//! This test program once more, as a child process that plays a part in one of its tests.
//!
//! The child runs the same test, which finds that it has a part and plays it. It is told what to do
//! on standard input and says what it did on standard error; standard output is the harness's.

use std::process::Command;

use super::process::Process;

/// Names the part that a child plays.
const PART: &str = "AIOMSG_TEST_PART";

/// The part that this process plays in its test, if it is a child.
pub fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// Starts a child that plays `part` in `test`.
pub fn start(test: &str, part: &str) -> Process {
    let program = std::env::current_exe().expect("this very program");
    let mut command = Command::new(program);
    command.args(["--exact", "--nocapture", test]);
    Process::spawn(command.env(PART, part))
}

/// The same, after a shell has done what is said first.
pub fn start_after(first: &str, test: &str, part: &str) -> Process {
    let program = std::env::current_exe().expect("this very program");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{first}; exec \"$0\" \"$@\"")]);
    command.arg(program).args(["--exact", "--nocapture", test]);
    Process::spawn(command.env(PART, part))
}

/// The same, by way of another program, which runs what it is told last.
pub fn start_by(mut by: Command, test: &str, part: &str) -> Process {
    let program = std::env::current_exe().expect("this very program");
    by.arg(program).args(["--exact", "--nocapture", test]);
    Process::spawn(by.env(PART, part))
}

/// Waits for the end of a child, which is status 1 with these words.
pub async fn fails_with(mut child: Process, words: &str) {
    let told = child.complaint().await;
    assert_eq!(child.exit().await.code(), Some(1), "{told}");
    assert!(told.contains(words), "{told}");
}

/// What a child says after `word` in the next line that begins with it.
pub async fn told(child: &mut Process, word: &str) -> String {
    let line = child.stderr.find(|line| line.starts_with(word)).await;
    line[word.len()..].trim().to_owned()
}

/// The same, for a number.
pub async fn told_number(child: &mut Process, word: &str) -> u64 {
    told(child, word).await.parse().expect("a number")
}

/// The next order of the parent; `None` when it has closed our standard input.
pub async fn order() -> Option<String> {
    super::aside(|| {
        let mut line = String::new();
        let count = std::io::stdin().read_line(&mut line).expect("a text");
        (count > 0).then(|| line.trim().to_owned())
    })
    .await
}
