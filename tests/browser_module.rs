//! What the module of `examples/browser` does, in Chromium and against sockets of ours.

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use actix_aiomsg::prelude::*;
use actix_aiomsg::web;
use actix_web::{App, HttpResponse, HttpServer};
use serde_json::json;
use support::actors::{collect, echo};
use support::proxy::{Fault, FaultProxy};
use support::webdriver::Browser;
use support::{eventually, within_patience};

const MODULE: &str = include_str!("../examples/browser/aiomsg.js");

/// Serves a page with nothing on it, the module, and each socket on its path; and opens the page.
async fn open(sockets: &[(&'static str, &Socket)]) -> (Browser, SocketAddr) {
    let address = serve(sockets);
    let browser = Browser::start().await;
    browser.open(&format!("http://{address}/")).await;
    (browser, address)
}

fn serve(sockets: &[(&'static str, &Socket)]) -> SocketAddr {
    let sockets: Vec<_> = sockets
        .iter()
        .map(|(path, socket)| (*path, (*socket).clone()))
        .collect();
    let server = HttpServer::new(move || {
        let page = async || {
            HttpResponse::Ok()
                .content_type("text/html")
                .body("<title>t</title>")
        };
        let module = async || {
            HttpResponse::Ok()
                .content_type("text/javascript")
                .body(MODULE)
        };
        let app = App::new()
            .route("/", actix_web::web::get().to(page))
            .route("/aiomsg.js", actix_web::web::get().to(module));
        sockets.iter().fold(app, |app, (path, socket)| {
            app.service(web::endpoint(path, socket))
        })
    });
    let server = server
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .expect("a free port");
    let address = server.addrs()[0];
    actix::spawn(server.run());
    address
}

async fn receive(socket: &Socket) -> Received {
    within_patience("a message", socket.recv()).await.unwrap()
}

#[actix::test]
async fn large_messages_go_both_ways_whole() {
    let socket = Socket::start().unwrap();
    let (browser, _) = open(&[("/aiomsg", &socket)]).await;
    let exchange = browser.run(
        "const socket = aiomsg.connect('/aiomsg', { delivery: 'at-least-once' });
         const large = Uint8Array.from({ length: given.bytes }, (_, index) => index * 7 % 251);
         const sent = socket.send(large);
         for await (const message of socket) {
           await sent;
           const same = message.payload.every((byte, index) => byte === large[index]);
           return { same, length: message.payload.length, stats: socket.stats };
         }",
        json!({ "bytes": 5_000_000 }),
    );
    let answer = async {
        let message = receive(&socket).await;
        let expected = |(index, byte): (usize, &u8)| usize::from(*byte) == index * 7 % 251;
        assert_eq!(message.payload().len(), 5_000_000);
        assert!(message.payload().iter().enumerate().all(expected));
        message.reply(message.payload().clone()).unwrap();
    };
    let (told, ()) = tokio::join!(exchange, answer);
    assert_eq!(told["same"], true);
    assert_eq!(told["length"], 5_000_000);
    assert_eq!(told["stats"]["acknowledged"], 1);
}

#[actix::test]
async fn typed_messages_have_their_topic_and_their_value_apart() {
    let socket = Socket::start().unwrap();
    let (browser, _) = open(&[("/socket", &socket)]).await;
    let talking = browser.run(
        "const socket = aiomsg.connect('/socket', { topics: ['order ', 'order for '] });
         await socket.send(aiomsg.typed('order ', { id: 7 }));
         const told = [];
         for await (const message of socket) {
           told.push([message.topic, message.json()]);
           if (told.length === 3) break;
         }
         return told;",
        json!({}),
    );
    let answering = async {
        let message = receive(&socket).await;
        assert_eq!(message.text(), Ok(r#"order {"id":7}"#));
        for answer in ["order 1", "order for [2]", "3"] {
            message.reply(answer).unwrap();
        }
    };
    let (told, ()) = tokio::join!(talking, answering);
    assert_eq!(told, json!([["order ", 1], ["order for ", [2]], ["", 3]]));
}

#[actix::test]
async fn one_socket_deals_to_several_publishes_to_all_and_addresses_one() {
    let (one, two) = (Socket::start().unwrap(), Socket::start().unwrap());
    let (mut at_one, mut at_two) = (echo(&one), echo(&two));
    let (browser, _) = open(&[("/one", &one), ("/two", &two)]).await;
    let told = browser
        .run(
            "const socket = aiomsg.connect('/one').connect('/two');
             await socket.waitForPeers(2);
             for (let count = 0; count < 40; count += 1) socket.send(`dealt ${count}`);
             for (let count = 0; count < 10; count += 1) socket.publish(`news ${count}`);
             await socket.sendTo(given.two, 'for two alone');
             const peers = { };
             let count = 0;
             for await (const message of socket) {
               peers[message.peer] = (peers[message.peer] ?? 0) + 1;
               count += 1;
               if (count === 61) break;
             }
             return { peers, identity: socket.identity, closed: await socket.close() };",
            json!({ "two": two.identity().to_string() }),
        )
        .await;
    assert_eq!(told["peers"][one.identity().to_string()], 30);
    assert_eq!(told["peers"][two.identity().to_string()], 31);
    assert_eq!(told["closed"]["unsent"], 0);
    let (at_one, at_two) = (at_one.payloads(30).await, at_two.payloads(31).await);
    let dealt = |payloads: &[String]| -> Vec<u32> {
        let number = |payload: &String| payload.strip_prefix("dealt ")?.parse().ok();
        payloads.iter().filter_map(number).collect()
    };
    let mut shares = [dealt(&at_one), dealt(&at_two)];
    shares.sort();
    assert!(shares[0].iter().copied().eq((0..40).step_by(2)));
    assert!(shares[1].iter().copied().eq((1..40).step_by(2)));
    for payloads in [&at_one, &at_two] {
        let news = payloads
            .iter()
            .filter(|payload| payload.starts_with("news"));
        assert!(news.eq(&(0..10).map(|n| format!("news {n}")).collect::<Vec<_>>()));
    }
    assert_eq!(at_two.last().map(String::as_str), Some("for two alone"));
    // The close was orderly.
    eventually("both to be alone", || {
        one.peers().is_empty() && two.peers().is_empty()
    })
    .await;
}

#[actix::test]
async fn at_least_once_loses_nothing_either_way_when_connections_are_cut() {
    const MESSAGES: u64 = 300;
    let socket = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .resend_timeout(Duration::from_millis(500))
        .start()
        .unwrap();
    let mut collected = collect(&socket);
    let (browser, address) = open(&[("/aiomsg", &socket)]).await;
    let proxy = FaultProxy::start(address);
    let talking = browser.run(
        "const socket = aiomsg.connect(given.url, { delivery: 'at-least-once', resendTimeout: 500, reconnect: [10, 50] });
         const heard = new Set();
         const sending = (async () => {
           const sent = [];
           for (let count = 0; count < given.messages; count += 1) {
             sent.push(socket.send(`theirs ${count}`));
             await new Promise((done) => setTimeout(done, 3));
           }
           await Promise.all(sent);
         })();
         for await (const message of socket) {
           heard.add(message.text());
           if (heard.size < given.messages) continue;
           message.ack();
           break;
         }
         await sending;
         return { heard: [...heard], stats: socket.stats, left: socket.unacknowledged };",
        json!({ "url": format!("ws://{}/aiomsg", proxy.address()), "messages": MESSAGES }),
    );
    let sending = async {
        for number in 0..MESSAGES {
            socket.send(format!("ours {number}")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    let cutting = async {
        for cut in 1..=6 {
            eventually("a connection", || !socket.peers().is_empty()).await;
            let so_far = socket.stats().received;
            eventually("some traffic", || {
                socket.stats().received >= so_far + 20 || so_far >= MESSAGES
            })
            .await;
            if cut % 2 == 0 {
                proxy.cut();
            } else {
                // What is on its way comes no further.
                proxy.swallow();
            }
        }
    };
    let (told, (), ()) = tokio::join!(talking, sending, cutting);
    let mut theirs = BTreeSet::new();
    while theirs.len() < 300 {
        theirs.insert(collected.next().await.1);
    }
    assert!(theirs.iter().all(|text| text.starts_with("theirs ")));
    assert_eq!(told["left"], 0);
    assert_eq!(told["stats"]["acknowledged"], MESSAGES);
    let heard = told["heard"].as_array().unwrap();
    assert!(
        heard
            .iter()
            .all(|text| text.as_str().unwrap().starts_with("ours "))
    );
    assert_eq!(heard.len(), 300);
    assert!(socket.stats().joins >= 3, "it was cut off");
    eventually("every acknowledgement", || {
        socket.stats().unacknowledged == 0
    })
    .await;
}

#[actix::test]
async fn a_message_is_acknowledged_when_it_is_handled_and_comes_again_when_that_failed() {
    let socket = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .resend_timeout(Duration::from_millis(300))
        .start()
        .unwrap();
    let (browser, _) = open(&[("/aiomsg", &socket)]).await;
    socket.send("first").await.unwrap();
    socket.send("second").await.unwrap();
    let told = browser
        .run(
            "window.socket = aiomsg.connect('/aiomsg');
             const seen = [];
             try {
               for await (const message of window.socket) {
                 seen.push(message.text());
                 if (message.text() === 'second') throw new Error('it failed');
               }
             } catch (error) { seen.push(error.message); }
             return seen;",
            json!({}),
        )
        .await;
    assert_eq!(told, json!(["first", "second", "it failed"]));
    eventually("the first to be acknowledged", || {
        socket.stats().acknowledged == 1
    })
    .await;
    // It comes again, in the same loop as everything else.
    let told = browser
        .run(
            "for await (const message of window.socket) {
               const text = message.text();
               message.ack();
               return text;
             }",
            json!({}),
        )
        .await;
    assert_eq!(told, "second");
    eventually("the second to be acknowledged", || {
        socket.stats().acknowledged == 2
    })
    .await;
    assert!(socket.stats().resent >= 1);
}

#[actix::test]
async fn an_idle_page_stays_connected_and_one_that_was_left_alone_comes_back() {
    let socket = Socket::builder()
        .heartbeat_interval(Duration::from_millis(300))
        .heartbeat_timeout(Duration::from_secs(6))
        .start()
        .unwrap();
    let (browser, address) = open(&[("/aiomsg", &socket)]).await;
    let proxy = FaultProxy::start(address);
    browser
        .run(
            "window.socket = aiomsg.connect(given, { heartbeatInterval: 300, heartbeatTimeout: 6000, reconnect: [10, 50] });
             window.went = [];
             window.socket.addEventListener('down', ({ detail }) => window.went.push(detail.reason));
             await window.socket.waitForPeers(1);",
            json!(format!("ws://{}/aiomsg", proxy.address())),
        )
        .await;
    // A HELLO has 22 bytes and a heartbeat 5.
    let beats =
        "window.socket.stats.bytesOut >= 22 + 5 * 5 && window.socket.stats.bytesIn >= 22 + 5 * 5";
    browser.eventually(beats).await;
    assert_eq!(socket.stats().joins, 1, "nobody had a reason to leave");
    assert_eq!(browser.value("window.went").await, json!([]));

    // As when a cable is pulled: nothing is refused, and nothing comes.
    proxy.inflict(Fault::HalfOpen);
    browser.eventually("window.went.length === 1").await;
    assert_eq!(browser.value("window.went[0]").await, "the peer is silent");
    browser
        .value("void window.socket.send('after the silence')")
        .await;
    proxy.heal();
    proxy.cut();
    assert_eq!(receive(&socket).await.text(), Ok("after the silence"));
}

#[actix::test]
async fn what_is_addressed_to_a_peer_is_kept_from_when_it_went_however_old_it_is() {
    let socket = Socket::start().unwrap();
    let (browser, address) = open(&[("/aiomsg", &socket)]).await;
    let proxy = FaultProxy::start(address);
    browser
        .run(
            "window.socket = aiomsg.connect(given, {
               delivery: 'at-least-once', absenceGrace: 3000, reconnect: [1500, 1500], resendTimeout: 60000,
             });
             await window.socket.waitForPeers(1);
             window.end = 'none';
             window.socket.sendTo(window.socket.peers[0], 'slow').then(
               () => { window.end = 'acknowledged'; }, (error) => { window.end = error.code; });",
            json!(format!("ws://{}/aiomsg", proxy.address())),
        )
        .await;
    let slow = receive(&socket).await;
    tokio::time::sleep(Duration::from_millis(3500)).await;
    proxy.cut();
    eventually("the page to come back", || socket.stats().joins == 2).await;
    assert_eq!(browser.value("window.end").await, "none");
    drop((slow, receive(&socket).await));
    browser.eventually("window.end === 'acknowledged'").await;
}

#[actix::test]
async fn what_a_page_has_in_hand_is_not_delivered_twice_however_much_it_is() {
    let socket = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .resend_timeout(Duration::from_millis(200))
        .start()
        .unwrap();
    let (browser, _) = open(&[("/aiomsg", &socket)]).await;
    for number in 0..8 {
        socket.send(format!("{number}")).await.unwrap();
    }
    browser
        .run(
            "window.socket = aiomsg.connect('/aiomsg', { dedupe: 4 });
             window.seen = [];
             await window.socket.waitForPeers(1);",
            json!({}),
        )
        .await;
    eventually("repetitions of all", || socket.stats().resent >= 8).await;
    browser
        .value("void (async () => { for await (const message of window.socket) window.seen.push(message.text()); })()")
        .await;
    eventually("every acknowledgement", || socket.stats().acknowledged >= 7).await;
    let all: Vec<_> = (0..8).map(|number| number.to_string()).collect();
    assert_eq!(browser.value("window.seen").await, json!(all));
}

#[actix::test]
async fn what_cannot_be_sent_is_refused_with_the_reason() {
    let socket = Socket::start().unwrap();
    let (browser, _) = open(&[("/aiomsg", &socket)]).await;
    let told = browser
        .run(
            "const told = {};
             try { new aiomsg.Socket({ sendMode: 'publish', delivery: 'at-least-once' }); } catch (error) { told.publish = error.name; }
             try { new aiomsg.Socket({ identity: 'short' }); } catch (error) { told.identity = error.name; }
             const code = (promise) => promise.then(() => 'sent', (error) => error.code);
             const small = new aiomsg.Socket({ maxOutboxMessages: 1 });
             const first = code(small.send('waits'));
             told.full = await code(small.send('one too many'));
             const report = await small.close(0);
             told.unsent = report.unsent;
             told.first = await first;
             told.closed = await code(small.send('late'));
             const lonely = aiomsg.connect('/aiomsg', { absenceGrace: 100 });
             told.gone = await code(lonely.sendTo('0'.repeat(32), 'to nobody'));
             const itself = aiomsg.connect('/aiomsg', { identity: given, reconnect: [10, 20] });
             await lonely.flush();
             await new Promise((done) => setTimeout(done, 500));
             told.itself = itself.peers.length;
             return told;",
            json!(socket.identity().to_string()),
        )
        .await;
    let expected = json!({
        "publish": "TypeError", "identity": "TypeError", "full": "full", "unsent": 1,
        "first": "closed", "closed": "closed", "gone": "peer-gone", "itself": 0,
    });
    assert_eq!(told, expected);
}

#[actix::test]
async fn what_is_neither_text_nor_bytes_nor_json_is_rejected_with_what_to_do() {
    let socket = Socket::start().unwrap();
    let (browser, _) = open(&[("/aiomsg", &socket)]).await;
    let told = browser
        .run(
            "const socket = new aiomsg.Socket();
             const cyclic = {};
             cyclic.itself = cyclic;
             const told = [];
             for (const value of [
               new Blob(['x']), new File(['x'], 'x'), new Map([[1, 2]]), new Set([1]), Promise.resolve(1),
               undefined, () => 1, Symbol('x'), cyclic, 1n,
             ]) {
               const sent = socket.send(value).then(() => 'sent', ({ name, message }) => `${name}: ${message}`);
               const waits = new Promise((done) => setTimeout(done, 500, 'it waits'));
               told.push(await Promise.race([sent, waits]));
             }
             try { aiomsg.typed('order ', undefined); } catch ({ name, message }) { told.push(`${name}: ${message}`); }
             // These are JSON.
             for (const value of [null, {}, [], 0, '']) socket.send(value);
             return { told, waiting: socket.outboxLength };",
            json!({}),
        )
        .await;
    let expected = [
        "a Blob is read first: send(await blob.arrayBuffer())",
        "a Blob is read first: send(await blob.arrayBuffer())",
        "a Map goes as a list",
        "a Set goes as a list",
        "a promise is awaited first",
        "text, bytes, or what JSON can say is sent",
        "text, bytes, or what JSON can say is sent",
        "text, bytes, or what JSON can say is sent",
        // In the browser's words.
        "",
        "",
        "text, bytes, or what JSON can say is sent",
    ];
    let texts = told["told"].as_array().unwrap();
    assert_eq!(texts.len(), expected.len(), "{told}");
    for (text, expected) in texts.iter().zip(expected) {
        let text = text.as_str().unwrap();
        assert!(
            text.starts_with(&format!("TypeError: {expected}")),
            "{told}"
        );
    }
    assert_eq!(told["waiting"], 5);
}

#[actix::test]
async fn a_publish_to_one_peer_that_does_not_read_waits_and_is_refused_when_the_outbox_is_full() {
    let socket = Socket::builder()
        .heartbeat_timeout(Duration::from_secs(600))
        .start()
        .unwrap();
    let mut collected = collect(&socket);
    let (browser, address) = open(&[("/aiomsg", &socket)]).await;
    let proxy = FaultProxy::start(address);
    browser
        .run(
            "window.socket = aiomsg.connect(given, { maxOutboxMessages: 3, heartbeatTimeout: 600_000 });
             await window.socket.waitForPeers(1);",
            json!(format!("ws://{}/aiomsg", proxy.address())),
        )
        .await;
    proxy.inflict(Fault::Stall);
    // What buffers on the way have room for is sent; then a publish is not, however long it has waited.
    let told = browser
        .run(
            "const { socket } = window;
             let count = 0;
             const publish = () => socket.publish(`${count++} ${' '.repeat(1_000_000)}`);
             const isSent = () => Promise.race([
               publish().then(() => true),
               new Promise((done) => setTimeout(done, 1_000, false)),
             ]);
             while (count < 60 && await isSent());
             for (let more = 0; more < 2; more += 1) publish();
             const refused = await publish().catch(({ code }) => code);
             return { refused, accepted: count - 1, waiting: socket.outboxLength, dropped: socket.stats.dropped };",
            json!({}),
        )
        .await;
    assert_eq!(told["refused"], "full", "{told}");
    assert_eq!(told["waiting"], 3, "{told}");
    proxy.heal();
    browser.run("await window.socket.flush();", json!({})).await;
    for number in 0..told["accepted"].as_u64().unwrap() {
        assert_eq!(collected.next().await.1.trim_end(), number.to_string());
    }
    assert_eq!(told["dropped"], 0);
}

#[actix::test]
async fn a_publish_waits_for_a_peer_that_is_slow_and_not_for_one_that_stalls() {
    let socket = Socket::start().unwrap();
    let (browser, _) = open(&[("/aiomsg", &socket)]).await;
    let told = browser
        .run(
            "// In place of the browser's WebSocket: what it takes from its buffer is the test's to say.
             class Line {
               static all = [];
               texts = [];
               left = 0;
               pace = 0;
               get bufferedAmount() { return (this.left -= this.pace); }
               constructor() {
                 const hello = [0, 0, 0, 18, 1, 1, ...Array(16).fill(Line.all.push(this))];
                 setTimeout(() => { this.onopen(); this.onmessage({ data: Uint8Array.from(hello).buffer }); });
               }
               send(bytes) { if (bytes[4] === 3) this.texts.push(new TextDecoder().decode(bytes.subarray(5))); }
               close() { }
             }
             globalThis.WebSocket = Line;
             const socket = aiomsg.connect('ws://fast/', { publishPatience: 50, heartbeatTimeout: 600_000 });
             socket.connect('ws://slow/');
             await socket.waitForPeers(2);
             const [fast, slow] = Line.all;
             await socket.publish('room');
             slow.left = 1e9;
             slow.pace = 1;
             const waiting = socket.publish('slow');
             await new Promise((done) => setTimeout(done, 500));
             const waited = socket.outboxLength;
             Object.assign(slow, { left: 0, pace: 0 });
             await waiting;
             slow.left = 1e9;
             for (const text of ['stalled', 'stalls on']) await socket.publish(text);
             slow.left = 0;
             await socket.publish('room again');
             await socket.close(0);
             return { waited, fast: fast.texts, slow: slow.texts, dropped: socket.stats.dropped };",
            json!({}),
        )
        .await;
    let expected = json!({
        "waited": 1,
        "fast": ["room", "slow", "stalled", "stalls on", "room again"],
        "slow": ["room", "slow", "room again"],
        "dropped": 2,
    });
    assert_eq!(told, expected);
}

#[actix::test]
async fn frames_that_begin_and_end_anywhere_are_understood_and_strange_ones_skipped() {
    use futures_util::SinkExt;
    use support::raw_peer::{ACK, DATA, HELLO, frame, hello};
    use tokio_tungstenite::tungstenite::Message;

    let socket = Socket::start().unwrap();
    let (browser, _) = open(&[("/aiomsg", &socket)]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = async {
        // First one that does not speak the protocol, then one that speaks another version.
        for first in [frame(DATA, b"no hello"), {
            let mut other = hello([9; 16]);
            other[5] = 2;
            other
        }] {
            let (stream, _) = listener.accept().await.unwrap();
            let mut peer = tokio_tungstenite::accept_async(stream).await.unwrap();
            peer.send(Message::binary(first)).await.unwrap();
            while futures_util::StreamExt::next(&mut peer)
                .await
                .is_some_and(|next| next.is_ok())
            {}
        }
        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = tokio_tungstenite::accept_async(stream).await.unwrap();
        let mut bytes = hello([9; 16]);
        for strange in [
            frame(HELLO, &[1]),
            frame(ACK, b"short"),
            frame(ACK, &[7; 16]),
            frame(0x77, b"from the future"),
            vec![0, 0, 0, 0],
            frame(DATA, b"one"),
            frame(DATA, b""),
            frame(DATA, &frame(DATA, b"inner")),
        ] {
            bytes.extend(strange);
        }
        for byte in &bytes {
            peer.send(Message::binary(vec![*byte])).await.unwrap();
        }
        peer.send(Message::binary(
            [frame(DATA, b"two"), frame(DATA, b"three")].concat(),
        ))
        .await
        .unwrap();
        // The announcement alone is too much.
        peer.send(Message::binary(vec![0x7f, 0, 0, 0]))
            .await
            .unwrap();
        while futures_util::StreamExt::next(&mut peer)
            .await
            .is_some_and(|next| next.is_ok())
        {}
    };
    let listening = browser.run(
        "const socket = aiomsg.connect(given, { reconnect: [10, 20] });
         const gone = new Promise((done) => socket.addEventListener('down', ({ detail }) => done(detail.reason)));
         const texts = [];
         for await (const message of socket) {
           texts.push(message.payload.length === 10 ? 'a frame' : message.text());
           if (texts.length === 5) break;
         }
         const reason = await gone;
         await socket.close(0);
         return { texts, reason };",
        json!(url),
    );
    let (told, ()) = tokio::join!(listening, async {
        within_patience("the script", serving).await;
    });
    assert_eq!(told["texts"], json!(["one", "", "a frame", "two", "three"]));
    assert_eq!(told["reason"], "a frame over the limit");
}

#[actix::test]
async fn a_message_above_the_peers_frame_limit_is_rejected_and_what_is_behind_it_arrives() {
    let small = || Socket::builder().max_frame_bytes(1 << 20).start().unwrap();
    let (mounted, bound) = (small(), small());
    let endpoint = bound.bind("127.0.0.1:0").await.unwrap();
    let port = format!("ws://127.0.0.1:{}/", endpoint.port().unwrap());
    let (browser, _) = open(&[("/aiomsg", &mounted)]).await;
    for (url, socket) in [("/aiomsg", &mounted), (&*port, &bound)] {
        let mut heard = collect(socket);
        let told = browser.run(
            "const options = { delivery: 'at-least-once', reconnect: [10, 20] };
             const socket = aiomsg.connect(given.url, options);
             await socket.waitForPeers(1);
             const large = socket.send(new Uint8Array(given.bytes)).catch(({ code }) => code);
             const small = [];
             for (let number = 0; number < 10; number += 1) small.push(socket.send(`small ${number}`));
             await Promise.all(small);
             return { large: await large, unacknowledged: socket.unacknowledged };",
            json!({ "url": url, "bytes": 2 << 20 }),
        );
        let told = told.await;
        assert_eq!(
            told,
            json!({ "large": "too-large", "unacknowledged": 0 }),
            "{url}"
        );
        let mut texts = BTreeSet::new();
        while texts.len() < 10 {
            texts.insert(heard.next().await.1);
        }
    }
}

#[actix::test]
async fn a_message_that_one_peer_cannot_take_goes_to_another() {
    let small = Socket::builder().max_frame_bytes(1 << 20).start().unwrap();
    let large = Socket::start().unwrap();
    let (browser, _) = open(&[("/small", &small), ("/large", &large)]).await;
    let sending = browser.run(
        "const options = { delivery: 'at-least-once', reconnect: [10, 20] };
         const socket = aiomsg.connect('/small', options).connect('/large');
         await socket.waitForPeers(2);
         const all = [];
         for (let count = 0; count < 2; count += 1) all.push(socket.send(new Uint8Array(given.bytes)));
         await Promise.all(all);
         return socket.stats.acknowledged;",
        json!({ "bytes": 2 << 20 }),
    );
    let receiving = async {
        for _ in 0..2 {
            assert_eq!(receive(&large).await.payload().len(), 2 << 20);
        }
    };
    let (acknowledged, ()) = tokio::join!(sending, receiving);
    assert_eq!(acknowledged, 2);
}

#[actix::test]
async fn a_message_that_its_peer_refuses_is_rejected_with_the_reason() {
    let socket = Socket::builder().max_delivery_attempts(1).start().unwrap();
    support::each::each(&socket, |message: Received| -> Handled {
        match message.text() {
            Ok("bad") => Err("no").into(),
            _ => Ok::<_, &str>(()).into(),
        }
    });
    let (browser, _) = open(&[("/socket", &socket)]).await;
    let told = browser.run(
        "const socket = aiomsg.connect('/socket', { delivery: 'at-least-once' });
         const sent = ['good', 'bad'].map((text) => socket.send(text).catch(({ code, message }) => [code, message]));
         return Promise.all(sent);",
        json!({}),
    );
    let refused = [
        "refused",
        "the peer did not handle a message: its handler failed",
    ];
    assert_eq!(told.await, json!([null, refused]));
}
