//! Named services: who offers them, who is asked, and when somebody else is asked instead.
//!
//! | file | decides |
//! |---|---|
//! | `catalog` | what a peer offers, from the parts that it sends |
//! | `instance` | whether an instance may be asked |
//! | `choice` | which of several instances is asked |
//! | `keyed` | which instance holds a key |
//! | `retry` | whether an ask that has failed is tried again |
//! | `handling_rate` | how fast messages are handled |
//! | `load` | whether a provider accepts an ask, and how loaded it says it is |
//! | `missing` | when the log says that nobody offers a service |

mod catalog;
mod choice;
mod handling_rate;
mod instance;
mod keyed;
mod load;
mod missing;
#[cfg(test)]
mod overload_tests;
mod retry;

pub(crate) use catalog::{
    Catalog, CatalogStep, MAX_PART_BYTES, MAX_SERVICES, OfferPart, ProcessStart,
};
pub(crate) use choice::{Candidate, Choice, choose};
pub(crate) use handling_rate::HandlingRate;
pub(crate) use instance::{
    Instance, InstanceChange, InstanceDown, InstanceEffect, InstanceState, InstanceUp, Silence,
};
pub(crate) use keyed::{KeyHash, KeyHolder, KeyHolders, NameClaim};
pub(crate) use load::{LoadLimits, LoadState, ServiceAdmission, ServiceLoad};
pub(crate) use missing::{Demand, MissingLine, MissingService};
pub(crate) use retry::{
    AfterTry, AskEnd, AskTries, Idempotence, RetryBudget, RetryPolicy, TryOutcome,
};
