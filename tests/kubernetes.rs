//! The example for an orchestrator: its programs on this machine, and its files against the schemas of Kubernetes and the
//! rules for Dockerfiles.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::process::Process;
use support::site::get;
use support::{PATIENCE, example, python};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kubernetes");

/// The version whose schemas count: the first with `sleep` as a `preStop` that is on by default.
const KUBERNETES: &str = "1.30";

/// A program of the virtual environment of the tests.
fn tool(name: &str) -> PathBuf {
    python::interpreter().with_file_name(name)
}

fn assert_approved(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; `tests/run --setup` brings it");
    });
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success(), "{command:?}: {told}");
}

#[test]
fn the_manifests_are_what_the_schemas_of_kubernetes_want() {
    for file in ["workers.yaml", "front.yaml"] {
        let mut check = Command::new(tool("kubernetes-validate"));
        check.args(["--strict", "-k", KUBERNETES, file]);
        assert_approved(check.current_dir(FOLDER));
    }
}

#[test]
fn a_manifest_with_a_slip_is_not() {
    let text = std::fs::read_to_string(Path::new(FOLDER).join("workers.yaml")).unwrap();
    let slip = text.replace("periodSeconds", "periodSecond");
    assert_ne!(slip, text);
    let file = std::env::temp_dir().join(format!("aiomsg-slip-{}.yaml", std::process::id()));
    std::fs::write(&file, slip).unwrap();
    let mut check = Command::new(tool("kubernetes-validate"));
    let output = check
        .args(["--strict", "-k", KUBERNETES])
        .arg(&file)
        .output();
    std::fs::remove_file(&file).unwrap();
    assert!(!output.unwrap().status.success());
}

#[test]
fn the_dockerfile_keeps_the_rules() {
    assert_approved(Command::new(tool("hadolint")).arg(Path::new(FOLDER).join("Dockerfile")));
}

/// Starts a program, and yields the address of its probes.
async fn start(options: &str) -> (Process, String, String) {
    let mut process = Process::spawn(&mut example::command("kubernetes", options));
    let first = process.line().await;
    match first.strip_prefix("http://") {
        Some(address) => {
            let address = address.to_owned();
            (process, String::new(), address)
        }
        None => {
            let second = process.line().await;
            let address = second.strip_prefix("http://").unwrap().to_owned();
            (process, first, address)
        }
    }
}

/// Asks until the answer begins like that.
async fn eventually_answers(address: &str, path: &str, status: u16) -> String {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let (told, body) = get(address.parse().unwrap(), path).await;
        if told == status {
            return body;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{path}: {told} {body}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[actix::test]
async fn a_front_finds_workers_by_a_name_and_nothing_fails_while_one_is_replaced() {
    let (mut worker, endpoint, probes) = start("worker --port 0 --http 0").await;
    let port = endpoint.rsplit(':').next().unwrap();
    let front = format!("front --workers dns+tcp://localhost:{port} --http 0");
    let (mut front, _, web) = start(&front).await;
    eventually_answers(&probes, "/readyz", 200).await;
    eventually_answers(&web, "/readyz", 200).await;
    let answer = eventually_answers(&web, "/square/12", 200).await;
    assert!(answer.starts_with("144 by "), "{answer}");
    let too_large = eventually_answers(&web, "/square/99999999999", 503).await;
    assert!(too_large.contains("too large"), "{too_large}");

    worker.signal("TERM");
    assert!(worker.exit().await.success());
    eventually_answers(&web, "/readyz", 503).await;
    eventually_answers(&web, "/livez", 200).await;
    let again = format!("worker --port {port} --http 0");
    let (_worker, _, _) = start(&again).await;
    eventually_answers(&web, "/square/5", 200).await;
    front.signal("TERM");
    assert!(front.exit().await.success());
}
