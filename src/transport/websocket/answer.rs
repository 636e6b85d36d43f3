//! Answers of the bind end to HTTP requests.

use std::io;

use tokio::io::AsyncWriteExt;

use super::stream::Stream;
use crate::address::UpgradeFault;
use crate::transport::error::TransportError;
use crate::transport::graceful_close::close_gracefully;

const fn phrase(fault: UpgradeFault) -> &'static str {
    match fault.status() {
        426 => "Upgrade Required",
        403 => "Forbidden",
        431 => "Request Header Fields Too Large",
        _ => "Bad Request",
    }
}

/// One paragraph of that page.
const fn explanation(fault: UpgradeFault) -> &'static str {
    match fault {
        UpgradeFault::PlainGet => {
            "Programs exchange messages here, over the aiomsg protocol, on plain sockets or \
             WebSocket. There is nothing to see in a browser's address bar: a page connects \
             with <code>new WebSocket(url)</code>."
        }
        UpgradeFault::Version => "This port speaks version 13 of WebSocket and no other.",
        UpgradeFault::NoUpgrade => {
            "A WebSocket request is HTTP/1.1 and has the header <code>Upgrade: \
             websocket</code>. A proxy in between may have removed it."
        }
        UpgradeFault::NoConnection => {
            "A WebSocket request has the header <code>Connection: Upgrade</code>. A proxy in \
             between may have removed it."
        }
        UpgradeFault::Key => {
            "A WebSocket request has one header <code>Sec-WebSocket-Key</code> with 16 bytes \
             in base64."
        }
        UpgradeFault::Origin => "This port does not serve pages of your origin.",
        UpgradeFault::TooLong => "The header of a request may have 8 KiB and 100 fields here.",
        UpgradeFault::Malformed => "This is not an HTTP request that can be understood.",
    }
}

/// The page that a person reads who opens the port in a browser.
pub(crate) fn page(fault: UpgradeFault) -> String {
    let (status, phrase) = (fault.status(), phrase(fault));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{status} {phrase}</title>\n<h1>This is a message socket</h1>\n<p>{}</p>\n\
         </html>\n",
        explanation(fault)
    )
}

/// Agrees: what follows are frames.
pub(super) async fn switch(stream: &mut impl Stream, accept: &str) -> Result<(), TransportError> {
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    write(stream, &answer)
        .await
        .map_err(TransportError::io("answering a WebSocket upgrade"))
}

/// Says what is wrong, and closes once that was read.
pub(super) async fn refuse(mut stream: impl Stream, fault: UpgradeFault) {
    let (status, phrase, page) = (fault.status(), phrase(fault), page(fault));
    let upgrade = match status {
        426 => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade, close\r\n",
        _ => "Connection: close\r\n",
    };
    let answer = format!(
        "HTTP/1.1 {status} {phrase}\r\n{upgrade}\
         Content-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    );
    // A peer that is gone needs no answer.
    if write(&mut stream, &answer).await.is_ok() {
        close_gracefully(stream).await;
    }
}

async fn write(stream: &mut impl Stream, answer: &str) -> io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    stream.flush().await
}
