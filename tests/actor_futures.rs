//! Sends and asks as futures of an actor, which borrow nothing.

mod support;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use support::within_patience;
use tokio::sync::mpsc;

/// Sends, asks, and tells what came of it.
struct Asker {
    socket: WeakSocket,
    told: mpsc::UnboundedSender<String>,
}

impl Actor for Asker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let socket = self.socket.upgrade().unwrap();
        for text in ["one", "two"] {
            let sending = socket.send(text).into_actor(self);
            ctx.spawn(sending.map(|sent, asker, _| {
                sent.unwrap();
                asker.told.send("sent".to_owned()).unwrap();
            }));
        }
        let asking = socket.ask(Whom::Any, &"who?".to_owned());
        ctx.wait(asking.into_actor(self).map(|answer, asker, _| {
            asker.told.send(answer.unwrap()).unwrap();
        }));
    }
}

/// Sends one more when it is told to, and answers when that is queued.
#[derive(Message)]
#[rtype(result = "Result<(), actix_aiomsg::error::SendError>")]
struct SendOne;

impl Handler<SendOne> for Asker {
    type Result = ResponseActFuture<Self, Result<(), actix_aiomsg::error::SendError>>;

    fn handle(&mut self, _: SendOne, _: &mut Self::Context) -> Self::Result {
        let socket = self.socket.upgrade().unwrap();
        Box::pin(socket.send("three").into_actor(self))
    }
}

/// Connects, waits, has messages acknowledged and receives, all in the context of the actor, by a socket upgraded for each.
struct Courier {
    socket: WeakSocket,
    server: Endpoint,
    told: mpsc::UnboundedSender<String>,
}

impl Actor for Courier {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let socket = self.socket.upgrade().unwrap();
        let connecting = socket.connect(self.server.clone()).into_actor(self);
        ctx.spawn(connecting.map(|connected, _, _| connected.unwrap()));
        let waiting = socket.wait_for_peers(1).into_actor(self);
        ctx.spawn(waiting.map(|came, _, _| came.unwrap()));
        let receipt = socket.send("one").receipt().into_actor(self);
        ctx.spawn(receipt.map(|receipt, _, _| drop(receipt.unwrap())));
        let sending = socket.send("two").acknowledged().into_actor(self);
        ctx.spawn(sending.map(|handled, _, _| handled.unwrap()));
        let typed = socket.send_typed(&"three".to_owned()).acknowledged();
        ctx.spawn(typed.into_actor(self).map(|handled, courier, _| {
            handled.unwrap();
            courier.told.send("handled".to_owned()).unwrap();
        }));
        let flushing = socket.flush().into_actor(self);
        ctx.spawn(flushing.map(|flushed, _, _| flushed.unwrap()));
        let receiving = socket.recv().into_actor(self);
        ctx.spawn(receiving.map(|message, courier, ctx| {
            let told = message.unwrap().text().unwrap().to_owned();
            courier.told.send(told).unwrap();
            let closing = courier.socket.upgrade().unwrap().close();
            ctx.spawn(closing.into_actor(courier).map(|report, courier, _| {
                courier.told.send(format!("sent {}", report.sent)).unwrap();
            }));
        }));
    }
}

#[actix::test]
async fn an_actor_awaits_in_its_own_context_whatever_a_socket_does() {
    let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
    let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
    let (told, mut heard) = mpsc::unbounded_channel();
    let socket = client.downgrade();
    let _courier = Courier {
        socket,
        server: endpoint,
        told,
    }
    .start();
    for text in ["one", "two", "three"] {
        let message = within_patience("a message", server.recv()).await.unwrap();
        assert_eq!(message.text(), Ok(text));
    }
    let told = within_patience("the courier", heard.recv()).await;
    assert_eq!(told.as_deref(), Some("handled"));
    server.send("welcome").await.unwrap();
    let told = within_patience("the courier", heard.recv()).await;
    assert_eq!(told.as_deref(), Some("welcome"));
    let told = within_patience("the courier", heard.recv()).await;
    assert_eq!(told.as_deref(), Some("sent 3"));
}

#[actix::test]
async fn the_futures_of_a_socket_run_on_any_thread() {
    fn any_thread<F: Future + Send + 'static>(_: F) {}
    let socket = Socket::start().unwrap();
    any_thread(socket.send("one").receipt());
    any_thread(socket.send("one").acknowledged());
    any_thread(socket.recv());
    any_thread(socket.bind("tcp://127.0.0.1:0"));
    any_thread(socket.unbind("tcp://127.0.0.1:0"));
    any_thread(socket.connect("tcp://127.0.0.1:1"));
    any_thread(socket.stop_connecting("tcp://127.0.0.1:1"));
    any_thread(socket.disconnect(socket.identity()));
    any_thread(socket.inspect());
    any_thread(socket.wait_for_peers(1));
    any_thread(socket.flush());
    any_thread(socket.close());
}

struct Answerer(WeakSocket);

impl Actor for Answerer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.serve::<String>(ctx);
    }
}

impl Handler<Ask<String>> for Answerer {
    type Result = Answer<String>;

    fn handle(&mut self, ask: Ask<String>, _: &mut Self::Context) -> Self::Result {
        Ok(format!("you asked {}", *ask))
    }
}

#[actix::test]
async fn an_actor_sends_and_asks_in_its_own_context() {
    let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
    let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    let _answerer = Answerer(server.downgrade()).start();
    let (told, mut heard) = mpsc::unbounded_channel();
    let socket = client.downgrade();
    let asker = Asker { socket, told }.start();
    // What the context waits for goes first.
    for expected in ["you asked who?", "sent", "sent"] {
        let told = within_patience("the asker", heard.recv()).await;
        assert_eq!(told.as_deref(), Some(expected));
    }
    asker.send(SendOne).await.unwrap().unwrap();
    for text in ["one", "two", "three"] {
        let message = within_patience("a message", server.recv()).await.unwrap();
        assert_eq!(message.text(), Ok(text));
    }
}
