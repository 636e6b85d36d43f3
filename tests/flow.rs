//! Relays, drains, and sends that are tied to an actor's life.

mod support;

use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::TestKit;
use support::each::each;
use support::{eventually, within_patience};

#[actix::test]
async fn a_relay_does_not_overrun_the_next_socket_and_acknowledges_what_that_took() {
    let kit = TestKit::new();
    let (sender, inward) = kit.pair().await;
    let next = kit.builder().outbox_capacity(10, 1 << 20).start().unwrap();
    let onward = next.clone();
    each(&inward, move |message| onward.forward(message));
    let mut receipts = Vec::new();
    for number in 0..50 {
        receipts.push(sender.send(number.to_string()).receipt().await.unwrap());
    }
    // Nobody is there to take them: ten wait in the outbox, the others where they came from.
    eventually("ten to be accepted", || sender.stats().acknowledged == 10).await;
    assert_eq!(next.stats().outbox_messages, 10);
    assert_eq!(inward.stats().inbox_messages, 40);
    let listener = kit.socket();
    kit.connect(&next, &listener).await;
    for number in 0..50 {
        let message = within_patience("a message", listener.recv()).await.unwrap();
        assert_eq!(message.text(), Ok(&number.to_string()[..]));
    }
    for receipt in receipts {
        within_patience("an acknowledgement", receipt)
            .await
            .unwrap();
    }
    kit.assert_no_dead_letters();
}

#[actix::test]
async fn a_drained_socket_takes_nothing_more_and_has_answered_what_it_took() {
    let kit = TestKit::new();
    let (client, server) = kit.pair().await;
    each(&server, |message| -> ResponseFuture<()> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            message.reply("done").unwrap();
        })
    });
    for _ in 0..20 {
        client.send("work").await.unwrap();
    }
    eventually("all to be received", || server.stats().received == 20).await;
    let early = server.drain(Duration::ZERO).await;
    assert!(early.unwrap_err().waiting > 0);
    server.drain(Duration::from_secs(30)).await.unwrap();
    for _ in 0..20 {
        let answer = within_patience("an answer", client.recv()).await.unwrap();
        assert_eq!(answer.text(), Ok("done"));
    }
    client.send("too late").await.unwrap();
    client.flush().await.unwrap();
    // It still sends.
    server.send("goodbye").await.unwrap();
    let goodbye = within_patience("the goodbye", client.recv()).await.unwrap();
    assert_eq!(goodbye.text(), Ok("goodbye"));
    assert_eq!(server.stats().received, 20);
    server.close().await;
}

#[actix::test]
async fn delayed_and_periodic_sends_end_with_their_actor() {
    struct Beacon(Socket, u32);

    impl Actor for Beacon {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Context<Self>) {
            let socket = self.0.clone();
            socket.send_later(ctx, Duration::from_millis(1), "later");
            socket.send_later(ctx, Duration::from_secs(3_600), "never");
            socket.send_every(ctx, Duration::from_millis(2), |act: &mut Self| {
                act.1 += 1;
                format!("tick {}", act.1)
            });
        }
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    struct End;

    impl Handler<End> for Beacon {
        type Result = ();

        fn handle(&mut self, _: End, ctx: &mut Context<Self>) {
            ctx.stop();
        }
    }

    let kit = TestKit::new();
    let (client, server) = kit.pair().await;
    let beacon = Beacon(client.clone(), 0).start();
    let mut told = Vec::new();
    while told.len() < 4 {
        let message = within_patience("a message", server.recv()).await.unwrap();
        told.push(message.text().unwrap().to_owned());
    }
    assert!(told.contains(&"later".to_owned()), "{told:?}");
    told.retain(|text| text != "later");
    assert_eq!(told, ["tick 1", "tick 2", "tick 3"]);
    beacon.send(End).await.unwrap();
    eventually("the actor to stop", || !beacon.connected()).await;
    let sent = client.stats().sent;
    tokio::time::sleep(Duration::from_millis(20)).await;
    client.flush().await.unwrap();
    assert!(client.stats().sent <= sent + 1, "it has stopped");
}
