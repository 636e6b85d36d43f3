//! Decisions, and nothing else: no IO, no clock, no runtime and no actors.
//!
//! A machine here is told facts (`handle_<fact>`) and answers with what is to be done about them.
//! The time is an argument, so that a test can be exact about it.

mod arrival_run;
mod arrivals;
pub(crate) mod backoff;
mod blame;
mod connect_race;
mod copy_watch;
mod dedupe_window;
mod discovered_set;
mod handshake;
mod id_hashing;
mod id_run;
mod liveness;
mod log_limit;
mod neglect;
mod outage;
mod overflow_policy;
pub(crate) mod pressure;
mod rate_limit;
mod redial;
pub(crate) mod restart_intensity;
mod return_table;
mod roster;
pub(crate) mod service;
mod session_phase;
mod short_lived;
mod socket_phase;
mod stall;
mod taken_report;
mod unanswered_dials;
mod unclaimed_grace;

pub(crate) use arrivals::{Arrivals, REMEMBERED, Repetition};
pub use backoff::Backoff;
pub(crate) use backoff::Delays;
pub(crate) use blame::{Blame, PeerEnd, Standing, Written};
pub use socket_phase::SocketPhase;

pub(crate) use connect_race::{ConnectRace, RaceStep, Raced};
pub(crate) use copy_watch::CopyWatch;
pub(crate) use dedupe_window::{DedupeWindow, Sighting};
pub(crate) use discovered_set::{DiscoveredSet, Following, SetChange};
pub(crate) use handshake::MAX_HELLO_ENVELOPE_BYTES;
pub(crate) use handshake::{Handshake, Step};
pub(crate) use id_run::IdRun;
pub(crate) use liveness::{Liveness, LivenessVerdict, ReadState};
pub(crate) use log_limit::{LogLimit, LogPermit};
pub(crate) use neglect::NeglectWatch;
pub(crate) use outage::{Outage, Recovery};
pub(crate) use overflow_policy::{FullQueue, OverflowAction, overflow_policy};
pub(crate) use rate_limit::RateLimit;
pub(crate) use redial::{AfterDial, DialOutcome, HEALTHY, Redial, may_be_connected};
pub(crate) use return_table::{NewAsk, NotNoted, ReturnTable};
pub(crate) use roster::{Departure, Enrolment, Roster};
pub(crate) use session_phase::{ReaderEvent, SessionEnd, SessionPhase, SessionStep, WriterEnd};
pub(crate) use short_lived::ShortLived;
pub(crate) use stall::{StallDetector, StallVerdict, WaitsFor};
pub(crate) use taken_report::TakenReport;
pub(crate) use unanswered_dials::{UnansweredDials, gives_way};
pub(crate) use unclaimed_grace::UnclaimedGrace;
