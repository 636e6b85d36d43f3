//! A peer that asks and leaves the answers unread waits, and nobody else does; none of its answers is
//! refused.

mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::{Subscribed, supervise};
use support::raw_peer::{DATA, RawPeer, frame};
use support::{aside, eventually, within_patience};

const KIB: usize = 1024;

/// Far more answers than the link takes at its hard mark and the kernel besides.
const QUESTIONS: usize = 800;
const ANSWER: usize = 64 * KIB;

/// Answers questions at length and pings in short.
#[derive(Clone)]
struct Server {
    socket: WeakSocket,
    answered: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

impl Actor for Server {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.socket.subscribe(ctx);
    }
}

impl Handler<Received> for Server {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Context<Self>) {
        self.answer(&message);
    }
}

impl Server {
    fn answer(&self, message: &Received) {
        match message.text().unwrap() {
            "ping" => message.reply("pong").unwrap(),
            "panic" => panic!("on demand"),
            question => {
                let number = question.trim_end();
                self.answered.fetch_add(1, Ordering::SeqCst);
                let mut answer = format!("{number}.").into_bytes();
                answer.resize(ANSWER, b'x');
                if message.reply(answer).is_err() {
                    self.refused.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }
}

/// Answers when it is told to begin.
struct Paused(Server, Arc<OnceLock<Subscribed>>);

impl Actor for Paused {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let socket = self.0.socket.upgrade().expect("the socket is open");
        let subscribed = socket.subscribe(ctx);
        subscribed.pause();
        self.1.set(subscribed).expect("it is started once");
    }
}

impl Handler<Received> for Paused {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Context<Self>) {
        self.0.answer(&message);
    }
}

/// A peer that asks everything, in questions of at least so many bytes, and reads nothing.
fn ask_everything(address: SocketAddr, bytes: usize) -> RawPeer {
    let mut peer = RawPeer::introduced(address, [1; 16]);
    let question = |n: usize| frame(DATA, format!("{n:<bytes$}").as_bytes());
    let questions: Vec<_> = (0..QUESTIONS).map(question).collect();
    peer.say(&questions.concat());
    peer
}

struct Scene {
    socket: Socket,
    address: SocketAddr,
    answered: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

impl Scene {
    async fn new() -> Self {
        let socket = Socket::start().unwrap();
        let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
        let port = endpoint.port().expect("a TCP endpoint");
        Self {
            socket,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            answered: Arc::default(),
            refused: Arc::default(),
        }
    }

    fn server(&self) -> Server {
        Server {
            socket: self.socket.downgrade(),
            answered: Arc::clone(&self.answered),
            refused: Arc::clone(&self.refused),
        }
    }

    /// A peer that has asked everything at once, and reads nothing. It is not answered further, and
    /// what it asked waits in the inbox.
    async fn greedy_peer(&self) -> RawPeer {
        let address = self.address;
        let peer = aside(move || ask_everything(address, 0)).await;
        self.until_rest(|| self.answered()).await;
        assert!(self.answered() < QUESTIONS);
        assert!(self.socket.stats().inbox_messages > 0);
        peer
    }

    /// Waits, however long it takes on this machine, until a figure has risen and rises no more.
    async fn until_rest(&self, figure: impl Fn() -> usize) {
        let (mut before, mut still) = (0, 0);
        while still < 100 {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let now = figure();
            still = if now == before && now > 0 {
                still + 1
            } else {
                0
            };
            before = now;
        }
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Somebody else asks, and is answered.
    async fn serves_others(&self) {
        let address = self.address;
        let serving = aside(move || {
            let mut other = RawPeer::introduced(address, [2; 16]);
            for _ in 0..100 {
                other.data(b"ping");
                assert_eq!(other.expect_data(), b"pong");
            }
        });
        within_patience("others to be served", serving).await;
    }

    /// The peer reads at last: all is answered, in order, and nothing was refused.
    async fn all_is_answered(&self, mut peer: RawPeer) {
        let reading = aside(move || {
            for number in 0..QUESTIONS {
                let answer = peer.expect_data();
                assert_eq!(answer.len(), ANSWER);
                assert!(
                    answer.starts_with(format!("{number}.").as_bytes()),
                    "{number}"
                );
            }
            peer
        });
        let peer = within_patience("all answers", reading).await;
        assert_eq!(self.refused.load(Ordering::SeqCst), 0);
        assert_eq!(self.answered(), QUESTIONS);
        let stats = self.socket.stats();
        assert_eq!((stats.inbox_messages, stats.inbox_bytes), (0, 0));
        drop(peer);
    }
}

#[actix::test]
async fn large_replies_to_a_slow_reader_are_never_refused_and_others_are_served_meanwhile() {
    let scene = Scene::new().await;
    scene.server().start();
    let greedy = scene.greedy_peer().await;
    let held = scene.socket.stats().queued_bytes;
    assert!(held <= 1024 * KIB, "its answers hold {held} bytes");
    scene.serves_others().await;
    scene.all_is_answered(greedy).await;
}

#[actix::test]
async fn one_that_stood_in_line_for_room_when_it_fell_into_debt_holds_up_nobody() {
    let scene = Scene::new().await;
    let paused = Arc::new(OnceLock::new());
    Paused(scene.server(), Arc::clone(&paused)).start();
    // More than the inbox takes, and less than the kernel does.
    let address = scene.address;
    let greedy = aside(move || ask_everything(address, KIB)).await;
    scene.until_rest(|| scene.socket.stats().inbox_bytes).await;
    assert!(scene.socket.stats().inbox_bytes < QUESTIONS * KIB);
    paused.get().expect("it has subscribed").resume();
    scene.until_rest(|| scene.answered()).await;
    assert!(scene.answered() < QUESTIONS);
    scene.serves_others().await;
    scene.all_is_answered(greedy).await;
}

#[actix::test]
async fn what_was_set_aside_outlives_the_handler_that_panics() {
    let scene = Scene::new().await;
    let template = scene.server();
    let starts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&starts);
    let server = supervise(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        template.clone()
    })
    .start();
    let greedy = scene.greedy_peer().await;
    let address = scene.address;
    let other = aside(move || {
        let mut other = RawPeer::introduced(address, [3; 16]);
        other.data(b"panic");
        other
    })
    .await;
    eventually("a restart", || starts.load(Ordering::SeqCst) == 2).await;
    scene.serves_others().await;
    scene.all_is_answered(greedy).await;
    drop((other, server));
}

#[actix::test]
async fn what_was_set_aside_is_the_next_subscriber_s_when_the_first_one_leaves() {
    struct Leaver(Server, Option<Subscribed>);

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Leave;

    impl Actor for Leaver {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Context<Self>) {
            let socket = self.0.socket.upgrade().unwrap();
            self.1 = Some(socket.subscribe(ctx));
        }
    }

    impl Handler<Received> for Leaver {
        type Result = ();

        fn handle(&mut self, message: Received, _: &mut Context<Self>) {
            self.0.answer(&message);
        }
    }

    impl Handler<Leave> for Leaver {
        type Result = ();

        fn handle(&mut self, _: Leave, _: &mut Context<Self>) {
            self.1.take().unwrap().unsubscribe();
        }
    }

    let scene = Scene::new().await;
    let first = Leaver(scene.server(), None).start();
    let greedy = scene.greedy_peer().await;
    first.send(Leave).await.unwrap();
    scene.server().start();
    scene.serves_others().await;
    scene.all_is_answered(greedy).await;
}

#[actix::test]
async fn what_was_set_aside_of_a_peer_that_goes_is_handled() {
    let scene = Scene::new().await;
    scene.server().start();
    let greedy = scene.greedy_peer().await;
    let read = scene.answered() + scene.socket.stats().inbox_messages;
    greedy.reset();
    eventually("what it asked to be handled", || {
        scene.answered() >= read && scene.socket.stats().inbox_messages == 0
    })
    .await;
    scene.serves_others().await;
}

#[actix::test]
async fn what_was_set_aside_when_the_socket_closes_is_a_dead_letter() {
    let scene = Scene::new().await;
    scene.server().start();
    let greedy = scene.greedy_peer().await;
    let waiting = scene.socket.stats().inbox_messages;
    scene.socket.close_within(Duration::from_millis(100)).await;
    let stats = scene.socket.stats();
    assert_eq!(stats.inbox_messages, 0);
    assert!(stats.losses.closed >= waiting as u64, "{:?}", stats.losses);
    drop(greedy);
}
