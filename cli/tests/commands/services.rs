//! `aiomsg services`.

use actix_aiomsg::Identity;
use serde_json::Value;

use super::support::process::Process;
use super::support::{OnTerminal, aiomsg, command, ended, listening, run};

/// A server that offers `upper`, and says so at this endpoint.
async fn upper() -> (Process, String) {
    let options = "serve --bind tcp://127.0.0.1:0 --identity server --offer upper --exec";
    let mut serve = Process::spawn(command(options).args(["tr", "a-z", "A-Z"]));
    let endpoint = listening(&mut serve).await;
    (serve, endpoint)
}

#[tokio::test]
async fn an_instance_comes_and_goes() {
    let (serve, endpoint) = upper().await;
    let mut services = aiomsg(&format!("services upper --connect {endpoint} -n 2 --json"));
    let line: Value = serde_json::from_str(&services.line().await).unwrap();
    let server = Identity::from_name("server").to_string();
    assert_eq!(
        (&line["event"], &line["peer"]),
        (&"up".into(), &server.clone().into())
    );
    drop(serve);
    let (code, lines, _) = ended(services).await;
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(
        (code, &line["event"], &line["peer"]),
        (0, &"down".into(), &server.into())
    );
}

#[tokio::test]
async fn on_a_terminal_an_instance_is_a_line_until_ctrl_c() {
    let (_serve, endpoint) = upper().await;
    let mut services = OnTerminal::spawn(&format!("services upper --connect {endpoint}"));
    services.shows(" up ").await;
    services.type_in("\x03");
    assert_eq!(services.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_service_that_nobody_offers_is_exit_code_3() {
    let (_serve, endpoint) = upper().await;
    let options = format!("services lower --connect {endpoint} -n 1 --timeout 300ms");
    let (code, _, complaint) = run(&options).await;
    assert_eq!(code, 3);
    assert!(complaint.contains("--offer"), "{complaint}");
}
