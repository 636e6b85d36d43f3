//! Mutual TLS in which a certificate decides who its holder is: workers that prove their names, and
//! one that claims another's.
//!
//! Run with `cargo run --example mutual_tls --features tls-dev`. The authority is made up for the
//! run; with real files, `Tls::server("server.pem", "server.key").client_ca("ca.pem").build()` and
//! `Tls::client().ca("ca.pem").certificate("worker.pem", "worker.key").build()` take its place.

#[macro_use]
#[path = "support/say.rs"]
mod say;

use std::error::Error;

use actix_aiomsg::prelude::*;

/// The identity of whoever holds a certificate with this common name.
fn identity_of(worker: &str) -> Identity {
    Identity::from_name(&format!("cn:{worker}"))
}

/// Mutual TLS, with identities from certificates: nobody can be somebody else.
#[derive(clap::Parser)]
struct Options;

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Options = clap::Parser::parse();
    let authority = Tls::dev();
    let office = Socket::builder()
        .authorize(identity_from_certificate)
        .start()?;
    let options = BindOptions::new().tls(authority.mutual_server());
    let endpoint = office.bind_with("tls://127.0.0.1:0", options).await?;

    let ada = worker(&authority, "ada", &endpoint, Identity::random()).await?;
    // Whatever it claims, Mallory's certificate says who he is.
    let mallory = worker(&authority, "mallory", &endpoint, identity_of("ada")).await?;

    office.send_to(identity_of("ada"), "the secret").await?;
    office
        .send_to(identity_of("mallory"), "nothing much")
        .await?;
    println!("ada got: {}", ada.recv().await?.text()?);
    println!("mallory got: {}", mallory.recv().await?.text()?);

    mallory.send("I am ada").await?;
    let message = office.recv().await?;
    let certificate = message.certificates().and_then(|chain| chain.name());
    let name = certificate.ok_or("every peer has a certificate here")?;
    println!("the office got {:?} from {name}", message.text()?);
    Ok(())
}

/// A connected worker with a certificate of its own, which claims an identity.
async fn worker(
    authority: &TlsDev,
    name: &str,
    endpoint: &Endpoint,
    claims: Identity,
) -> Result<Socket, Box<dyn Error>> {
    let socket = Socket::builder().identity(claims).start()?;
    let options = ConnectOptions::new().tls(authority.client_named(name));
    socket.connect_with(endpoint, options).await?;
    socket.wait_for_peers(1).await?;
    Ok(socket)
}
