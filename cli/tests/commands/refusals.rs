//! What is told of peers that are refused.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{aiomsg, listening, port_of, within_patience};

/// A frame of another type than HELLO.
const NO_HELLO: [u8; 6] = [0, 0, 0, 2, 0x77, 0];

/// A stranger who says this, and waits for the end.
async fn knock(port: u16, words: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(words).await.unwrap();
    // A refusal may have been a reset.
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn strangers_that_are_refused_have_a_line_a_minute_and_those_that_say_nothing_have_none() {
    let mut sub = aiomsg("sub --bind tcp://127.0.0.1:0");
    let port = port_of(&listening(&mut sub).await);
    for _ in 0..5 {
        within_patience("an end", knock(port, &[])).await;
        within_patience("an end", knock(port, &NO_HELLO)).await;
    }
    // Refused for another reason.
    within_patience("an end", knock(port, b"SSH-2.0")).await;
    let last = sub.stderr.find(|line| line.contains("4 more")).await;
    assert!(last.contains("another protocol"), "{last}");
    sub.signal("TERM");
    assert_eq!(sub.exit().await.code(), Some(0));
    let complaint = sub.complaint().await;
    assert!(!complaint.contains("refused"), "{complaint}");
}
