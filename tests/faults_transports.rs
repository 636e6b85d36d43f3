//! What networks do to connections, done to sockets over every transport.

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::{BindOptions, ConnectOptions, Dedupe};
use support::each::each;
use support::events::{PeerProbe, peer_events};
use support::eventually;
use support::proxy::{Fault, FaultProxy, Side};

/// How one transport is bound, and dialled through a proxy.
struct Transport {
    name: &'static str,
    bind: String,
    scheme: &'static str,
    bind_options: BindOptions,
    connect_options: ConnectOptions,
    /// The files of a transport that has some.
    folder: Option<PathBuf>,
}

impl Transport {
    fn plain(name: &'static str, bind: impl Into<String>, scheme: &'static str) -> Self {
        Self {
            name,
            bind: bind.into(),
            scheme,
            bind_options: BindOptions::new(),
            connect_options: ConnectOptions::new(),
            folder: None,
        }
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // A socket may have removed its file already.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn transports(test: &str) -> Vec<Transport> {
    let tcp = "tcp://127.0.0.1:0";
    let mut all = vec![
        Transport::plain("tcp", tcp, "tcp"),
        Transport::plain("ws", tcp, "ws"),
    ];
    #[cfg(unix)]
    {
        let name = format!("aiomsg-{}-{test}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("socket");
        let mut unix = Transport::plain("unix", format!("unix://{}", file.display()), "unix");
        unix.folder = Some(folder);
        all.push(unix);
    }
    #[cfg(feature = "tls-dev")]
    for scheme in ["tls", "wss"] {
        let dev = Tls::dev();
        let mut secure = Transport::plain(scheme, "tls://127.0.0.1:0", scheme);
        secure.bind_options = BindOptions::new().tls(dev.server());
        secure.connect_options = ConnectOptions::new().tls(dev.client());
        all.push(secure);
    }
    all
}

type Seen = Rc<RefCell<BTreeMap<u32, usize>>>;

/// A socket that sends to another through a proxy.
struct Line {
    sender: Socket,
    receiver: Socket,
    proxy: FaultProxy,
    /// How often each message was handled.
    seen: Seen,
    /// Messages that were sent.
    sent: u32,
    through: Endpoint,
    connect_options: ConnectOptions,
}

impl Line {
    async fn over(transport: &Transport, builder: fn() -> SocketBuilder) -> Self {
        let receiver = builder().start().unwrap();
        let seen = Seen::default();
        let note = Rc::clone(&seen);
        each(&receiver, move |message| {
            let number = message.payload()[..4].try_into().unwrap();
            *note
                .borrow_mut()
                .entry(u32::from_be_bytes(number))
                .or_default() += 1;
        });
        let bind: Endpoint = transport.bind.parse().unwrap();
        let bound = receiver.bind_with(bind, transport.bind_options.clone());
        let bound = bound.await.unwrap();
        let (proxy, through) = match &transport.folder {
            #[cfg(unix)]
            Some(folder) => {
                let file = folder.join("proxy");
                let proxy = FaultProxy::start_unix(&file, &folder.join("socket"));
                (proxy, format!("unix://{}", file.display()))
            }
            _ => {
                let proxy = FaultProxy::start(([127, 0, 0, 1], bound.port().unwrap()).into());
                let port = proxy.address().port();
                (proxy, format!("{}://127.0.0.1:{port}", transport.scheme))
            }
        };
        let sender = builder()
            .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
            .reconnect(Backoff::fixed(Duration::from_millis(5)))
            .start()
            .unwrap();
        Self {
            sender,
            receiver,
            proxy,
            seen,
            sent: 0,
            through: through.parse().unwrap(),
            connect_options: transport.connect_options.clone(),
        }
    }

    async fn connect(&self) {
        let options = self.connect_options.clone();
        let connecting = self.sender.connect_with(self.through.clone(), options);
        connecting.await.unwrap();
        for socket in [&self.sender, &self.receiver] {
            eventually("them to be connected", || socket.stats().peers == 1).await;
        }
    }

    async fn send(&mut self, messages: u32) {
        for number in self.sent..self.sent + messages {
            let mut payload = number.to_be_bytes().to_vec();
            payload.resize(100, 0);
            self.sender.send(payload).await.unwrap();
        }
        self.sent += messages;
    }

    async fn all_are_acknowledged(&self) {
        let sent = u64::from(self.sent);
        eventually("all to be acknowledged", || {
            self.sender.stats().acknowledged == sent
        })
        .await;
        assert_eq!(self.seen.borrow().len() as u32, self.sent, "none is lost");
        assert_eq!(self.sender.stats().dead_letters, 0);
    }

    fn none_was_repeated(&self) {
        assert!(self.seen.borrow().values().all(|times| *times == 1));
    }

    fn joins(&self) -> [u64; 2] {
        [self.sender.stats().joins, self.receiver.stats().joins]
    }
}

/// Runs a test over every transport, and says over which.
async fn over_each(test: &str, conversation: impl AsyncFn(&Transport)) {
    for transport in transports(test) {
        println!("over {}", transport.name);
        conversation(&transport).await;
    }
}

/// Nothing is found dead while a test lasts.
fn patient() -> SocketBuilder {
    let long = Duration::from_secs(600);
    Socket::builder()
        .heartbeat_interval(long / 4)
        .heartbeat_timeout(long)
        .write_timeout(long)
        .resend_timeout(long)
        .handshake_timeout(long)
}

/// Silence is noticed soon.
fn wary() -> SocketBuilder {
    Socket::builder()
        .heartbeat_interval(Duration::from_millis(100))
        .heartbeat_timeout(Duration::from_millis(600))
        .write_timeout(Duration::from_millis(600))
        .handshake_timeout(Duration::from_secs(1))
}

#[actix::test]
async fn a_line_that_stalls_and_goes_on_keeps_its_connection_and_every_message() {
    over_each("stall", async |transport| {
        let mut line = Line::over(transport, patient).await;
        line.connect().await;
        line.send(50).await;
        line.all_are_acknowledged().await;
        line.proxy.inflict(Fault::Stall);
        line.send(200).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(line.seen.borrow().len(), 50, "nothing passes");
        line.proxy.heal();
        line.all_are_acknowledged().await;
        line.none_was_repeated();
        assert_eq!(line.joins(), [1, 1]);
    })
    .await;
}

#[actix::test]
async fn bytes_that_dribble_make_a_connection_and_whole_messages() {
    over_each("dribble", async |transport| {
        let mut line = Line::over(transport, patient).await;
        line.proxy
            .inflict(Fault::Dribble(Duration::from_micros(10)));
        line.connect().await;
        line.send(20).await;
        line.all_are_acknowledged().await;
        line.none_was_repeated();
        assert_eq!(line.joins(), [1, 1]);
    })
    .await;
}

#[actix::test]
async fn a_connection_that_is_reset_after_any_number_of_bytes_loses_nothing() {
    over_each("reset", async |transport| {
        let mut line = Line::over(transport, patient).await;
        line.connect().await;
        for after in [0, 1, 4, 5, 100, 1_000, 5_000] {
            let before = line.joins();
            line.proxy.inflict(Fault::ResetAfter(after));
            line.send(100).await;
            let came_back = |line: &Line| line.joins().iter().zip(before).all(|(a, b)| *a > b);
            eventually("the reset", || {
                line.sender.stats().peers == 0 || came_back(&line)
            })
            .await;
            line.proxy.heal();
            eventually("the next connection", || came_back(&line)).await;
            line.all_are_acknowledged().await;
        }
    })
    .await;
}

/// A peer behind such a fault is found dead by both ends, and comes back when it is over.
async fn is_found_dead(transport: &Transport, fault: Fault) {
    let mut line = Line::over(transport, wary).await;
    let mut peers = [peer_events(&line.sender), peer_events(&line.receiver)];
    line.connect().await;
    line.send(50).await;
    line.all_are_acknowledged().await;
    line.proxy.inflict(fault);
    line.send(50).await;
    for end in &mut peers {
        is_silent(end, fault).await;
    }
    // Meanwhile it is dialled in vain.
    assert_eq!(line.seen.borrow().len(), 50, "nothing passes");
    line.proxy.cut();
    line.proxy.heal();
    line.all_are_acknowledged().await;
}

async fn is_silent(peers: &mut Probe<PeerEvent>, fault: Fault) {
    let (reason, _) = peers.end().await;
    let expected = matches!(reason, DownReason::Silent | DownReason::Stalled);
    assert!(expected, "{fault:?}: {reason:?}");
}

#[actix::test]
async fn a_peer_behind_a_pulled_cable_is_found_dead_by_both_ends_and_comes_back() {
    over_each("half-open", async |transport| {
        is_found_dead(transport, Fault::HalfOpen).await;
    })
    .await;
}

#[actix::test]
async fn a_peer_behind_a_line_that_stalls_for_too_long_is_found_dead_and_comes_back() {
    over_each("stall-long", async |transport| {
        is_found_dead(transport, Fault::Stall).await;
    })
    .await;
}

#[actix::test]
async fn repetitions_that_come_because_acknowledgements_are_lost_are_not_handled_twice() {
    let remembering = || patient().dedupe(Dedupe::within(10_000, Duration::from_secs(3_600)));
    over_each("repeat", async |transport| {
        let mut line = Line::over(transport, remembering).await;
        line.connect().await;
        for round in 1..=3 {
            let before = line.receiver.stats().duplicates;
            line.proxy.inflict(Fault::Mute(Side::Server));
            line.send(100).await;
            let handled = || line.seen.borrow().len() == 100 * round;
            eventually("all to be handled", handled).await;
            assert!(line.sender.stats().unacknowledged >= 100);
            line.proxy.cut();
            line.proxy.heal();
            line.all_are_acknowledged().await;
            let absorbed = line.receiver.stats().duplicates - before;
            assert_eq!(absorbed, 100, "each comes again");
            line.none_was_repeated();
        }
    })
    .await;
}
