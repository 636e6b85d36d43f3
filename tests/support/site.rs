//! An actix-web application that a socket is mounted in.
#![cfg(feature = "actix-web")]

use std::net::SocketAddr;

use actix_aiomsg::prelude::*;
use actix_aiomsg::web::{self, Mount};
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};

use super::within_patience;

/// Where the socket is mounted.
pub const PATH: &str = "/aiomsg";

/// A running web server.
pub struct Site {
    pub address: SocketAddr,
    pub handle: ServerHandle,
}

impl Site {
    /// Serves the socket from `workers` threads, on a free port.
    pub fn start(socket: &Socket, workers: usize) -> Self {
        Self::with(socket, workers, |mount| mount)
    }

    /// The same with options of the mount.
    pub fn with(
        socket: &Socket,
        workers: usize,
        options: impl Fn(Mount) -> Mount + Clone + Send + 'static,
    ) -> Self {
        let shared = socket.clone();
        let app = move || App::new().service(options(web::endpoint(PATH, &shared)));
        let server = HttpServer::new(app)
            .workers(workers)
            .disable_signals()
            .shutdown_timeout(20)
            .bind("127.0.0.1:0")
            .expect("a free port");
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix::spawn(server);
        Self { address, handle }
    }

    /// Stops the web server: in order, or at once.
    pub async fn stop(&self, graceful: bool) {
        within_patience("the web server to stop", self.handle.stop(graceful)).await;
    }
}
