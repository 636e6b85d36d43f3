//! `aiomsg cert`: what it makes is what sockets and the Python package take.

use super::support::python::{PythonOptions, PythonPeer};
use super::support::{Folder, aiomsg, ended, listening, run};

/// An authority, a certificate for localhost and one for `desk`, in a folder.
pub(super) async fn certificates(name: &str) -> Folder {
    let folder = Folder::new(name);
    let dir = folder.0.display();
    for what in ["ca", "server localhost 127.0.0.1", "client desk"] {
        let (code, _, complaint) = run(&format!("cert {what} --dir {dir}")).await;
        assert_eq!(code, 0, "{complaint}");
    }
    folder
}

/// The options of a bind end with them, which demands certificates, and of a connect end.
pub(super) fn options(folder: &Folder) -> (String, String) {
    let of = |name: &str| {
        let [ca, cert, key] = [
            "ca.pem".to_owned(),
            format!("{name}.pem"),
            format!("{name}.key"),
        ]
        .map(|f| folder.place(&f));
        format!("--ca {ca} --cert {cert} --key {key}")
    };
    (of("localhost"), of("desk"))
}

#[tokio::test]
async fn two_ends_with_certificates_of_one_authority_trust_each_other() {
    let folder = certificates("mutual").await;
    let (server, client) = options(&folder);
    let mut sub = aiomsg(&format!("sub --bind tls://localhost:0 -n 1 {server}"));
    let endpoint = listening(&mut sub).await;
    let (code, _, complaint) = run(&format!("send --connect {endpoint} {client} -m x --ack")).await;
    assert_eq!(code, 0, "{complaint}");
    assert_eq!(ended(sub).await.1, ["x"]);
}

/// A pipe beside a file, which has what the file holds, and has it once.
#[cfg(unix)]
fn piped(folder: &Folder, name: &str) -> String {
    let pipe = folder.place(&format!("{name}.pipe"));
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let (from, to) = (folder.place(name), pipe.clone());
    std::thread::spawn(move || std::fs::copy(from, to));
    pipe
}

#[cfg(unix)]
#[tokio::test]
async fn what_tls_needs_is_read_once_however_many_endpoints_need_it() {
    let folder = certificates("pipes").await;
    let (server, client) = options(&folder);
    let mut sub = aiomsg(&format!("sub --bind tls://localhost:0 -n 1 {server}"));
    let last = listening(&mut sub).await;

    let key = piped(&folder, "localhost.key");
    let server = server.replace(&folder.place("localhost.key"), &key);
    let here = "bind:tls://localhost:0";
    let mut binds = aiomsg(&format!("relay {here} {here} {server}"));
    let (back, front) = (listening(&mut binds).await, listening(&mut binds).await);

    let ca = piped(&folder, "ca.pem");
    let of_pipe = client.replace(&folder.place("ca.pem"), &ca);
    let _connects = aiomsg(&format!("relay connect:{back} connect:{last} {of_pipe}"));
    let (code, _, complaint) = run(&format!("send --connect {front} {client} -m x --ack")).await;
    assert_eq!(code, 0, "{complaint}");
    assert_eq!(ended(sub).await.1, ["x"]);
}

#[tokio::test]
async fn a_python_peer_with_such_a_certificate_is_published_to() {
    let folder = certificates("python").await;
    let options = PythonOptions::bind(0)
        .with("--tls-cert", folder.place("localhost.pem"))
        .with("--tls-key", folder.place("localhost.key"));
    let mut python = PythonPeer::start(&options).await;
    let endpoint = format!("tls://127.0.0.1:{}", python.port);
    let ca = folder.place("ca.pem");
    let (code, _, complaint) = run(&format!("pub --connect {endpoint} --ca {ca} -m x")).await;
    assert_eq!(code, 0, "{complaint}");
    assert_eq!(python.receive(1).await, ["x"]);
    // Without the authority it is not trusted, and the reason is told.
    let (code, _, complaint) = run(&format!("pub --connect {endpoint} -m x --timeout 2s")).await;
    assert_eq!(code, 3);
    assert!(
        complaint.contains("not signed by a trusted authority"),
        "{complaint}"
    );
}

#[tokio::test]
async fn keys_are_for_their_owner_alone_and_files_are_replaced_only_by_force() {
    let folder = certificates("rights").await;
    #[cfg(unix)]
    for key in ["ca.key", "localhost.key", "desk.key"] {
        use std::os::unix::fs::PermissionsExt;
        let rights = std::fs::metadata(folder.place(key)).unwrap().permissions();
        assert_eq!(rights.mode() & 0o777, 0o600, "{key}");
    }
    let dir = folder.0.display();
    let before = std::fs::read(folder.place("desk.pem")).unwrap();
    let (code, _, complaint) = run(&format!("cert client desk --dir {dir}")).await;
    assert_eq!(code, 1);
    assert!(complaint.contains("--force"), "{complaint}");
    assert_eq!(std::fs::read(folder.place("desk.pem")).unwrap(), before);
    assert_eq!(
        run(&format!("cert client desk --dir {dir} --force"))
            .await
            .0,
        0
    );
    assert_ne!(std::fs::read(folder.place("desk.pem")).unwrap(), before);
}

#[tokio::test]
async fn without_an_authority_the_way_to_make_one_is_told() {
    let folder = Folder::new("none");
    let (code, _, complaint) = run(&format!(
        "cert server localhost --dir {}",
        folder.0.display()
    ))
    .await;
    assert_eq!(code, 1);
    assert!(complaint.contains("`aiomsg cert ca`"), "{complaint}");
}
