//! The conformance agent over TLS and mutual TLS, with itself and with Python.
#![cfg(feature = "tls-dev")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use actix_aiomsg::{
    Identity,
    tls::{Tls, TlsDev, TlsDevPem},
};
use support::agent;
use support::python::{PythonOptions, PythonPeer, numbered};

/// Certificates in files of their own, which go with this.
struct Files {
    directory: PathBuf,
    authority: TlsDev,
}

impl Files {
    fn new() -> Self {
        let name = format!("agent-tls-{}", Identity::random());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir(&directory).expect("the target directory is ours");
        Self {
            directory,
            authority: Tls::dev(),
        }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.directory.join(name);
        fs::write(&path, text).expect("the directory is ours");
        path.to_str().expect("a plain path").to_owned()
    }

    fn pair(&self, name: &str, pem: &TlsDevPem) -> (String, String) {
        (
            self.write(&format!("{name}.crt"), &pem.certificate),
            self.write(&format!("{name}.key"), &pem.key),
        )
    }

    /// The authority's certificate.
    fn ca(&self) -> String {
        self.write("ca.crt", &self.authority.ca_pem())
    }

    /// The bind end's certificate and key.
    fn server(&self) -> (String, String) {
        self.pair("server", &self.authority.server_pem())
    }

    /// A connect end's certificate and key.
    fn client(&self) -> (String, String) {
        self.pair("client", &self.authority.client_pem("agent"))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What is left is in the target directory, where it harms nobody.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[tokio::test]
async fn two_agents_speak_over_tls() {
    let files = Files::new();
    let (certificate, key) = files.server();
    let (mut sink, port) = agent::bind(&format!(
        "--count 20 --tls true --tls-cert {certificate} --tls-key {key}"
    ))
    .await;
    let mut source = agent::start(&format!(
        "--role connect --port {port} --behavior source --count 20 --linger 0 \
         --tls true --tls-ca {} --tls-server-name localhost",
        files.ca()
    ));
    assert_eq!(sink.rest_of_stdout().await, numbered("m", 0..20));
    agent::completes(&mut sink).await;
    agent::completes(&mut source).await;
}

#[tokio::test]
async fn only_a_client_with_a_certificate_is_served_where_one_is_required() {
    let files = Files::new();
    let (certificate, key) = files.server();
    let ca = files.ca();
    let (mut sink, port) = agent::bind(&format!(
        "--count 5 --tls true --tls-cert {certificate} --tls-key {key} --events true \
         --require-client-cert true --tls-ca {ca}"
    ))
    .await;
    let source = format!(
        "--role connect --port {port} --behavior source --count 5 --linger 0 --tls true --tls-ca {ca}"
    );
    let _stranger = agent::start(&format!("{source} --prefix stranger"));
    let rejected = |line: &str| line.contains("peer_rejected");
    sink.stderr.find(rejected).await;

    let (certificate, key) = files.client();
    let mut friend = agent::start(&format!(
        "{source} --prefix friend --tls-client-cert {certificate} --tls-client-key {key}"
    ));
    assert_eq!(sink.rest_of_stdout().await, numbered("friend", 0..5));
    agent::completes(&mut friend).await;
}

#[tokio::test]
async fn a_source_sends_nothing_to_a_server_that_it_does_not_trust() {
    let (files, others) = (Files::new(), Files::new());
    let (certificate, key) = files.server();
    let (mut sink, port) = agent::bind(&format!(
        "--count 1 --tls true --tls-cert {certificate} --tls-key {key} --events true"
    ))
    .await;
    let mut source = agent::start(&format!(
        "--role connect --port {port} --behavior source --count 1 --tls true --tls-ca {}",
        others.ca()
    ));
    sink.stderr
        .find(|line| line.contains("peer_rejected"))
        .await;
    assert!(source.is_running());
    assert!(sink.is_running());
}

#[tokio::test]
async fn python_and_an_agent_speak_over_tls_in_both_roles() {
    let files = Files::new();
    let (certificate, key) = files.server();
    let ca = files.ca();

    let (mut echo, port) = agent::bind(&format!(
        "--behavior echo --count 20 --linger 0 --tls true --tls-cert {certificate} --tls-key {key}"
    ))
    .await;
    let mut python = PythonPeer::start(&PythonOptions::connect(port).with("--tls-ca", &ca)).await;
    python.send_many("m", 20);
    assert_eq!(python.receive(20).await, numbered("m", 0..20));
    agent::completes(&mut echo).await;

    let options = PythonOptions::bind(0)
        .with("--tls-cert", &certificate)
        .with("--tls-key", &key);
    let mut python = PythonPeer::start(&options).await;
    let mut source = agent::start(&format!(
        "--role connect --port {} --behavior source --count 20 --linger 0 --tls true --tls-ca {ca}",
        python.port
    ));
    assert_eq!(python.receive(20).await, numbered("m", 0..20));
    agent::completes(&mut source).await;
}

#[tokio::test]
async fn certificates_that_are_missing_or_unreadable_are_a_sentence() {
    for options in [
        "--role bind --port 0 --tls true",
        "--role bind --port 0 --tls true --tls-cert nowhere.crt --tls-key nowhere.key",
        "--role connect --port 1 --tls true --tls-ca nowhere.crt",
        "--role connect --port 1 --tls true --tls-client-cert nowhere.crt",
    ] {
        let mut agent = agent::start(options);
        assert!(!agent.exit().await.success(), "{options}");
        let complaint = agent.complaint().await;
        assert!(complaint.starts_with("conformance_agent: "), "{complaint}");
        assert!(!complaint.contains("panicked"), "{complaint}");
    }
}
