//! The first program, typed: a service that handles messages at least once and answers a question.
//!
//! ```text
//! cargo run --example first_service
//! ```

#[path = "support/no_options.rs"]
mod no_options;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Add(u32);
#[derive(Serialize, Deserialize)]
struct HowMany;
#[derive(Serialize, Deserialize)]
struct Apples(u32);

// Topics tell the messages apart; an `Apples` answers a `HowMany`.
payload!(Add = "add ", HowMany = "how-many " => Apples, Apples);

struct Stock(WeakSocket, u32);

impl Actor for Stock {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe::<Add>(ctx);
        self.0.serve::<HowMany>(ctx);
    }
}

impl Handler<Received<Add>> for Stock {
    type Result = ();
    fn handle(&mut self, add: Received<Add>, _: &mut Self::Context) {
        self.1 += add.0;
    }
}

impl Handler<Ask<HowMany>> for Stock {
    type Result = Answer<HowMany>;
    fn handle(&mut self, _: Ask<HowMany>, _: &mut Self::Context) -> Answer<HowMany> {
        Ok(Apples(self.1))
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    no_options::expect("The smallest typed service, and a client that asks it.");
    let service = Socket::builder().start()?;
    let _stock = Stock(service.downgrade(), 0).start();
    let endpoint = service.bind("tcp://127.0.0.1:0").await?;

    let client = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .start()?;
    client.connect(endpoint).await?;
    client.send_typed(&Add(40)).acknowledged().await?; // the handler has finished
    client.send_typed(&Add(2)).acknowledged().await?;
    let Apples(count) = client.ask(Whom::Any, &HowMany).await?;
    println!("40 + 2 = {count}");
    Ok(())
}
