//! The test kit: a service under test, as a user of the crate tests one, and the kit's own parts.

#[path = "../examples/services/inventory.rs"]
mod inventory;
#[path = "../examples/services/messages.rs"]
mod messages;
#[path = "../examples/services/orders.rs"]
mod orders;

use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::{Part, Probe, ScriptedPeer, TestKit, pause_time};
use actix_aiomsg::wire::Envelope;
use inventory::Inventory;
use messages::{InStock, Left, Order, Outcome};
use orders::Orders;

mod service {
    //! The page docs/TESTING.md shows this.

    use super::*;

    #[actix::test]
    async fn orders_are_taken_while_there_is_stock() {
        pause_time();
        let kit = TestKit::new();
        let [stock, desk, inventory, customer] = std::array::from_fn(|_| kit.socket());
        let line = kit.connect_by_line(&inventory, &stock).await;
        kit.connect(&customer, &desk).await;
        Inventory {
            socket: stock.downgrade(),
            stock: [("tea".to_owned(), 5)].into(),
        }
        .start();
        Orders {
            customers: desk.downgrade(),
            inventory,
        }
        .start();
        let mut outcomes = Probe::<(Identity, Outcome)>::subscribe(&customer);

        let order = |count| Order {
            item: "tea".to_owned(),
            count,
        };
        customer.send_typed(&order(3)).await.unwrap();
        let (_, outcome) = outcomes.next().await.unwrap();
        assert_eq!(outcome, Outcome::Accepted(Left { count: 2 }));

        // The question is lost on the way: the service says so after its five seconds.
        line.drop_next(1);
        customer.send_typed(&order(1)).await.unwrap();
        let (_, outcome) = outcomes.next().await.unwrap();
        assert!(matches!(outcome, Outcome::Refused(why) if why.contains("in time")));
        kit.assert_no_dead_letters();
        kit.assert_no_panics();
    }
}

#[actix::test]
async fn an_instance_of_the_kit_is_busy_hangs_and_goes_down_as_the_test_says() {
    pause_time();
    let kit = TestKit::new();
    let consumer = kit.socket();
    let service = kit.service("inventory");
    let instance = |name: &str, count| {
        let answer = move |_: InStock| Ok(Left { count });
        service.instance(name, answer)
    };
    let (first, second) = (instance("inventory-0", 1), instance("inventory-1", 2));
    service.connect(&consumer, &first).await;

    let inventory = consumer.service("inventory");
    let item = "tea".to_owned();
    let question = InStock { item };
    let ask = || inventory.ask(&question).timeout(Duration::from_secs(2));
    assert_eq!(ask().await, Ok(Left { count: 1 }));
    assert_eq!((first.asked(), second.asked()), (1, 0));

    first.make_busy();
    assert_eq!(ask().await, Err(AskError::Busy));
    service.connect(&consumer, &second).await;
    assert_eq!(ask().await, Ok(Left { count: 2 }));
    first.make_ready();
    tokio::time::sleep(Duration::from_secs(1)).await;

    // Whoever is asked while an instance hangs gets no answer; from then on it is left out.
    second.hang();
    let asks = [ask(), ask(), ask(), ask()];
    let answers = futures_util::future::join_all(asks).await;
    let one = Ok(Left { count: 1 });
    for answer in &answers {
        assert!(
            *answer == one || *answer == Err(AskError::Timeout),
            "{answer:?}"
        );
    }
    assert!(answers.contains(&Err(AskError::Timeout)));
    for _ in 0..4 {
        assert_eq!(ask().await, one);
    }
    second.resume();
    tokio::time::sleep(Duration::from_secs(1)).await;

    first.take_down();
    let mut answers = [ask().await, ask().await];
    // One that was asked as it went may be the first.
    answers.sort_by_key(Result::is_ok);
    assert_eq!(answers[1], Ok(Left { count: 2 }));
    let again = instance("inventory-0", 3);
    service.connect(&consumer, &again).await;
    second.make_busy();
    let answer = ask().retry(1).await;
    assert_eq!(answer, Ok(Left { count: 3 }));
    kit.assert_no_panics();
}

#[actix::test]
async fn a_line_delays_stalls_and_cuts_and_the_sockets_carry_on() {
    pause_time();
    let kit = TestKit::new();
    let (client, server) = (kit.socket(), kit.socket());
    let line = kit.connect_by_line(&client, &server).await;
    let mut texts = Probe::<(Identity, String)>::subscribe(&server);
    let (peer_events, mut peers) = Probe::recipient();
    server.peer_events(peer_events);

    let now = tokio::time::Instant::now;
    let begun = now();
    line.delay(Duration::from_secs(3));
    client.send("slow").await.unwrap();
    assert_eq!(texts.next().await.unwrap().1, "slow");
    assert!(begun.elapsed() >= Duration::from_secs(3));
    line.delay(Duration::ZERO);

    line.cut();
    let down = |event| matches!(event, PeerEvent::Down { .. }).then_some(());
    peers.find(down).await.unwrap();
    client.send("after the cut").await.unwrap();
    assert_eq!(texts.next().await.unwrap().1, "after the cut");

    // Nothing passes: each end finds the other silent.
    line.stall();
    let silent = |event| match event {
        PeerEvent::Down { reason, .. } => Some(reason),
        _ => None,
    };
    assert_eq!(peers.find(silent).await, Ok(DownReason::Silent));
    line.resume();
    client.send("after the stall").await.unwrap();
    assert_eq!(texts.next().await.unwrap().1, "after the stall");
    kit.assert_no_panics();
}

#[actix::test]
async fn a_message_that_the_line_loses_is_resent_if_it_is_sent_at_least_once() {
    pause_time();
    let kit = TestKit::new();
    let (client, server) = (kit.socket(), kit.socket());
    let line = kit.connect_by_line(&client, &server).await;
    let mut texts = Probe::<(Identity, String)>::subscribe(&server);
    line.drop_next(2);
    client.send("lost").await.unwrap();
    let receipt = client.send("resent").receipt().await.unwrap();
    receipt.await.unwrap();
    assert_eq!(texts.next().await.unwrap().1, "resent");
    assert_eq!(line.dropped(), 2);
    assert!(texts.rest().is_empty());
}

#[actix::test]
async fn a_scripted_peer_says_what_the_test_says() {
    let kit = TestKit::new();
    let server = kit.socket();
    let socket = server.downgrade();
    Inventory {
        socket,
        stock: Default::default(),
    }
    .start();
    let endpoint = server.bind(kit.endpoint()).await.unwrap();
    let me = Identity::random();
    let (mut peer, other) = ScriptedPeer::introduced(&endpoint, me).await.unwrap();
    assert_eq!(other, server.identity());

    let asking = actix_rt::spawn(
        server
            .ask(
                me,
                &InStock {
                    item: "tea".to_owned(),
                },
            )
            .into_future(),
    );
    let question = peer.receive().await.unwrap();
    assert_eq!(&question[26..], br#"in-stock {"item":"tea"}"#);
    let mut answer = question[..26].to_vec();
    answer[4] = 2;
    answer.extend_from_slice(br#"{"count":9}"#);
    peer.send(answer).await.unwrap();
    assert_eq!(asking.await.unwrap(), Ok(Left { count: 9 }));

    let id = MessageId::random();
    peer.send_acknowledged(id, "nobody wants this")
        .await
        .unwrap();
    assert_eq!(peer.next().await.unwrap(), Envelope::Ack(id));
    assert_eq!(kit.dead_letters()[0].reason, DeadLetterReason::Unwanted);
    peer.say_bytes(&[0, 0, 0, 9]).await.unwrap();
    drop(peer);
    server.watch(me).await;
}

#[derive(Message)]
#[rtype(result = "()")]
struct Number(u32);

#[actix::test]
async fn a_probe_gives_up_after_thirty_seconds_however_much_else_it_hears() {
    pause_time();
    let (recipient, mut numbers) = Probe::recipient();
    let speaking = actix::spawn(async move {
        for number in 0.. {
            recipient.do_send(Number(number));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let third = |Number(number)| (number == 2).then_some(number);
    assert_eq!(numbers.find(third).await, Ok(2));
    assert_eq!(numbers.next().await.map(|told| told.0), Ok(3));

    let begun = tokio::time::Instant::now();
    let nothing = numbers.find(|_| None::<()>).await.unwrap_err();
    assert_eq!(nothing.to_string(), "nothing of that came within 30s");
    assert_eq!(begun.elapsed().as_secs(), 30);
    speaking.abort();
    numbers.rest();
    assert!(numbers.next().await.is_err());
}

#[actix::test]
#[should_panic(expected = "on demand")]
async fn a_panic_in_the_system_is_noticed() {
    let kit = TestKit::new();
    let (client, server) = (kit.socket(), kit.socket());
    kit.connect(&client, &server).await;
    kit.assert_no_panics();
    server.crash(Part::Router);
    let restarted =
        |reports: &[supervise::ChildReport]| reports.iter().any(|report| report.restarts > 0);
    while !restarted(&server.inspect().await.children) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    kit.assert_no_panics();
}

#[actix::test]
#[should_panic(expected = "Unwanted")]
async fn a_dead_letter_is_noticed() {
    let kit = TestKit::new();
    let (client, server) = (kit.socket(), kit.socket());
    kit.connect(&client, &server).await;
    let _orders = Probe::<(Identity, Order)>::subscribe(&server);
    client
        .send("weather fine")
        .receipt()
        .await
        .unwrap()
        .await
        .unwrap();
    kit.assert_no_dead_letters();
}
