//! Facts of a connection, kept for the requests that come by it.

use std::any::Any;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;

use crate::transport::verified_chain;

/// Keeps the certificate that a client has proved to own, for
/// [`HttpServer::on_connect`](actix_web::HttpServer::on_connect): a peer of a [`Mount`](super::Mount)
/// then has it as if it had come to a port of the socket's own, in
/// [`Candidate::certificates`](crate::authorize::Candidate::certificates),
/// [`PeerEvent::Up`](crate::PeerEvent::Up) and
/// [`Received::certificates`](crate::Received::certificates).
///
/// It knows the server's own TLS over rustls, and does nothing for other connections. An application
/// that has a function of its own there calls this one from it. Where other software does the TLS,
/// such a function puts a [`CertificateChain`](crate::transport::CertificateChain) into `data` itself, if that software has verified it.
///
/// Whether clients need a certificate, and which are good, is decided by the server's configuration,
/// for which [`Tls::server`](crate::tls::Tls::server) can be of use:
///
/// ```no_run
/// use actix_aiomsg::{prelude::*, web};
/// use actix_web::{App, HttpServer};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let socket = Socket::builder().authorize(identity_from_certificate).start()?;
/// let tls = Tls::server("server.pem", "server.key").client_ca("clients.pem").build()?;
/// HttpServer::new(move || App::new().service(web::endpoint("/aiomsg", &socket)))
///     .on_connect(web::on_connect)
///     .bind_rustls_0_23("127.0.0.1:8443", (*tls.config()).clone())?
///     .run()
///     .await?;
/// # Ok(()) }
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub fn on_connect(connection: &dyn Any, data: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<TlsStream<TcpStream>>() else {
        return;
    };
    if let Some(chain) = verified_chain(stream.get_ref().1) {
        data.insert(chain);
    }
}
