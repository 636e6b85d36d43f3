//! The example of Prometheus with Prometheus itself: its page is scraped, the dashboard's questions have answers, and
//! each alarm is raised by the condition that it is for.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::process::Process;
use support::site::{answer, get};
use support::{PATIENCE, example};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/prometheus");

/// A program of Prometheus: where the test run put it, or on the path.
fn tool(name: &str) -> Command {
    let folder = std::env::var_os("AIOMSG_PROMETHEUS").map(PathBuf::from);
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/prometheus/usr/bin");
    let places = folder.into_iter().chain([unpacked]);
    let found = places
        .map(|folder| folder.join(name))
        .find(|path| path.exists());
    Command::new(found.unwrap_or_else(|| PathBuf::from(name)))
}

fn promtool(arguments: &[&str]) {
    let output = tool("promtool")
        .args(arguments)
        .current_dir(FOLDER)
        .output();
    let output = output.expect("promtool is there: `tests/run --setup` brings it");
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success(), "promtool {arguments:?}: {told}");
}

#[test]
fn the_rules_and_the_configuration_are_in_order() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "rules", "alerts.yml"]);
}

/// The names behind a key, in a file of YAML.
fn names(file: &str, key: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(FOLDER).join(file)).unwrap();
    let lines = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix(key));
    lines.map(|name| name.trim().to_owned()).collect()
}

#[test]
fn each_alarm_is_raised_by_the_condition_that_it_is_for() {
    promtool(&["test", "rules", "alerts_test.yml"]);
    let alarms = names("alerts.yml", "- alert:");
    assert!(alarms.len() > 10, "{alarms:?}");
    assert_eq!(alarms, names("alerts_test.yml", "alertname:"));
    // Each is tried before and after, and what to do about it is told.
    let tests = fs::read_to_string(Path::new(FOLDER).join("alerts_test.yml")).unwrap();
    assert_eq!(tests.matches("exp_alerts: []").count(), alarms.len());
    assert_eq!(tests.matches("exp_annotations:").count(), alarms.len());
    let page = fs::read_to_string(Path::new(FOLDER).join("../../docs/OPERATIONS.md")).unwrap();
    for alarm in &alarms {
        assert!(page.contains(&format!("| `{alarm}`")), "{alarm}");
    }
}

/// The example, with the address of its pages.
async fn program() -> (Process, SocketAddr) {
    let mut program = Process::spawn(&mut example::command("prometheus", ""));
    let line = program.line().await;
    let address = line.strip_prefix("http://").expect("an address");
    let address = address.strip_suffix("/metrics").expect("a page");
    (program, address.parse().expect("a port"))
}

#[tokio::test]
async fn the_program_answers_its_probes_and_shows_its_figures() {
    let (mut program, address) = program().await;
    // The client needs a moment to be connected.
    for path in ["/livez", "/readyz"] {
        while get(address, path).await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let (status, page) = get(address, "/metrics").await;
    assert_eq!(status, 200);
    let mut check = tool("promtool");
    check.args(["check", "metrics"]);
    let mut check = Process::spawn(&mut check);
    page.lines().for_each(|line| check.say(line));
    check.close_stdin();
    let told = check.rest_of_stdout().await.join("\n") + &check.complaint().await;
    assert!(check.exit().await.success(), "{told}");
    program.signal("TERM");
    assert!(program.exit().await.success());
}

/// What Prometheus knows about an expression; an error is one of the expression.
async fn query(prometheus: SocketAddr, expression: &str) -> Vec<Value> {
    let encoded: String = expression
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect();
    // Of this version, a long answer comes in one piece.
    let request = format!("GET /api/v1/query?query={encoded} HTTP/1.0\r\n\r\n");
    let told = answer(prometheus, &request).await;
    let (head, body) = told.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(" 200 "), "{expression}: {told}");
    let answer: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(answer["status"], "success", "{expression}: {body}");
    answer["data"]["result"].as_array().expect("a list").clone()
}

/// A Prometheus that reads this page twice a second, and remembers it below `folder`.
async fn prometheus(folder: &Path, page: SocketAddr) -> (Process, SocketAddr) {
    let config = format!(
        "global: {{ scrape_interval: 500ms }}\nscrape_configs:\n  - job_name: aiomsg\n    static_configs:\n      - targets: ['{page}']\n"
    );
    fs::write(folder.join("prometheus.yml"), config).unwrap();
    // The port is free, and stays so with luck; otherwise another one is.
    loop {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut command = tool("prometheus");
        command
            .arg(format!(
                "--config.file={}",
                folder.join("prometheus.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=info");
        let mut prometheus = Process::spawn(&mut command);
        let line = prometheus
            .stderr
            .find(|line| {
                line.contains("ready to receive web requests") || line.contains("level=error")
            })
            .await;
        if line.contains("ready to receive") {
            return (prometheus, address);
        }
        assert!(line.contains("address already in use"), "{line}");
    }
}

#[tokio::test]
async fn prometheus_scrapes_the_program_and_the_dashboard_has_answers() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prometheus");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let (_program, page) = program().await;
    let (_prometheus, address) = prometheus(&folder, page).await;
    let began = std::time::Instant::now();
    // Two scrapes make a rate.
    let moving = r#"rate(aiomsg_received_messages_total{socket="stock"}[10s]) > 0"#;
    while query(address, moving).await.is_empty() {
        assert!(began.elapsed() < PATIENCE, "nothing was scraped");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let peers = query(address, "aiomsg_peers").await;
    let sockets: BTreeSet<_> = peers
        .iter()
        .map(|series| &series["metric"]["socket"])
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        sockets,
        [r#""orders""#, r#""stock""#].map(str::to_owned).into()
    );

    let dashboard = fs::read_to_string(Path::new(FOLDER).join("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut answered = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let expression = expression
                .replace("$socket", ".+")
                .replace("$__rate_interval", "10s");
            let answer = query(address, &expression).await;
            // Nothing is lost here, and nothing has panicked yet.
            let may_be_empty =
                expression.contains("dead_letters") || expression.contains("restarts");
            assert!(
                may_be_empty || !answer.is_empty(),
                "{expression} has no answer"
            );
            answered += usize::from(!answer.is_empty());
        }
    }
    assert!(answered > 10);
}
