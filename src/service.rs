//! Named services: found by name, spread over whoever offers them, and never overrun.
//!
//! A socket [offers](crate::Socket::offer) a service by name, and its peers learn that. Another [asks](Service::ask) the
//! service by its name, whoever offers it: the instance with the least to do, or for a [key](Service::keyed) always the same one.
//!
//! ```
//! # #[cfg(feature = "json")] {
//! use actix::prelude::*;
//! use actix_aiomsg::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct InStock(String);
//! #[derive(Serialize, Deserialize)]
//! struct Left(u32);
//! payload!(InStock = "in-stock " => Left, Left);
//!
//! struct Inventory(WeakSocket);
//!
//! impl Actor for Inventory {
//!     type Context = Context<Self>;
//!     fn started(&mut self, ctx: &mut Self::Context) {
//!         let offer = self.0.offer("inventory").expect("the socket is open");
//!         offer.serve::<InStock>(ctx);
//!     }
//! }
//!
//! impl Handler<Ask<InStock>> for Inventory {
//!     type Result = Answer<InStock>;
//!     fn handle(&mut self, _: Ask<InStock>, _: &mut Self::Context) -> Answer<InStock> {
//!         Ok(Left(3))
//!     }
//! }
//!
//! # #[actix::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let provider = Socket::builder().start()?;
//! let _inventory = Inventory(provider.downgrade()).start();
//! let consumer = Socket::builder().start()?;
//! consumer.connect(provider.bind("tcp://127.0.0.1:0").await?).await?;
//!
//! let inventory = consumer.service("inventory");
//! let Left(left) = inventory.ask(&InStock("apples".into())).await?;
//! assert_eq!(left, 3);
//! # Ok(())
//! # }
//! # main().unwrap();
//! # }
//! ```

pub use crate::error::OfferError;
pub use crate::services::{
    InstanceDownReason, InstanceReport, InstanceStatus, InstanceUpReason, OfferReport, ServiceEvent,
};
pub use crate::socket::{Offer, Service, ServiceAsking, ServiceEvents, ServiceTelling};
