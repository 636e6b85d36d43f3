//! What a WebSocket peer can do wrong, or right and unusual, frame by frame.

use super::host::Host;
use super::python::{script, succeeds};

/// Plays `tests/python/websocket_cases.py` with these options against the host's address. Every
/// case ends as it should, and the good peer is served all the while.
pub async fn every_rule_is_kept(host: &Host, options: &[&str]) {
    let port = host.address.port().to_string();
    let mut cases = script("websocket_cases.py", &[&[&port[..]], options].concat()).await;
    let (mut count, mut wrong) = (0, Vec::new());
    while let Some(line) = cases.stdout.as_mut().expect("it is read").next().await {
        count += 1;
        println!("{line}");
        if !line.ends_with("as expected") {
            wrong.push(line);
        }
        host.still_serves().await;
    }
    succeeds(cases).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 50, "{count} cases");
    // What a pinging peer is owed, and what a broken frame left behind, is gone.
    super::eventually("the end of all but the good peer", || {
        host.socket.stats().connections == 1
    })
    .await;
}
