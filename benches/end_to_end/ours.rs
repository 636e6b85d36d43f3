//! The same with sockets of this crate, as an application would use them: default settings,
//! subscribed handlers, `send` awaited.

use std::rc::Rc;
use std::time::Instant;

use actix::prelude::*;
use actix_aiomsg::SocketBuilder;
use actix_aiomsg::prelude::*;
use bytes::Bytes;

use super::end::{Options, Role, resident, tell_memory, tell_percentiles};
use super::support::each::each;
use super::support::process::tell;
use super::tally::{QUIET, Tally};

pub(crate) async fn run(options: Options) {
    match options.role {
        Role::Receive => {
            let socket = builder(&options).start().expect("a system runs");
            count(&socket, &Tally::new(options.messages));
            bind(&socket, &options).await;
            std::future::pending::<()>().await;
        }
        Role::Send => send_all(options).await,
        Role::Echo => {
            let socket = Socket::start().expect("a system runs");
            each(&socket, |message| {
                let reply = message.reply(message.payload().clone());
                reply.expect("the peer reads");
            });
            bind(&socket, &options).await;
            std::future::pending::<()>().await;
        }
        Role::Ping => ping(options).await,
        Role::Answer => {
            let socket = Socket::start().expect("a system runs");
            Answers(socket.downgrade()).start();
            bind(&socket, &options).await;
            std::future::pending::<()>().await;
        }
        Role::Ask => ask(options, false).await,
        Role::AskByName => ask(options, true).await,
        Role::Publish => publish(options).await,
        Role::Subscribe => {
            let tally = Tally::new(options.messages);
            actix::spawn(Rc::clone(&tally).give_up_when_quiet());
            let sockets = connect(&options, |socket| count(socket, &tally)).await;
            std::future::pending::<()>().await;
            drop(sockets);
        }
        Role::IdleBind => idle_bind(options).await,
        Role::Idle => {
            let sockets = connect(&options, |_| ()).await;
            for socket in &sockets {
                let sent = socket.send(Bytes::from_static(b"hi")).await;
                sent.expect("it is accepted");
            }
            std::future::pending::<()>().await;
        }
    }
}

fn builder(options: &Options) -> SocketBuilder {
    let guarantee = if options.at_least_once {
        DeliveryGuarantee::AtLeastOnce
    } else {
        DeliveryGuarantee::AtMostOnce
    };
    let builder = Socket::builder().delivery_guarantee(guarantee);
    builder.arbiters(options.arbiters)
}

/// Binds, and tells where.
async fn bind(socket: &Socket, options: &Options) {
    #[cfg_attr(not(feature = "tls-dev"), expect(unused_mut))]
    let mut bind = BindOptions::new();
    #[cfg(feature = "tls-dev")]
    if options.over.is_secure() {
        let server = super::support::secrets::inherited().server();
        bind = bind.tls(actix_aiomsg::tls::TlsServer::from(server));
    }
    let _ = options;
    let endpoint = socket.bind_with("127.0.0.1:0", bind).await;
    let port = endpoint.expect("a free port").port();
    tell(format_args!("127.0.0.1:{}", port.expect("a TCP endpoint")));
}

/// One socket for each connection, set up before it connects.
async fn connect(options: &Options, set_up: impl Fn(&Socket)) -> Vec<Socket> {
    let address = options.address.expect("the other end");
    let endpoint = format!("{}://{address}", options.over.scheme());
    let mut sockets = Vec::new();
    for _ in 0..options.connections {
        let socket = builder(options).start().expect("a system runs");
        set_up(&socket);
        #[cfg_attr(not(feature = "tls-dev"), expect(unused_mut))]
        let mut connect = ConnectOptions::new();
        #[cfg(feature = "tls-dev")]
        if options.over.is_secure() {
            let client = super::support::secrets::inherited().client();
            connect = connect.tls(actix_aiomsg::tls::TlsClient::from(client));
        }
        let connecting = socket.connect_with(&endpoint, connect).await;
        connecting.expect("an endpoint");
        sockets.push(socket);
    }
    for socket in &sockets {
        socket.wait_for_peers(1).await.expect("it comes");
    }
    sockets
}

fn count(socket: &Socket, tally: &Rc<Tally>) {
    let tally = Rc::clone(tally);
    each(socket, move |message| {
        std::hint::black_box(message.payload());
        tally.add(1);
    });
}

async fn send_all(options: Options) {
    let payload = Bytes::from(vec![7; options.bytes]);
    let share = options.messages / options.connections as u64;
    for socket in connect(&options, |_| ()).await {
        let payload = payload.clone();
        actix::spawn(async move {
            for _ in 0..share {
                socket.send(payload.clone()).await.expect("it is accepted");
            }
            std::future::pending::<()>().await;
        });
    }
}

/// Keeps some requests outstanding.
struct Ping {
    socket: WeakSocket,
    payload: Bytes,
    options: Options,
    sent: u64,
    replies: u64,
    began: Instant,
    sent_at: Instant,
    times: Vec<u64>,
}

impl Actor for Ping {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.socket.subscribe(ctx);
    }
}

impl Handler<Received> for Ping {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Context<Self>) {
        self.replies += 1;
        if self.options.outstanding == 1 {
            let now = Instant::now();
            let time = now - std::mem::replace(&mut self.sent_at, now);
            self.times.push(time.as_nanos() as u64);
        }
        if self.sent < self.options.messages {
            self.sent += 1;
            let next = message.reply(self.payload.clone());
            next.expect("the peer reads");
        } else if self.replies == self.options.messages {
            if self.options.outstanding == 1 {
                tell_percentiles(std::mem::take(&mut self.times));
            } else {
                let rate = self.replies as f64 / self.began.elapsed().as_secs_f64();
                tell(format_args!("0 {rate}"));
            }
        }
    }
}

async fn ping(options: Options) {
    let socket = connect(&options, |_| ()).await.remove(0);
    let payload = Bytes::from(vec![7; options.bytes]);
    let outstanding = (options.outstanding as u64).min(options.messages);
    Ping {
        socket: socket.downgrade(),
        payload: payload.clone(),
        sent: outstanding,
        replies: 0,
        began: Instant::now(),
        sent_at: Instant::now(),
        times: Vec::with_capacity(options.messages as usize),
        options,
    }
    .start();
    for _ in 0..outstanding {
        socket.send(payload.clone()).await.expect("it is accepted");
    }
    std::future::pending::<()>().await;
}

struct Answers(WeakSocket);

impl Actor for Answers {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.0.serve::<Bytes>(ctx);
        let offer = self.0.offer("answers").expect("the socket is open");
        offer.serve::<Bytes>(ctx);
    }
}

impl Handler<Ask<Bytes>> for Answers {
    type Result = Answer<Bytes>;

    fn handle(&mut self, ask: Ask<Bytes>, _: &mut Context<Self>) -> Self::Result {
        Ok(ask.into_request())
    }
}

/// As many tasks as questions are to be outstanding, each with one at a time.
async fn ask(options: Options, by_name: bool) {
    let socket = connect(&options, |_| ()).await.remove(0);
    let service = socket.service("answers");
    if by_name {
        service.wait_for(1).await.expect("it is open");
    }
    let question = Bytes::from(vec![7; options.bytes]);
    let share = options.messages / options.outstanding as u64;
    let began = Instant::now();
    let tasks: Vec<_> = (0..options.outstanding)
        .map(|_| {
            let (socket, question) = (socket.clone(), question.clone());
            let service = service.clone();
            actix::spawn(async move {
                let mut times = Vec::with_capacity(share as usize);
                for _ in 0..share {
                    let asked = Instant::now();
                    let answer = match by_name {
                        true => service.ask(&question).await,
                        false => socket.ask(Whom::Any, &question).await,
                    };
                    assert_eq!(answer.expect("an answer").len(), question.len());
                    times.push(asked.elapsed().as_nanos() as u64);
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("it ran"));
    }
    if options.outstanding == 1 {
        tell_percentiles(times);
    } else {
        let rate = times.len() as f64 / began.elapsed().as_secs_f64();
        tell(format_args!("0 {rate}"));
    }
    std::future::pending::<()>().await;
}

async fn publish(options: Options) {
    let builder = Socket::builder().send_mode(SendMode::Publish);
    let socket = builder.start().expect("a system runs");
    bind(&socket, &options).await;
    let peers = socket.wait_for_peers(options.connections).await;
    peers.expect("they come");
    let payload = Bytes::from(vec![7; options.bytes]);
    for _ in 0..options.messages / options.connections as u64 {
        socket.send(payload.clone()).await.expect("it is accepted");
    }
    std::future::pending::<()>().await;
}

async fn idle_bind(options: Options) {
    let socket = Socket::start().expect("a system runs");
    let tally = Tally::new(u64::MAX);
    count(&socket, &tally);
    let before = resident();
    bind(&socket, &options).await;
    let peers = socket.wait_for_peers(options.connections).await;
    peers.expect("they come");
    tokio::time::sleep(QUIET).await;
    tell_memory(before, options.connections);
    std::future::pending::<()>().await;
}
