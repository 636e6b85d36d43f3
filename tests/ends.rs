//! How connections end that carried something: the reason, and who began it.

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use actix_aiomsg::{prelude::*, transport::WebSocketViolation};
use support::aside;
use support::each::each;
use support::events::{PeerProbe, peer_events};
use support::host::Host;
use support::raw_peer::{RawPeer, hello};

const ME: [u8; 16] = [7; 16];

/// Why the next peer is down, and who began it.
#[actix::test]
async fn a_peer_that_resets_its_connection_began_it() {
    let host = Host::alone(Socket::builder()).await;
    let mut peers = peer_events(&host.socket);
    let address = host.address;
    aside(move || RawPeer::introduced(address, ME).reset()).await;
    let (reason, by) = peers.end().await;
    assert!(matches!(reason, DownReason::Transport(_)), "{reason}");
    assert_eq!(by, Party::Peer);
}

#[actix::test]
async fn a_websocket_peer_that_sends_text_is_ended_by_us() {
    let host = Host::alone(Socket::builder()).await;
    let mut peers = peer_events(&host.socket);
    let address = host.address;
    aside(move || {
        let mut peer = RawPeer::connect(address);
        peer.say(
            b"GET / HTTP/1.1\r\nhost: here\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        );
        let hello = hello(ME);
        // A mask of zeros changes nothing.
        let binary = [0x82, 0x80 | hello.len() as u8, 0, 0, 0, 0];
        peer.say(&[&binary[..], &hello].concat());
        peer.say(&[0x81, 0x80, 0, 0, 0, 0]);
        peer.expect_end();
    })
    .await;
    let (reason, by) = peers.end().await;
    assert!(
        matches!(reason, DownReason::WebSocket(WebSocketViolation::Text)),
        "{reason}"
    );
    assert_eq!(by, Party::Us);
}

#[actix::test]
async fn a_peer_that_asks_on_and_leaves_its_answers_unread_is_stalled() {
    let patience = Duration::from_millis(300);
    let socket = Socket::builder().write_timeout(patience).start().unwrap();
    let mut peers = peer_events(&socket);
    each(&socket, |message| {
        // Beyond the second mark there is no room for answers, which is the peer's own doing.
        let _ = message.reply(message.payload().clone());
    });
    let port = socket.bind("127.0.0.1:0").await.unwrap().port().unwrap();
    let asking = actix::spawn(aside(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.write_all(&hello(ME)).expect("it reads");
        let question = support::raw_peer::frame(support::raw_peer::DATA, &[9; 64 * 1024]);
        while stream.write_all(&question).is_ok() {}
    }));
    let told = peers.end().await;
    assert_eq!(told, (DownReason::Stalled, Party::Us));
    asking.await.unwrap();
}

#[cfg(feature = "tls-dev")]
mod tls {
    use super::*;
    use std::io::Read;
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use actix_aiomsg::{BindOptions, ConnectOptions, tls::Tls};

    /// A proxy for one connection, which changes a byte on its way to the bind end when told to.
    fn meddling(target: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let meddles = Arc::<AtomicBool>::default();
        let told = Arc::clone(&meddles);
        thread::spawn(move || {
            let (client, _) = listener.accept().expect("somebody connects");
            let server = TcpStream::connect(target).expect("it listens");
            let back = (
                server.try_clone().expect("a stream"),
                client.try_clone().expect("a stream"),
            );
            thread::spawn(move || carry(back.0, back.1, |_| {}));
            carry(client, server, |bytes| {
                if told.load(Ordering::SeqCst) {
                    *bytes.last_mut().expect("something was read") ^= 1;
                }
            });
        });
        (address, meddles)
    }

    fn carry(mut from: TcpStream, mut to: TcpStream, change: impl Fn(&mut [u8])) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            change(&mut buffer[..count]);
            if to.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
        // Either end may be gone by now.
        let _ = to.shutdown(std::net::Shutdown::Write);
    }

    #[actix::test]
    async fn bytes_that_were_changed_on_the_way_end_the_connection_by_the_network() {
        let authority = Tls::dev();
        let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
        let options = BindOptions::new().tls(authority.server());
        let bound = server
            .bind_with("tls://127.0.0.1:0", options)
            .await
            .unwrap();
        let (address, meddles) = meddling(([127, 0, 0, 1], bound.port().unwrap()).into());
        let mut at_server = peer_events(&server);
        let mut at_client = peer_events(&client);
        let options = ConnectOptions::new().tls(authority.client());
        client
            .connect_with(format!("tls://{address}"), options)
            .await
            .unwrap();
        client.send("as it was").await.unwrap();
        assert_eq!(server.recv().await.unwrap().text(), Ok("as it was"));
        meddles.store(true, Ordering::SeqCst);
        client.send("changed").await.unwrap();
        let (reason, by) = at_server.end().await;
        assert!(matches!(reason, DownReason::Transport(_)), "{reason}");
        assert_eq!(by, Party::Network);
        // The connect end is told by the bind end.
        let (reason, by) = at_client.end().await;
        assert!(matches!(reason, DownReason::Transport(_)), "{reason}");
        assert_eq!(by, Party::Peer);
    }
}
