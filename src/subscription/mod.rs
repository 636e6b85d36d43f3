//! Subscriptions: the handlers of a socket, and the messages for each.

mod coop_budget;
mod delivery;
mod distribution;
mod failure;
mod handle_cache;
mod handled;
mod host;
mod in_flight;
mod member;
mod one_subscription;
mod pump;
mod receive;
mod received;
mod registry;
mod report;
mod service_meter;
mod settlement;
mod spec;

pub(crate) use delivery::{ChunkLease, Detached};
pub(crate) use distribution::{SubscriptionList, Unclaimed};
pub(crate) use handle_cache::CacheScope;
pub use handled::{ActorHandled, Handled};
pub(crate) use host::{SubscriptionContext, SubscriptionHost};
pub(crate) use in_flight::{Finished, PollEnd};
pub(crate) use member::Member;
pub(crate) use one_subscription::{PushMode, Subscription};
pub(crate) use pump::{Dispatch, Dispatched, PendingResult, Pump};
pub(crate) use receive::Receive;
pub use received::Received;
pub(crate) use registry::Subscriptions;
pub use report::{SubscriberReport, SubscriptionReport};
pub(crate) use service_meter::ServiceMeter;
pub(crate) use settlement::Settlement;
pub use spec::Delivery;
pub(crate) use spec::{Key, SubscriptionSpec};
