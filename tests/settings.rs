//! Sockets that are set up by a file, as an operator has it.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use actix_aiomsg::prelude::*;
use actix_aiomsg::settings::{OpenError, SCHEMA, Settings, SettingsError, SettingsSources};
use actix_aiomsg::testing::Probe;
use support::events::SocketProbe;
use support::process::Process;
use support::within_patience;

/// A file of settings that goes with its test.
struct SettingsFile(PathBuf);

impl SettingsFile {
    fn new(text: &str) -> Self {
        let name = format!("settings-{}.toml", Identity::random());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, text).expect("the target directory is ours");
        Self(path)
    }

    fn settings(&self) -> Settings {
        Settings::load(&self.0).expect("they can be used")
    }
}

impl Drop for SettingsFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A socket as these settings want it, and the first place where it listens.
async fn start(text: &str) -> (Socket, Option<Endpoint>) {
    let settings = SettingsSources::new().text(text).load();
    let settings = settings.unwrap_or_else(|error| panic!("{text}: {error}"));
    let socket = settings.builder().start().expect("a system runs");
    let listening = settings.open(&socket).await.expect("free ports");
    (socket, listening.into_iter().next())
}

#[actix::test]
async fn a_socket_listens_and_connects_as_its_file_says() {
    let text = "bind = ['tcp://127.0.0.1:0', 'ws://127.0.0.1:0']\nmax_handshakes = 7\nidentity.name = 'server'";
    let file = SettingsFile::new(text);
    let settings = file.settings();
    let server = settings.builder().start().unwrap();
    let listening = settings.open(&server).await.unwrap();
    assert_eq!(listening.len(), 2);
    assert_eq!(server.stats().limits.max_handshakes, 7);
    assert_eq!(server.identity(), Identity::from_name("server"));
    let both = format!("connect = ['{}', '{}']", listening[0], listening[1]);
    let (client, none) = start(&both).await;
    assert!(none.is_none());
    client.send("hello").await.unwrap();
    let message = within_patience("a message", server.recv()).await.unwrap();
    assert_eq!(message.text(), Ok("hello"));
}

#[actix::test]
async fn a_running_socket_takes_new_limits_from_its_file() {
    let (socket, _) = start("max_handshakes = 7\nheartbeat_timeout = '20s'").await;
    let again = SettingsFile::new("max_handshakes = 8").settings();
    socket
        .reconfigure(|limits| again.change_limits(limits))
        .unwrap();
    let limits = socket.stats().limits;
    assert_eq!(limits.max_handshakes, 8);
    assert_eq!(limits.heartbeat_timeout.as_secs(), 20);
}

#[cfg(unix)]
#[actix::test]
async fn a_unix_socket_has_the_permissions_of_its_file_of_settings() {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::temp_dir().join(format!("{}.sock", Identity::random()));
    let endpoint = format!("unix://{}", path.display());
    let text = format!("bind = [{{ endpoint = '{endpoint}', unix_mode = '0600' }}]");
    let (socket, _) = start(&text).await;
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    socket.close().await;
}

#[actix::test]
async fn an_endpoint_that_cannot_be_used_is_named() {
    let (_taken, listening) = start("bind = ['tcp://127.0.0.1:0']").await;
    let endpoint = listening.unwrap();
    let text = format!("bind = ['{endpoint}']");
    let settings = SettingsSources::new().text(text).load().unwrap();
    let socket = settings.builder().start().unwrap();
    let error = settings.open(&socket).await.unwrap_err();
    assert!(matches!(&error, OpenError::Bind { endpoint: named, .. } if *named == endpoint));
    let told = error.to_string();
    assert!(
        told.starts_with(&format!("cannot bind {endpoint}: ")),
        "{told}"
    );
    assert!(told.contains("another socket listens there"), "{told}");
    let settings = SettingsSources::new()
        .text("connect = ['tcp://h:0']")
        .load()
        .unwrap();
    let error = settings.open(&socket).await.unwrap_err();
    assert!(matches!(error, OpenError::Connect { .. }), "{error}");
}

#[test]
fn a_mistyped_key_is_told_with_its_file_and_what_was_meant() {
    let file = SettingsFile::new("heartbeat_intervall = '5s'");
    let error = Settings::load(&file.0).unwrap_err();
    let (told, name) = (error.to_string(), file.0.file_name().unwrap());
    assert!(told.starts_with(
        "there is no setting `heartbeat_intervall`; did you mean `heartbeat_interval`?"
    ));
    assert!(told.contains(name.to_str().unwrap()), "{told}");
    assert!(matches!(error, SettingsError::UnknownKey { .. }));
    let error = Settings::load("nowhere.toml").unwrap_err();
    assert!(matches!(error, SettingsError::Unreadable(_)), "{error}");
    assert!(error.to_string().contains("nowhere.toml"), "{error}");
    let optional = SettingsSources::new().optional_file("nowhere.toml").load();
    assert!(optional.is_ok());
}

#[test]
fn the_schema_is_json_that_names_the_keys() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let budget = &schema["properties"]["memory_budget"];
    let told = budget["description"].as_str().unwrap();
    assert!(told.contains("64 MiB"), "{told}");
}

#[test]
fn variables_of_a_process_go_before_its_file() {
    const TEST: &str = "variables_of_a_process_go_before_its_file";
    const FILE: &str = "SETTINGS_FILE_OF_THE_TEST";
    if let Ok(file) = std::env::var(FILE) {
        let settings = Settings::load(file);
        let settings = settings.map(|settings| format!("{:?}", settings.builder()));
        eprintln!("{}", settings.unwrap_or_else(|error| error.to_string()));
        return;
    }
    let file = SettingsFile::new("max_handshakes = 7\nmax_connections = 8");
    let child = |variable: &str, value: &str| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", TEST]);
        Process::spawn(command.env(FILE, &file.0).env(variable, value))
    };
    actix::System::new().block_on(async {
        let mut settings = child("AIOMSG_SOCKET_MAX_HANDSHAKES", "9");
        let told = settings.stderr.find(|line| line.contains("max_handshakes")).await;
        assert!(told.contains("max_handshakes: 9"), "{told}");
        assert!(told.contains("max_connections: 8"), "{told}");
        let mut settings = child("AIOMSG_SOCKET_MAX_HANDSHAKE", "9");
        let told = settings.stderr.find(|line| line.contains("max_handshakes")).await;
        assert_eq!(
            told,
            "there is no setting `max_handshake`; did you mean `max_handshakes`? (in AIOMSG_SOCKET_MAX_HANDSHAKE of the environment)"
        );
    });
}

#[cfg(feature = "tls-dev")]
mod tls {
    use super::*;
    use actix_aiomsg::event::RefusalReason;
    use support::certificates::{Authority, elsewhere, serial};

    /// A server that these options of `bind` describe.
    async fn server(options: &str) -> (Socket, Endpoint, Settings) {
        let text = format!("bind = [{{ endpoint = 'tls://127.0.0.1:0', tls = {{ {options} }} }}]");
        let settings = SettingsSources::new().text(text).load().unwrap();
        let socket = settings.builder().start().unwrap();
        let endpoint = settings.open(&socket).await.unwrap().remove(0);
        (socket, endpoint, settings)
    }

    /// A client that these options of `connect` describe, and what it says of itself.
    async fn client(endpoint: &Endpoint, options: &str) -> (Socket, Probe<SocketEvent>) {
        let text = format!("connect = [{{ endpoint = '{endpoint}', tls = {{ {options} }} }}]");
        let settings = SettingsSources::new().text(text).load().unwrap();
        let (recipient, events) = Probe::recipient();
        let builder = settings.builder().on_socket_event(recipient);
        let socket = builder.start().unwrap();
        settings.open(&socket).await.unwrap();
        (socket, events)
    }

    async fn is_admitted(endpoint: &Endpoint, options: &str) {
        let (client, _events) = client(endpoint, options).await;
        within_patience("the server", client.wait_for_peers(1))
            .await
            .unwrap();
    }

    async fn is_refused(endpoint: &Endpoint, options: &str) -> RefusalReason {
        let (_client, mut events) = client(endpoint, options).await;
        events.dial_failure().await
    }

    fn own((cert, key): &(PathBuf, PathBuf)) -> String {
        format!("cert = '{}', key = '{}'", cert.display(), key.display())
    }

    #[actix::test]
    async fn a_server_shows_its_certificate_and_a_client_trusts_its_authorities() {
        let (ours, theirs) = (Authority::new(), Authority::new());
        let certificate = ours.issue("server");
        let (_server, endpoint, settings) = server(&own(&certificate)).await;
        let trusting = |authority: &Authority| format!("ca = '{}'", authority.ca().display());
        is_admitted(&endpoint, &trusting(&ours)).await;
        let refusal = is_refused(&endpoint, &trusting(&theirs)).await;
        assert!(matches!(refusal, RefusalReason::Tls { .. }), "{refusal}");
        // The files are replaced, and read again.
        ours.issue_with("server", elsewhere);
        settings.reload_tls().unwrap();
        let refusal = is_refused(&endpoint, &trusting(&ours)).await;
        assert!(matches!(refusal, RefusalReason::Tls { .. }), "{refusal}");
        let named = format!("{}, server_name = 'other.example'", trusting(&ours));
        is_admitted(&endpoint, &named).await;
    }

    #[actix::test]
    async fn a_server_wants_certificates_of_its_authority_that_are_not_revoked() {
        let ours = Authority::new();
        let ca = ours.ca();
        let revoked = ours.revoke(7);
        let certificate = own(&ours.issue_with("server", serial(7)));
        let wary = format!(
            "{certificate}, client_ca = '{}', revocations = ['{}']",
            ca.display(),
            revoked.display()
        );
        let (_server, endpoint, _) = server(&wary).await;
        let trusting = format!("ca = '{}'", ca.display());
        let good = own(&ours.issue_with("good", serial(1)));
        let bad = own(&ours.issue_with("bad", serial(7)));
        is_admitted(&endpoint, &format!("{trusting}, {good}")).await;
        is_refused(&endpoint, &trusting).await;
        is_refused(&endpoint, &format!("{trusting}, {bad}")).await;
        // A client has such a list as well.
        let list = format!("revocations = ['{}']", revoked.display());
        let refusal = is_refused(&endpoint, &format!("{trusting}, {good}, {list}")).await;
        assert!(matches!(refusal, RefusalReason::Tls { .. }), "{refusal}");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_with_its_key() {
        for (text, expected) in [
            (
                "bind = [{ endpoint = 'tls://h:1', tls = { cert = 'no.pem', key = 'no.key' } }]",
                "`bind.0.tls` cannot be used: ",
            ),
            (
                "connect = [{ endpoint = 'tls://h:1', tls = { ca = 'no.pem' } }]",
                "`connect.0.tls` cannot be used: ",
            ),
            (
                "connect = [{ endpoint = 'tls://h:1', tls = { cert = 'no.pem' } }]",
                "`connect.0.tls` cannot be used: `cert` and `key` go together",
            ),
        ] {
            let error = SettingsSources::new().text(text).load().unwrap_err();
            let told = error.to_string();
            assert!(told.starts_with(expected), "{told}");
            assert!(
                told.contains("no.pem") || told.ends_with("together"),
                "{told}"
            );
        }
    }
}
