//! A provider of services for tests: it answers as it is asked to.
#![cfg(feature = "json")]

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::service::Offer;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

use super::within_patience;

/// A question that says how it is to be answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    pub how: String,
}

/// Whose answer it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By(pub String);

/// A message that nobody answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sold {
    pub number: u64,
    /// The handler waits until it is told to go on.
    pub waits: bool,
}

actix_aiomsg::payload!(Order = "order " => By, By, Sold = "sold ");

pub fn sold(number: u64) -> Sold {
    Sold {
        number,
        waits: false,
    }
}

pub fn order(how: &str) -> Order {
    Order {
        how: how.to_owned(),
    }
}

/// Offers one service, and answers as it is asked to.
pub struct Provider {
    socket: WeakSocket,
    service: &'static str,
    instance: String,
    options: SubscribeOptions,
    max_queued: Option<usize>,
    max_queued_bytes: Option<usize>,
    told: mpsc::UnboundedSender<String>,
    go_on: Arc<Notify>,
}

impl Actor for Provider {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let offer = self.socket.offer(self.service).expect("the socket is open");
        let mut offer = offer.instance(&self.instance).expect("a short name");
        if let Some(max_queued) = self.max_queued {
            offer = offer.max_queued(max_queued);
        }
        if let Some(max_queued_bytes) = self.max_queued_bytes {
            offer = offer.max_queued_bytes(max_queued_bytes);
        }
        let offer = offer.serve_with::<Order>(ctx, self.options.clone());
        offer.handle::<Sold>(ctx);
    }
}

impl Handler<Ask<Order>> for Provider {
    type Result = ResponseFuture<Answer<Order>>;

    fn handle(&mut self, ask: Ask<Order>, _: &mut Context<Self>) -> Self::Result {
        // A test that has ended listens no more.
        let _ = self.told.send(ask.how.clone());
        assert_ne!(ask.how, "panic", "on demand");
        let (go_on, instance) = (Arc::clone(&self.go_on), self.instance.clone());
        Box::pin(async move {
            match &ask.how[..] {
                "wait" => go_on.notified().await,
                "slow" => tokio::time::sleep(Duration::from_millis(20)).await,
                "refuse" => return Err(AskFailure::new("sold out")),
                _ => {}
            }
            Ok(By(instance))
        })
    }
}

impl Handler<Received<Sold>> for Provider {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, sold: Received<Sold>, _: &mut Context<Self>) -> Self::Result {
        let origin = sold.origin().map(|(peer, id)| format!("{peer} {id}"));
        let told = format!("{} {}", sold.number, origin.unwrap_or_default());
        // A test that has ended listens no more.
        let _ = self.told.send(told);
        let (go_on, waits) = (Arc::clone(&self.go_on), sold.waits);
        Box::pin(async move {
            if waits {
                go_on.notified().await;
            }
        })
    }
}

/// A socket that offers a service, and what its handler is told.
pub struct Shop {
    pub socket: Socket,
    pub endpoint: String,
    pub actor: Addr<Provider>,
    told: mpsc::UnboundedReceiver<String>,
    go_on: Arc<Notify>,
}

/// How a shop is opened.
#[derive(Clone)]
pub struct Opening {
    pub service: &'static str,
    pub instance: String,
    pub options: SubscribeOptions,
    pub max_queued: Option<usize>,
    pub max_queued_bytes: Option<usize>,
}

impl Opening {
    pub fn new(instance: &str) -> Self {
        Self {
            service: "inventory",
            instance: instance.to_owned(),
            options: SubscribeOptions::default(),
            max_queued: None,
            max_queued_bytes: None,
        }
    }
}

impl Shop {
    pub async fn open(instance: &str) -> Self {
        Self::with(Opening::new(instance)).await
    }

    pub async fn with(opening: Opening) -> Self {
        Self::on(Socket::start().expect("a socket"), opening).await
    }

    pub async fn on(socket: Socket, opening: Opening) -> Self {
        let (told, telling) = mpsc::unbounded_channel();
        let go_on = Arc::new(Notify::new());
        let weak = socket.downgrade();
        let proceed = Arc::clone(&go_on);
        let factory = move || Provider {
            socket: weak.clone(),
            service: opening.service,
            instance: opening.instance.clone(),
            options: opening.options.clone(),
            max_queued: opening.max_queued,
            max_queued_bytes: opening.max_queued_bytes,
            told: told.clone(),
            go_on: Arc::clone(&proceed),
        };
        let every = Backoff::fixed(Duration::from_millis(1));
        let actor = supervise(factory).backoff(every).start();
        let endpoint = socket.bind("tcp://127.0.0.1:0").await.expect("a port");
        Self {
            socket,
            endpoint: endpoint.to_string(),
            actor,
            told: telling,
            go_on,
        }
    }

    /// What the handler is asked next.
    pub async fn told(&mut self) -> String {
        let told = within_patience("the service to be asked", self.told.recv()).await;
        told.expect("the shop is open")
    }

    /// What the handler was asked so far.
    pub fn asked(&mut self) -> usize {
        let mut asked = 0;
        while self.told.try_recv().is_ok() {
            asked += 1;
        }
        asked
    }

    /// One handler that waits goes on.
    pub fn go_on(&self) {
        self.go_on.notify_one();
    }

    /// Withdraws the service.
    pub fn withdraw(&self) {
        self.offer().withdraw();
    }

    pub fn offer(&self) -> Offer {
        self.socket.offer("inventory").expect("it is open")
    }
}

/// A socket that is connected to these shops, and knows all of them.
pub async fn customer(shops: &[&Shop]) -> Socket {
    let socket = Socket::start().expect("a socket");
    for shop in shops {
        socket
            .connect(&shop.endpoint[..])
            .await
            .expect("an endpoint");
    }
    let inventory = socket.service("inventory");
    within_patience("the shops to be known", inventory.wait_for(shops.len()))
        .await
        .expect("it is open");
    socket
}
