//! Restarts of a socket's actors, and the end of the socket when one cannot be kept alive.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context};

use crate::core::{Part, SocketCore};
use crate::engine::Backoff;
use crate::event::SocketEvent;
use crate::supervise::{
    Decision, Escalation, Factory, PanicReport, RestartPolicy, Supervise, end_program, supervise,
};
use crate::sync::Mutex;

/// Restarts that each of the socket's own actors may need, and in what time.
const INTENSITY: (u32, Duration) = (5, Duration::from_secs(10));

/// Pause before the first restart, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// An actor of a socket: restarted after a panic, with an event, and ended by its own stop.
pub(super) fn watched<A: Actor<Context = Context<A>>>(
    core: &Arc<SocketCore>,
    name: &'static str,
    mut factory: impl FnMut() -> A + 'static,
) -> Supervise<A, impl Factory<A>> {
    let core = Arc::clone(core);
    let panicked_with: Arc<Mutex<Option<String>>> = Arc::default();
    let reason = Arc::clone(&panicked_with);
    // The event is for a restart and not for a panic, because the last one may not be answered by one.
    let announcing = move || {
        let actor = factory();
        if let Some(reason) = reason.lock().take() {
            core.events.announce(&SocketEvent::Restarted {
                actor: name.to_owned(),
                reason,
            });
        }
        actor
    };
    supervise(announcing)
        .name(name)
        .restart(RestartPolicy::Transient)
        .intensity(INTENSITY.0, INTENSITY.1)
        .backoff(Backoff::exponential(BACKOFF.0, BACKOFF.1))
        .on_panic(move |panic: &PanicReport| {
            tracing::error!(
                actor = name,
                reason = panic.message(),
                "an actor of the socket panicked"
            );
            *panicked_with.lock() = Some(panic.message().to_owned());
            Decision::Restart
        })
}

/// Without this actor the socket cannot go on. It is closed where somebody hears of that; otherwise the program
/// ends, as it does without any other actor that it relies on.
pub(super) fn vital<A, F>(child: Supervise<A, F>, core: &Arc<SocketCore>) -> Supervise<A, F>
where
    A: Actor<Context = Context<A>>,
    F: Factory<A>,
{
    let core = Arc::clone(core);
    child.on_escalate(move |escalation: Escalation| {
        let reason = describe(&escalation);
        core.standing.note_given_up(Part::Vital, reason.clone());
        if core.events.has_listeners() {
            tracing::error!(%reason, "the socket is closed");
            core.end(&reason);
        } else {
            tracing::error!(%reason, "a socket cannot go on, and nobody listens to its events");
            end_program(escalation);
        }
    })
}

pub(super) fn describe(escalation: &Escalation) -> String {
    let panic = escalation
        .panic()
        .map_or("no panic", |panic| panic.message());
    format!(
        "its {} was restarted too often; it last failed with: {panic}",
        escalation.child()
    )
}
