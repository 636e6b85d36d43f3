//! Handlers that subscribe, and how they are fed.

use actix::{Actor, Addr, AsyncContext, Context, Handler};

use super::Socket;
use crate::payload::Payload;
use crate::received::Received;
use crate::subscription::{Alive, Key, Pump};

/// The context of an actor that handles [`Received<T>`].
pub trait Subscriber<T: Payload>: sealed::Sealed {
    #[doc(hidden)]
    fn start_pump(&mut self, socket: &Socket, options: SubscribeOptions);
}

mod sealed {
    pub trait Sealed {}
    impl<A: actix::Actor<Context = actix::Context<A>>> Sealed for actix::Context<A> {}
}

/// How a handler is fed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SubscribeOptions {
    max_in_flight: usize,
    group: Option<String>,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self {
            max_in_flight: 1,
            group: None,
        }
    }
}

impl SubscribeOptions {
    /// How many asynchronous results of the handler are awaited at a time. Default: 1, which
    /// keeps messages in order.
    #[must_use]
    pub fn max_in_flight(mut self, results: usize) -> Self {
        self.max_in_flight = results.max(1);
        self
    }

    /// Makes the handler a member of a group, whose members compete: each message goes to one of
    /// them. What a member that panics had not handled goes to the others while it restarts.
    #[must_use]
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.group = Some(name.into());
        self
    }
}

impl<A, T> Subscriber<T> for Context<A>
where
    A: Actor<Context = Self> + Handler<Received<T>>,
    A::Result: 'static,
    T: Payload,
{
    fn start_pump(&mut self, socket: &Socket, options: SubscribeOptions) {
        let exchange = &socket.handle.exchange;
        let address = self.address();
        let key = match options.group {
            Some(name) => Key::Group(name),
            None => Key::Handler {
                address: address_number(&address),
                message: std::any::type_name::<T>(),
            },
        };
        let weak = address.downgrade();
        let check = Box::new(move || weak.upgrade().is_some_and(|address| address.connected()));
        let alive = Alive {
            subscriber: address_number(&address),
            check,
        };
        let subscription = exchange.subscriptions.open(key, Some(alive));
        let pump = Pump::new(exchange, subscription, options.max_in_flight);
        self.spawn(pump.into_future::<T>());
    }
}

/// Tells one actor from another for as long as it lives.
fn address_number<A: Actor>(address: &Addr<A>) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    address.hash(&mut hasher);
    hasher.finish()
}
