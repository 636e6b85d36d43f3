//! Who may offer a service, and who may ask one.
#![cfg(feature = "json")]

mod support;

use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::authorize::{Admission, Candidate};
use actix_aiomsg::error::{DeliveryError, ReceiptError};
use actix_aiomsg::prelude::*;
use support::shop::{By, Opening, Order, Shop, order, sold};
use support::within_patience;

fn judged(admission: impl Fn() -> Admission + Send + Sync + 'static) -> Socket {
    Socket::builder()
        .authorize(move |_: Candidate| {
            let admission = admission();
            async move { admission }
        })
        .start()
        .expect("a socket")
}

#[actix::test]
async fn a_peer_that_an_authorizer_lets_in_asks_only_the_services_that_it_may() {
    for (names, expected) in [
        (
            vec![],
            Err(AskError::Remote("the peer does not allow it".to_owned())),
        ),
        (vec!["orders", "inventory"], Ok(By("i0".to_owned()))),
    ] {
        let socket = judged(move || Admission::admit().may_ask(names.clone()));
        let shop = Shop::on(socket, Opening::new("i0")).await;
        let customer = support::shop::customer(&[&shop]).await;
        let inventory = customer.service("inventory");
        assert_eq!(inventory.ask(&order("apples")).await, expected);
        let told = inventory.tell(&sold(1)).acknowledged().await;
        match expected.is_ok() {
            true => assert_eq!(told, Ok(())),
            false => assert_eq!(told, Err(DeliveryError::Receipt(ReceiptError::Refused))),
        }
    }
}

#[actix::test]
async fn a_peer_that_may_not_offer_a_service_is_not_asked() {
    for (names, expected) in [
        (vec!["orders"], Err(AskError::NoService)),
        (vec!["inventory"], Ok(By("i0".to_owned()))),
    ] {
        let customer = judged(move || Admission::admit().may_offer(names.clone()));
        let endpoint = customer.bind("tcp://127.0.0.1:0").await.unwrap();
        let shop = Shop::open("i0").await;
        shop.socket.connect(endpoint).await.unwrap();
        customer.wait_for_peers(1).await.unwrap();
        let inventory = customer.service("inventory");
        let patience = match expected.is_ok() {
            true => support::PATIENCE,
            false => Duration::from_millis(300),
        };
        let answer = inventory.ask(&order("apples")).timeout(patience).await;
        assert_eq!(answer, expected);
        assert_eq!(inventory.instances().len(), usize::from(expected.is_ok()));
    }
}

/// Answers with the principal of whoever asks.
struct Clerk(WeakSocket);

impl Actor for Clerk {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.0.offer("clerk").unwrap().serve::<Order>(ctx);
    }
}

impl Handler<Ask<Order>> for Clerk {
    type Result = Answer<Order>;

    fn handle(&mut self, ask: Ask<Order>, _: &mut Context<Self>) -> Answer<Order> {
        assert!(ask.certificates().is_none());
        let name = ask.principal::<String>().cloned();
        Ok(By(name.unwrap_or_default()))
    }
}

#[actix::test]
async fn a_handler_of_asks_knows_what_the_authorizer_keeps_with_the_asker() {
    let socket = judged(|| {
        let admission = Admission::admit().may_ask(["clerk"]);
        admission.with_principal("alice".to_owned())
    });
    let _clerk = Clerk(socket.downgrade()).start();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let customer = Socket::start().unwrap();
    customer.connect(endpoint).await.unwrap();
    let clerk = customer.service("clerk");
    let answer = within_patience("the answer", clerk.ask(&order("apples"))).await;
    assert_eq!(answer, Ok(By("alice".to_owned())));
}
