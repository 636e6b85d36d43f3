//! Sockets of a test, connected within the process, and what must not have happened to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::{Actor, Context, Handler};
use parking_lot::Mutex;

use super::line::FaultyLine;
use super::panics;
use crate::address::{Endpoint, ToEndpoint};
use crate::event::DeadLetter;
use crate::socket::Socket;
use crate::socket::SocketBuilder;

/// Sets up sockets within the process and watches them: their dead letters, and panics of this
/// thread's actix system.
#[derive(Debug)]
pub struct TestKit {
    letters: Arc<Mutex<Vec<DeadLetter>>>,
    system: usize,
    panics_before: usize,
}

struct Morgue(Arc<Mutex<Vec<DeadLetter>>>);

impl Actor for Morgue {
    type Context = Context<Self>;
}

impl Handler<DeadLetter> for Morgue {
    type Result = ();

    fn handle(&mut self, letter: DeadLetter, _: &mut Context<Self>) {
        self.0.lock().push(letter);
    }
}

impl Default for TestKit {
    fn default() -> Self {
        Self::new()
    }
}

impl TestKit {
    /// A kit whose watch begins now.
    pub fn new() -> Self {
        panics::watch();
        let system = panics::system();
        Self {
            letters: Arc::default(),
            system,
            panics_before: panics::of_system(system).len(),
        }
    }

    /// A socket to be set up, whose dead letters the kit collects.
    pub fn builder(&self) -> SocketBuilder {
        let morgue = Morgue(Arc::clone(&self.letters)).start();
        Socket::builder().on_dead_letter(morgue.recipient())
    }

    /// A socket with default settings.
    ///
    /// # Panics
    ///
    /// Outside of an actix system.
    pub fn socket(&self) -> Socket {
        self.builder().start().expect("a test runs in a system")
    }

    /// An endpoint within the process that nobody else has.
    ///
    /// # Panics
    ///
    /// Never: such an endpoint is always one.
    pub fn endpoint(&self) -> Endpoint {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mem://test-kit-{number}");
        name.to_endpoint().expect("it is one")
    }

    /// Two sockets with default settings, connected, the second one bound.
    ///
    /// # Panics
    ///
    /// Outside of an actix system.
    pub async fn pair(&self) -> (Socket, Socket) {
        let (client, server) = (self.socket(), self.socket());
        self.connect(&client, &server).await;
        (client, server)
    }

    /// Connects two sockets, the second one bound, and waits until they are.
    ///
    /// # Panics
    ///
    /// When one of them is closed.
    pub async fn connect(&self, client: &Socket, server: &Socket) {
        let endpoint = server.bind(self.endpoint()).await.expect("it is open");
        client.connect(endpoint).await.expect("it is open");
        meet(client, server).await;
    }

    /// Connects two sockets by a line that can be made to fail, and waits until they are connected.
    ///
    /// # Panics
    ///
    /// When one of them is closed.
    pub async fn connect_by_line(&self, client: &Socket, server: &Socket) -> FaultyLine {
        let server_end = server.bind(self.endpoint()).await.expect("it is open");
        let client_end = self.endpoint();
        let line = FaultyLine::between(&client_end, &server_end);
        client.connect(client_end).await.expect("it is open");
        meet(client, server).await;
        line
    }

    /// The dead letters of the kit's sockets so far.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.letters.lock().clone()
    }

    /// Every accepted message has arrived, or still may.
    ///
    /// # Panics
    ///
    /// When there were dead letters; it shows them.
    pub fn assert_no_dead_letters(&self) {
        let letters = self.dead_letters();
        assert!(letters.is_empty(), "dead letters: {letters:#?}");
    }

    /// Nothing has panicked in this system since the kit was made, supervised or not.
    ///
    /// # Panics
    ///
    /// When something did; it shows what.
    pub fn assert_no_panics(&self) {
        let panics = panics::of_system(self.system).split_off(self.panics_before);
        assert!(panics.is_empty(), "panics: {panics:#?}");
    }
}

/// Waits until two sockets are connected.
async fn meet(client: &Socket, server: &Socket) {
    for (one, other) in [(client, server), (server, client)] {
        let mut state = one.state();
        while !one.peers().iter().any(|peer| peer.peer == other.identity()) {
            state.changed().await.expect("the socket is open");
        }
    }
}
