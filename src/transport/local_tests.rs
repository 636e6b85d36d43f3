//! Unix-domain and in-memory endpoints.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::address::{Endpoint, PeerAddress, TransportKind};

async fn listen_on(text: &str) -> io::Result<Acceptor> {
    Acceptor::listen(
        &text.parse().unwrap(),
        &BindOptions::new(),
        &Default::default(),
    )
    .await
}

async fn connect_to(acceptor: &Acceptor) -> (Established, Established) {
    let endpoint = acceptor.endpoint();
    let options = ConnectOptions::new();
    let (client, server) = tokio::join!(
        async {
            let mut client = dial(&endpoint, &options).await?;
            client.stream.write_all(&[0]).await.unwrap();
            Ok::<_, TransportError>(client)
        },
        async { acceptor.accept().await.unwrap().establish().await },
    );
    (client.unwrap(), server.unwrap())
}

fn refusal(result: Result<Established, TransportError>) -> io::ErrorKind {
    match result {
        Err(TransportError::Connect { source, .. }) => source.kind(),
        other => panic!("{other:?}"),
    }
}

/// What is written at one end is read at the other, in both directions, to the end of the stream.
async fn exchange(mut one: ByteStream, mut other: ByteStream) {
    let sent = vec![7; 1_000_000];
    let write = async {
        one.write_all(&sent).await.unwrap();
        one.shutdown().await.unwrap();
        let mut answer = Vec::new();
        one.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
    };
    let read = async {
        let mut received = Vec::new();
        other.read_to_end(&mut received).await.unwrap();
        assert_eq!(received.len(), 1_000_000);
        other.write_all(b"answer").await.unwrap();
        other.shutdown().await.unwrap();
    };
    tokio::join!(write, read);
}

mod memory {
    use super::*;

    #[tokio::test]
    async fn both_ends_see_the_same_stream() {
        let acceptor = listen_on("mem://both-ends").await.unwrap();
        let (client, server) = connect_to(&acceptor).await;
        assert_eq!(client.meta.transport, TransportKind::Memory);
        assert_eq!(server.meta.remote.to_string(), "mem://both-ends");
        exchange(client.stream, server.stream).await;
    }

    #[tokio::test]
    async fn a_name_is_taken_until_its_acceptor_is_dropped() {
        let acceptor = listen_on("mem://taken").await.unwrap();
        let error = listen_on("mem://taken").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(acceptor);
        listen_on("mem://taken").await.unwrap();
    }

    #[tokio::test]
    async fn a_name_that_nobody_listens_on_refuses() {
        let endpoint = "mem://nobody".parse().unwrap();
        let result = dial(&endpoint, &ConnectOptions::new()).await;
        assert_eq!(refusal(result), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_connection_that_is_never_accepted_ends_with_its_acceptor() {
        let acceptor = listen_on("mem://never-accepted").await.unwrap();
        let endpoint = acceptor.endpoint();
        let mut client = dial(&endpoint, &ConnectOptions::new()).await.unwrap();
        drop(acceptor);
        assert_eq!(client.stream.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_backlog_ends_in_a_timeout() {
        let options = BindOptions::new().backlog(1);
        let endpoint: Endpoint = "mem://full".parse().unwrap();
        let _acceptor = Acceptor::listen(&endpoint, &options, &Default::default())
            .await
            .unwrap();
        let _first = dial(&endpoint, &ConnectOptions::new()).await.unwrap();
        let second = dial(&endpoint, &ConnectOptions::new()).await;
        assert_eq!(refusal(second), io::ErrorKind::TimedOut);
    }
}

#[cfg(unix)]
mod unix {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    /// A directory of its own for each test, removed with all that is in it.
    struct Directory(PathBuf);

    impl Directory {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("aiomsg-{}-{test}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn path(&self) -> PathBuf {
            self.0.join("socket")
        }

        fn endpoint(&self) -> String {
            format!("unix://{}", self.path().display())
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[tokio::test]
    async fn both_ends_see_the_same_stream_and_each_other() {
        let directory = Directory::new("both");
        let acceptor = listen_on(&directory.endpoint()).await.unwrap();
        let (client, server) = connect_to(&acceptor).await;
        assert_eq!(client.meta.transport, TransportKind::Unix);
        for meta in [&client.meta, &server.meta] {
            match &meta.remote {
                PeerAddress::Unix { path, user, .. } => {
                    assert_eq!(*path, directory.path());
                    assert!(user.is_some());
                }
                other => panic!("{other}"),
            }
        }
        exchange(client.stream, server.stream).await;
    }

    #[tokio::test]
    async fn the_file_goes_with_its_acceptor() {
        let directory = Directory::new("goes");
        let acceptor = listen_on(&directory.endpoint()).await.unwrap();
        assert!(directory.path().exists());
        drop(acceptor);
        assert!(!directory.path().exists());
    }

    #[tokio::test]
    async fn a_file_that_replaced_ours_stays() {
        let directory = Directory::new("replaced");
        let acceptor = listen_on(&directory.endpoint()).await.unwrap();
        fs::rename(directory.path(), directory.0.join("moved")).unwrap();
        fs::write(directory.path(), "another").unwrap();
        drop(acceptor);
        assert_eq!(fs::read(directory.path()).unwrap(), b"another");
    }

    #[tokio::test]
    async fn a_stale_file_is_replaced() {
        let directory = Directory::new("stale");
        // The standard library's listener leaves its file behind.
        drop(std::os::unix::net::UnixListener::bind(directory.path()).unwrap());
        let acceptor = listen_on(&directory.endpoint()).await.unwrap();
        connect_to(&acceptor).await;
    }

    #[tokio::test]
    async fn a_live_socket_is_not_replaced() {
        let directory = Directory::new("live");
        let first = listen_on(&directory.endpoint()).await.unwrap();
        let error = listen_on(&directory.endpoint()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        // The probe of the second is one connection that ends at once.
        drop(first.accept().await.unwrap());
        connect_to(&first).await;
    }

    #[tokio::test]
    async fn a_plain_file_is_not_replaced() {
        let directory = Directory::new("plain");
        fs::write(directory.path(), "precious").unwrap();
        let error = listen_on(&directory.endpoint()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read(directory.path()).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn the_mode_is_what_was_asked_for() {
        let directory = Directory::new("mode");
        let endpoint = directory.endpoint().parse().unwrap();
        let options = BindOptions::new().unix_mode(0o600);
        let _acceptor = Acceptor::listen(&endpoint, &options, &Default::default())
            .await
            .unwrap();
        let mode = fs::metadata(directory.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn many_who_find_a_stale_file_end_with_one_listener() {
        let directory = Directory::new("race");
        drop(std::os::unix::net::UnixListener::bind(directory.path()).unwrap());
        let endpoint = directory.endpoint();
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let endpoint = endpoint.clone();
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .unwrap();
                    let acceptor = runtime.block_on(listen_on(&endpoint));
                    acceptor.map(|acceptor| (runtime, acceptor))
                })
            })
            .collect();
        let results: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert!(directory.path().exists());
    }

    #[tokio::test]
    async fn a_path_that_nobody_listens_on_is_refused() {
        let directory = Directory::new("nobody");
        let endpoint: Endpoint = directory.endpoint().parse().unwrap();
        let absent = dial(&endpoint, &ConnectOptions::new()).await;
        assert_eq!(refusal(absent), io::ErrorKind::NotFound);
        drop(std::os::unix::net::UnixListener::bind(directory.path()).unwrap());
        let stale = dial(&endpoint, &ConnectOptions::new()).await;
        assert_eq!(refusal(stale), io::ErrorKind::ConnectionRefused);
    }
}
