//! Supervision of actix actors, with or without sockets.
//!
//! actix's own `Supervisor` restarts an actor that stops, at once and without limit, but a panic kills the actor
//! and drops its queue. The supervision here survives panics. [`supervise()`] does it for one actor,
//! [`SupervisionTree`] for several:
//!
//! ```text
//! SupervisionTree::rest_for_one()
//! ├─ supervise(|| Store)                     permanent
//! ├─ supervise(|| Reader)                    permanent: restarted with Store
//! └─ nest(SupervisionTree::one_for_one())    gives its failures to the tree above
//!    ├─ supervise(|| Import)                 transient: ctx.stop() ends it
//!    └─ supervise(|| Greeting)               temporary: never restarted
//! ```
//!
//! Every actor whose context is `actix::Context` is eligible; all it takes is a [`Factory`], which is any closure
//! that makes the actor.
//!
//! # What a restart keeps
//!
//! The `Addr`, every `Recipient` and every message in the mailbox. The actor itself, its futures, timers and streams are
//! dropped before the backoff begins, and the factory makes a new actor after it. Meanwhile messages wait in the
//! mailbox. The message in hand at the panic is lost, and who sent it with `Addr::send` gets
//! `MailboxError::Closed`.
//!
//! A panic is survived wherever it happens: in a handler, in `started`, `stopping` or `stopped`, in a future, a
//! timer or a stream of the context, or in the factory. A dead actor's `stopping` and `stopped` run as they do in actix,
//! except that another panic in them is contained, too. A `ResponseFuture` is a task of its own: it neither
//! harms its actor nor ends with it.
//!
//! A supervised actor handles at most 128 messages before its other futures, and then other actors, have their turn.
//!
//! # When it gives up
//!
//! An actor that would be restarted too often within a window is given up. In a tree, the tree then halts its
//! children and fails itself, which its parent answers like the failure of any child. At the top, [`Supervise::on_escalate`] or
//! [`SupervisionTree::on_escalate`] is called. Without it, the program ends: sockets are drained, the actix `System` is stopped
//! with exit code 1, and a process whose runtime is still there a second later is ended with status 1. So a `main` that
//! awaits something else than the `System`, or a thread that is blocked, does not keep a program up that answers nothing.
//!
//! # What it cannot do
//!
//! With `panic = "abort"` nothing can be caught, see [`panics_unwind`]. A destructor that panics while another
//! panic unwinds ends the process; that is Rust's rule. An actor that blocks its thread for ever cannot
//! be stopped.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use actix::prelude::*;
//! use actix_aiomsg::supervise::{MailboxError, supervise};
//! # #[derive(Message)]
//! # #[rtype(result = "u32")]
//! # struct Divide(u32);
//!
//! struct Divider;
//! impl Actor for Divider {
//!     type Context = Context<Self>;
//! }
//! impl Handler<Divide> for Divider {
//!     type Result = u32;
//!     fn handle(&mut self, by: Divide, _: &mut Self::Context) -> u32 {
//!         100 / by.0
//!     }
//! }
//!
//! # System::new().block_on(async {
//! let divider = supervise(|| Divider).intensity(5, Duration::from_secs(10)).start();
//! assert_eq!(divider.send(Divide(0)).await, Err(MailboxError::Closed));
//! assert_eq!(divider.send(Divide(5)).await, Ok(20));
//! # });
//! ```

mod actor_runner;
#[cfg(feature = "inspection")]
mod all_children;
mod builder;
mod child_handle;
mod child_list;
mod child_record;
mod child_state;
mod child_task;
mod command;
mod down;
mod event;
mod factory;
mod incarnation;
pub(crate) mod incarnation_end;
mod left_runtime;
mod monitor;
mod panics;
mod policy;
mod program_end;
mod report;
mod tree;
mod tree_handle;
mod tree_membership;
mod tree_plan;
mod tree_runner;
mod tree_strategy;

pub use actix::MailboxError;
#[cfg(feature = "inspection")]
pub(crate) use all_children::all_children;
pub use builder::{Supervise, supervise};
pub use child_handle::Child;
pub use child_state::ChildState;
pub use down::{Down, ExitReason};
pub use event::RestartEvent;
pub use factory::{Factory, WithContext, with_context};
pub(crate) use left_runtime::{LeftRuntime, PAUSE, RuntimeEnd, when_left};
pub use monitor::{Monitor, NotSupervised, link, monitor, monitor_to};
pub use panics::{PanicPlace, PanicReport, panics_unwind};
pub(crate) use panics::{contain, drop_contained};
pub use policy::{Decision, Escalation, EscalationReason, RestartPolicy};
pub(crate) use program_end::{EndListener, ProgramScope, end_program, has_given_up, listen};
pub use report::{ChildReport, RecentRestarts, TreeReport};
pub use tree::SupervisionTree;
pub use tree_handle::{TreeEnded, TreeHandle};
pub use tree_strategy::Strategy;

pub use crate::engine::backoff::{Backoff, Delays};
