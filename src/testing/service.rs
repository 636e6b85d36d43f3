//! Services of a test, whose instances are busy, hang or go down when the test says so.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::{Actor, Context, Handler};
use parking_lot::Mutex;

use super::kit::TestKit;
use super::line::FaultyLine;
use crate::ask::{Answer, Ask, AskRequest};
use crate::socket::{Offer, Service, Socket, WeakSocket};

/// Time between two looks at what a consumer knows.
const LOOK: Duration = Duration::from_millis(1);
/// Messages that an instance of a test has room for.
const ROOM: usize = 1024;

/// A service by its name, which instances of the test's own offer.
#[derive(Debug)]
pub struct TestService<'a> {
    kit: &'a TestKit,
    name: String,
}

/// One instance of a service, on a socket of its own.
pub struct TestInstance {
    service: String,
    name: String,
    socket: Socket,
    offer: Offer,
    lines: Mutex<Vec<FaultyLine>>,
    asked: Arc<AtomicUsize>,
}

impl fmt::Debug for TestInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestInstance")
            .field("service", &self.service)
            .field("name", &self.name)
            .field("lines", &self.lines)
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

/// Answers asks of one type by a function.
struct Answering<Q, F> {
    socket: WeakSocket,
    service: String,
    answer: F,
    asked: Arc<AtomicUsize>,
    request: PhantomData<fn(Q)>,
}

impl<Q, F> Actor for Answering<Q, F>
where
    Q: AskRequest,
    F: FnMut(Q) -> Answer<Q> + Unpin + 'static,
{
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // A socket that was closed meanwhile offers nothing.
        if let Ok(offer) = self.socket.offer(&self.service) {
            offer.serve::<Q>(ctx);
        }
    }
}

impl<Q, F> Handler<Ask<Q>> for Answering<Q, F>
where
    Q: AskRequest,
    F: FnMut(Q) -> Answer<Q> + Unpin + 'static,
{
    type Result = Answer<Q>;

    fn handle(&mut self, ask: Ask<Q>, _: &mut Context<Self>) -> Answer<Q> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        (self.answer)(ask.into_request())
    }
}

impl TestKit {
    /// A service of the test's own, by the name under which it is asked.
    pub fn service(&self, name: &str) -> TestService<'_> {
        TestService {
            kit: self,
            name: name.to_owned(),
        }
    }
}

impl TestService<'_> {
    /// Starts an instance of this name that answers asks of one type.
    ///
    /// # Panics
    ///
    /// When a name is empty or longer than 255 bytes, and outside of an actix system.
    pub fn instance<Q: AskRequest>(
        &self,
        name: &str,
        answer: impl FnMut(Q) -> Answer<Q> + Unpin + 'static,
    ) -> TestInstance {
        let socket = self.kit.socket();
        let offer = socket.offer(&self.name);
        let offer = offer.and_then(|offer| offer.instance(name));
        let offer = offer.expect("names have 1 to 255 bytes").max_queued(ROOM);
        let asked = Arc::new(AtomicUsize::new(0));
        let answering = Answering {
            socket: socket.downgrade(),
            service: self.name.clone(),
            answer,
            asked: Arc::clone(&asked),
            request: PhantomData,
        };
        answering.start();
        TestInstance {
            service: self.name.clone(),
            name: name.to_owned(),
            socket,
            offer,
            lines: Mutex::default(),
            asked,
        }
    }

    /// Connects a socket to an instance, by a line of its own, and waits until it may ask it.
    ///
    /// # Panics
    ///
    /// When the socket is closed.
    pub async fn connect(&self, consumer: &Socket, instance: &TestInstance) {
        let service = consumer.service(&self.name);
        let line = self.kit.connect_by_line(consumer, &instance.socket).await;
        instance.lines.lock().push(line);
        while !instance.is_known_to(&service) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl TestInstance {
    /// Asks that have reached its handler so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Has no room from now on: whoever asks it is told at once that it is busy.
    pub fn make_busy(&self) {
        // Its bound is that of the offer, of which this is another handle.
        let _ = self.offer.clone().max_queued(0);
    }

    /// Has room again.
    pub fn make_ready(&self) {
        let _ = self.offer.clone().max_queued(ROOM);
    }

    /// Says and hears nothing from now on, as a process that was stopped; its connections stay.
    pub fn hang(&self) {
        self.lines.lock().iter().for_each(FaultyLine::stall);
    }

    /// Goes on, with what came meanwhile.
    pub fn resume(&self) {
        self.lines.lock().iter().for_each(FaultyLine::resume);
    }

    /// Ends its connections without a word, for good, as a process that was killed. Another instance of the same name
    /// may come after it.
    pub fn take_down(self) {
        self.lines.lock().iter().for_each(FaultyLine::cut);
    }

    fn is_known_to(&self, service: &Service) -> bool {
        let known = service.instances();
        known
            .iter()
            .any(|known| known.peer == self.socket.identity())
    }
}
