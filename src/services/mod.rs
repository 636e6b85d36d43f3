//! Named services: what a socket offers, whom it knows to offer a service, and the messages between them.
//!
//! | file | has |
//! |---|---|
//! | `queue` | one service that is offered: its handlers, its load, and who has used it |
//! | `offers` | all of them, and which peers were told |
//! | `message` | a message to a service, as it travels |
//! | `intake` | messages to them, taken out of what was read |
//! | `event` | news of instances |
//! | `resending` | how they are sent again |
//! | `returned` | tells that their instances have not handled |
//! | `member` | one instance of a service that is followed |
//! | `view` | its instances, and what is remembered of them |
//! | `followed` | one service as its consumer sees it: the instances, and which is asked |
//! | `directory` | what the peers offer, and the services that are followed |
//! | `own` | the socket as a consumer of its own services |
//! | `services` | all of this, joined, and its timer |

mod directory;
mod event;
mod followed;
mod intake;
mod member;
mod message;
mod missing;
mod offers;
mod own;
mod queue;
mod report;
mod resending;
mod returned;
#[expect(
    clippy::module_inception,
    reason = "the part of a socket's core that the folder is named after"
)]
mod services;
mod view;

pub use event::{InstanceDownReason, InstanceUpReason, ServiceEvent};
pub(crate) use followed::{Followed, Pick, Picked};
pub(crate) use message::is_to_service;
pub(crate) use offers::{MAX_NAME_BYTES, NotOffered};
pub(crate) use queue::ServiceQueue;
pub use report::{InstanceReport, InstanceStatus, OfferReport};
pub(crate) use services::Services;

#[cfg(all(test, not(aiomsg_loom)))]
mod handlers_tests;
#[cfg(all(test, not(aiomsg_loom)))]
mod redriven_tests;
