//! `aiomsg help`, `completions` and `man`: what is listed works.

use super::support::{command, run, run_command};

/// The commands that `--help` lists.
async fn commands() -> Vec<String> {
    let (_, lines, _) = run("--help").await;
    let listed = lines.iter().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed.take_while(|line| !line.is_empty());
    names
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn each_command_that_is_listed_has_help_and_options_that_are_documented() {
    let commands = commands().await;
    assert!(commands.len() >= 13, "{commands:?}");
    for name in commands {
        let (code, lines, complaint) = run(&format!("help {name}")).await;
        assert_eq!(code, 0, "{name}: {complaint}");
        let text = lines.join("\n");
        assert!(text.contains(&format!("Usage: aiomsg {name}")), "{text}");
    }
    assert_eq!(run("help nothing").await.0, 2);
}

#[tokio::test]
async fn the_patterns_are_a_page() {
    let (code, lines, _) = run("help patterns").await;
    assert_eq!(code, 0);
    assert!((20..50).contains(&lines.len()), "{}", lines.len());
    assert!(
        lines.iter().all(|line| line.chars().count() <= 90),
        "{lines:#?}"
    );
}

#[tokio::test]
async fn every_command_line_on_the_page_of_patterns_is_understood() {
    let (_, lines, _) = run("help patterns").await;
    let examples: Vec<_> = lines
        .iter()
        .map(|l| l.trim())
        .filter(|l| l.starts_with("aiomsg "))
        .collect();
    assert!(examples.len() >= 6);
    for example in examples {
        // What a shell takes for itself, and what is another program's, is not ours.
        let ours = example.split(['<']).next().unwrap();
        let ours = ours.split("--exec").next().unwrap();
        let words = ours.split('\'').enumerate().flat_map(|(number, part)| {
            let is_quoted = number % 2 == 1;
            match is_quoted {
                true => vec![part],
                false => part.split_whitespace().collect(),
            }
        });
        let mut command = command("");
        command.args(words.skip(1)).arg("--help");
        let (_, _, complaint) = run_command(&mut command).await;
        assert_eq!(complaint, "", "{example}");
    }
}

#[tokio::test]
async fn shells_get_completions_and_man_a_page() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, lines, _) = run(&format!("completions {shell}")).await;
        assert!(
            code == 0 && lines.iter().any(|line| line.contains("doctor")),
            "{shell}"
        );
    }
    let (code, lines, _) = run("man").await;
    assert!(
        code == 0 && lines.iter().any(|line| line.starts_with(".TH")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn output_that_nobody_reads_is_no_failure() {
    let mut command = command("completions bash");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[tokio::test]
async fn each_command_has_a_page_of_the_manual() {
    for name in commands().await.iter().filter(|name| *name != "help") {
        let (code, lines, complaint) = run(&format!("man {name}")).await;
        assert_eq!(code, 0, "{name}: {complaint}");
        let page = lines.join("\n");
        assert!(
            page.contains(&format!("aiomsg\\-{name}")) || page.contains(&format!("aiomsg-{name}")),
            "{page}"
        );
    }
    assert_eq!(run("man nothing").await.0, 2);
}
