//! The first program, typed: a service that answers questions, and a client that asks one.
//!
//! ```text
//! cargo run --example first_service
//! ```

use actix::prelude::*;
use actix_aiomsg::{payload, prelude::*};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Add {
    a: i64,
    b: i64,
}

#[derive(Serialize, Deserialize)]
struct Sum {
    total: i64,
}

payload!(Add = "add " => Sum, Sum); // an `Add` travels by this topic, and a `Sum` answers it

struct Calculator(WeakSocket);

impl Actor for Calculator {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.serve::<Add>(ctx);
    }
}

impl Handler<Ask<Add>> for Calculator {
    type Result = Answer<Add>;
    fn handle(&mut self, ask: Ask<Add>, _: &mut Self::Context) -> Answer<Add> {
        Ok(Sum {
            total: ask.a + ask.b,
        })
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, client) = (Socket::builder().start()?, Socket::builder().start()?);
    let _calculator = Calculator(server.downgrade()).start();
    client
        .connect(server.bind("tcp://127.0.0.1:0").await?)
        .await?;
    let sum = client.ask(Whom::Any, &Add { a: 40, b: 2 }).await?;
    println!("40 + 2 = {}", sum.total);
    Ok(())
}
