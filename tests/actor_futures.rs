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
