//! Peers over WebSocket that come in with a token: in their cookie, in the query, or not at all.
//!
//! Run with `cargo run --example browser_token`. A page of the same host connects with
//! `new WebSocket("ws://host:port/")`, and its browser sends the cookie along; where there is none,
//! `new WebSocket("ws://host:port/?token=…")` does it, over TLS if the token is a secret. Here the
//! part of the browser is played by a socket of ours and by a few lines of another WebSocket
//! implementation.

#[macro_use]
#[path = "support/say.rs"]
mod say;

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use actix_aiomsg::prelude::*;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Who a session belongs to, kept with the peer and so with each of its messages.
struct User(String);

/// Sessions by their tokens; an application has them in its database.
type Sessions = Arc<HashMap<&'static str, &'static str>>;

async fn admit(sessions: &Sessions, peer: Candidate) -> Admission {
    let Some(request) = &peer.request else {
        return Admission::refuse("not a browser");
    };
    let in_query = request.query_value("token");
    let token = request.cookie("session").or(in_query.as_deref());
    match token.and_then(|token| sessions.get(token)) {
        Some(user) => Admission::admit().with_principal(User((*user).to_owned())),
        None => Admission::refuse("no session with this token"),
    }
}

/// Browsers that come in with a token in their cookie or in the query, and one that does not.
#[derive(clap::Parser)]
struct Options;

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Options = clap::Parser::parse();
    let sessions = Sessions::new(HashMap::from([("7f3a", "ada"), ("c21e", "grace")]));
    let server = Socket::builder()
        .authorize(async move |peer: Candidate| admit(&sessions, peer).await)
        .start()?;
    let endpoint = server.bind("127.0.0.1:0").await?;
    let port = endpoint.port().unwrap_or_default();

    // In the query.
    let ada = Socket::start()?;
    ada.connect(format!("ws://127.0.0.1:{port}/?token=7f3a"))
        .await?;
    ada.send("hello").await?;
    greet(&server).await?;

    // In a cookie, as a browser has it.
    browse(port, "session=c21e").await?;
    greet(&server).await?;

    // Without a session nobody comes in.
    println!("a guess: {}", browse(port, "session=guess").await?);
    Ok(())
}

async fn greet(server: &Socket) -> Result<(), Box<dyn Error>> {
    let message = server.recv().await?;
    let user = message.principal::<User>().ok_or("everybody has a user")?;
    println!("{}: {}", user.0, message.text()?);
    Ok(())
}

/// Says HELLO and one message; yields how the other end answered.
async fn browse(port: u16, cookie: &str) -> Result<String, Box<dyn Error>> {
    let mut request = format!("ws://127.0.0.1:{port}/").into_client_request()?;
    request.headers_mut().insert("Cookie", cookie.parse()?);
    let (mut stream, _) = connect_async(request).await?;
    let hello = b"\0\0\0\x12\x01\x01a browser's name";
    let data = b"\0\0\0\x06\x03hello";
    let said = Message::binary([&hello[..], &data[..]].concat());
    stream.send(said).await?;
    Ok(match stream.next().await.ok_or("no answer")?? {
        Message::Close(Some(close)) => format!("refused with code {}", u16::from(close.code)),
        _ => "admitted".to_owned(),
    })
}
