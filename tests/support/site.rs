//! An actix-web application that a socket is mounted in.
#![cfg(feature = "actix-web")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_aiomsg::prelude::*;
use actix_aiomsg::web::{self, Mount};
use actix_web::dev::{Server, ServerHandle};
use actix_web::{App, HttpServer};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within_patience;

/// Where the socket is mounted.
pub const PATH: &str = "/aiomsg";

/// A free port of the loopback.
pub const FREE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

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
        Self::run(address, server.run())
    }

    /// Serves the socket from one thread, at this address.
    pub fn at(address: SocketAddr, socket: &Socket) -> Self {
        let shared = socket.clone();
        let server = HttpServer::new(move || App::new().service(web::endpoint(PATH, &shared)))
            .workers(1)
            .disable_signals()
            .bind(address)
            .expect("a free port");
        let address = server.addrs()[0];
        Self::run(address, server.run())
    }

    /// The same behind the TLS of the web server.
    #[cfg(feature = "tls-dev")]
    pub fn secured_at(
        address: SocketAddr,
        socket: &Socket,
        tls: actix_aiomsg::tls::rustls::ServerConfig,
    ) -> Self {
        let shared = socket.clone();
        let server = HttpServer::new(move || App::new().service(web::endpoint(PATH, &shared)))
            .workers(1)
            .disable_signals()
            .on_connect(web::on_connect)
            .bind_rustls_0_23(address, tls)
            .expect("a free port");
        let address = server.addrs()[0];
        Self::run(address, server.run())
    }

    /// The same on a free port.
    #[cfg(feature = "tls-dev")]
    pub fn secured(socket: &Socket, tls: &actix_aiomsg::tls::TlsServer) -> Self {
        Self::secured_at(FREE, socket, (*tls.config()).clone())
    }

    fn run(address: SocketAddr, server: Server) -> Self {
        let handle = server.handle();
        actix::spawn(server);
        Self { address, handle }
    }

    /// Stops the web server: in order, or at once.
    pub async fn stop(&self, graceful: bool) {
        within_patience("the web server to stop", self.handle.stop(graceful)).await;
    }
}

/// All that a web server says to this request, which asks it to close.
pub async fn answer(address: SocketAddr, request: &str) -> String {
    let asking = async {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let asked = stream.write_all(request.as_bytes()).await;
        asked.expect("it reads");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer).await;
        read.expect("a text, and its end");
        answer
    };
    within_patience("an answer", asking).await
}

/// The status and the body of a page.
pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let answer = answer(address, &request).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status line");
    (status.parse().expect("a number"), body.to_owned())
}
