//! The shop's front: a web server, which asks `orders` for whoever comes.

use std::time::Duration;

use actix_aiomsg::prelude::*;
use actix_web::dev::Server;
use actix_web::web::{Data, Path};
use actix_web::{App, HttpResponse, HttpServer};

use super::messages::Purchase;

/// The web server, and the address that it has.
pub(crate) fn serve(orders: Service, port: u16) -> Result<(String, Server), String> {
    let orders = Data::new(orders);
    let app = move || {
        let buying = actix_web::web::post().to(buy);
        App::new()
            .app_data(Data::clone(&orders))
            .route("/buy/{customer}/{item}", buying)
    };
    let server = HttpServer::new(app)
        .workers(2)
        .disable_signals()
        .shutdown_timeout(3)
        .bind(("127.0.0.1", port))
        .map_err(|error| format!("cannot serve on port {port}: {error}"))?;
    let address = server.addrs().first().map(ToString::to_string);
    let address = address.ok_or("the web server has no address")?;
    Ok((address, server.run()))
}

/// One customer always comes to the same instance of `orders`, for as long as that is there.
async fn buy(path: Path<(String, String)>, orders: Data<Service>) -> HttpResponse {
    let (customer, item) = path.into_inner();
    let purchase = Purchase {
        customer,
        item,
        count: 1,
    };
    let receipt = orders
        .keyed(&purchase.customer)
        .ask(&purchase)
        .timeout(Duration::from_secs(5))
        .retry(2)
        .await;
    match receipt {
        Ok(receipt) => HttpResponse::Ok().json(receipt),
        Err(AskError::Busy) => HttpResponse::ServiceUnavailable().body("come back in a moment\n"),
        Err(AskError::Remote(why)) => HttpResponse::Conflict().body(format!("{why}\n")),
        Err(error) => HttpResponse::GatewayTimeout().body(format!("{error}\n")),
    }
}
