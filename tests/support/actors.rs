//! Handlers that tell a test what they are sent.

use actix::prelude::*;
use actix_aiomsg::Identity;
use actix_aiomsg::prelude::*;
use tokio::sync::mpsc;

use super::each::each;
use super::within_patience;

/// What a handler of [`collect`] has handled, in order.
pub struct Collected {
    messages: mpsc::UnboundedReceiver<(Identity, String)>,
}

/// Subscribes a handler actor that passes every message on to the test.
pub fn collect(socket: &Socket) -> Collected {
    subscribe(socket, |_| ())
}

/// Subscribes a handler actor that also replies to each message with its payload.
pub fn echo(socket: &Socket) -> Collected {
    subscribe(socket, |message| {
        let reply = message.reply(message.payload().clone());
        reply.expect("there is room for a reply");
    })
}

fn subscribe(socket: &Socket, on_message: impl Fn(&Received) + Unpin + 'static) -> Collected {
    let (sender, messages) = mpsc::unbounded_channel();
    each(socket, move |message| {
        on_message(&message);
        let text = String::from_utf8_lossy(message.payload()).into_owned();
        // A test that has ended needs no more messages.
        let _ = sender.send((message.peer(), text));
    });
    Collected { messages }
}

impl Collected {
    /// The next message: whom it was from, and the payload.
    pub async fn next(&mut self) -> (Identity, String) {
        within_patience("a message", self.messages.recv())
            .await
            .expect("the collector lives")
    }

    /// The payloads of the next `count` messages.
    pub async fn payloads(&mut self, count: usize) -> Vec<String> {
        let mut payloads = Vec::with_capacity(count);
        while payloads.len() < count {
            payloads.push(self.next().await.1);
        }
        payloads
    }

    /// The next message, if it has come.
    pub fn try_next(&mut self) -> Option<(Identity, String)> {
        self.messages.try_recv().ok()
    }

    /// Whether nothing more has come.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

/// Serves plain asks of texts, and answers each with what the test makes of it.
pub fn answer_each(socket: &Socket, answer: impl Fn(&Ask<String>) -> String + Unpin + 'static) {
    let socket = socket.downgrade();
    Answerer { socket, answer }.start();
}

struct Answerer<F> {
    socket: WeakSocket,
    answer: F,
}

impl<F: Fn(&Ask<String>) -> String + Unpin + 'static> Actor for Answerer<F> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.serve::<String>(ctx);
    }
}

impl<F: Fn(&Ask<String>) -> String + Unpin + 'static> Handler<Ask<String>> for Answerer<F> {
    type Result = Answer<String>;

    fn handle(&mut self, ask: Ask<String>, _: &mut Self::Context) -> Self::Result {
        Ok((self.answer)(&ask))
    }
}
