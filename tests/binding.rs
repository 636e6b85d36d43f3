//! What cannot be bound says why, and what to do.

mod support;

use actix_aiomsg::prelude::*;

async fn refused(socket: &Socket, endpoint: &str) -> String {
    let refused = socket.bind(endpoint).await;
    refused.expect_err(endpoint).to_string()
}

#[actix::test]
async fn an_address_that_is_taken_or_not_ours_is_told_with_what_to_do() {
    let (one, other) = (Socket::start().unwrap(), Socket::start().unwrap());
    let taken = one.bind("tcp://127.0.0.1:0").await.unwrap().to_string();
    let told = refused(&other, &taken).await;
    assert!(
        told.contains(&taken) && told.contains("another socket listens there"),
        "{told}"
    );
    // TEST-NET-1 is nobody's (RFC 5737).
    let told = refused(&one, "tcp://192.0.2.1:0").await;
    assert!(told.contains("this machine has no such address"), "{told}");
    let told = refused(&one, "tcp://no-such-host.invalid:0").await;
    assert!(told.contains("no-such-host.invalid"), "{told}");
}

#[actix::test]
async fn an_address_that_includes_one_of_the_same_socket_blames_no_other() {
    let socket = Socket::start().unwrap();
    let one = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let port = one.port().unwrap();
    for wanted in ["127.0.0.1", "0.0.0.0", "[::]"] {
        let told = refused(&socket, &format!("ws://{wanted}:{port}")).await;
        let ours = format!("this socket listens on 127.0.0.1:{port} already");
        assert!(told.contains(&ours), "{told}");
        assert!(!told.contains("another socket"), "{told}");
    }
}

#[actix::test]
async fn an_address_that_the_same_socket_has_left_blames_whoever_has_it_now() {
    let socket = Socket::start().unwrap();
    let both = socket.bind("tcp://[::]:0").await.unwrap();
    let port = both.port().unwrap();
    let four = format!("tcp://0.0.0.0:{port}");
    // It takes the listener of IPv4 over from the other endpoint, and leaves it.
    let bound = socket.bind(&four[..]).await.unwrap();
    socket.unbind(bound).await.unwrap();
    let _other = std::net::TcpListener::bind(("0.0.0.0", port)).unwrap();
    let told = refused(&socket, &four).await;
    assert!(told.contains("another socket listens there"), "{told}");
}

#[cfg(unix)]
#[actix::test]
async fn a_path_that_holds_something_else_is_told_apart_from_a_socket_that_listens() {
    let name = format!("binding-{}", Identity::random());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir(&directory).unwrap();
    let at = |name: &str| format!("unix://{}/{name}", directory.display());
    std::fs::write(directory.join("file"), "precious").unwrap();
    std::fs::create_dir(directory.join("folder")).unwrap();
    std::os::unix::fs::symlink(directory.join("nothing"), directory.join("link")).unwrap();
    let socket = Socket::start().unwrap();
    for name in ["file", "folder", "link"] {
        let told = refused(&socket, &at(name)).await;
        assert!(
            told.contains("something that is no socket is there"),
            "{told}"
        );
    }
    assert_eq!(std::fs::read(directory.join("file")).unwrap(), b"precious");
    let told = refused(&socket, &at("no/folder")).await;
    assert!(told.contains("its folder is not there"), "{told}");

    let live = at("live");
    socket.bind(&live[..]).await.unwrap();
    for whoever in [&Socket::start().unwrap(), &socket] {
        let told = refused(whoever, &live).await;
        assert!(told.contains("a socket listens there already"), "{told}");
    }
    // What a process that was killed left behind is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(directory.join("stale")).unwrap());
    socket.bind(&at("stale")[..]).await.unwrap();
    socket.close().await;
    std::fs::remove_dir_all(directory).unwrap();
}
