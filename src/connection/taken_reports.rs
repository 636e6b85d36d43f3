//! Reports to the peers that an arbiter does not read, for want of room. Nothing of it is there while all
//! are read.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::liveness_sweep::SweptConnection;
use crate::clock;
use crate::engine::TakenReport;
use crate::timer::Interval;

/// How often the handlers of a connection that is not read are looked at: a message that is finished is told of so
/// much later at most, because each look may be told.
const PERIOD: Duration = Duration::from_millis(125);

const _: () = assert!(PERIOD.as_millis() >= TakenReport::PACE.as_millis());

thread_local! {
    static PAUSED: RefCell<Paused> = const {
        RefCell::new(Paused { connections: Vec::new(), interval: Weak::new() })
    };
}

/// The connections of a thread that are not read.
struct Paused {
    connections: Vec<(Weak<SweptConnection>, TakenReport)>,
    /// That of the task that reports, while there is one: it ends with its runtime.
    interval: Weak<Interval>,
}

/// A connection is not read from now on.
#[inline]
pub(super) fn note_paused(swept: &Rc<SweptConnection>) {
    if let Some(link) = swept.begin_reports() {
        let report = TakenReport::new(link.handled());
        PAUSED.with_borrow_mut(|paused| paused.add(Rc::downgrade(swept), report));
    }
}

impl Paused {
    fn add(&mut self, swept: Weak<SweptConnection>, report: TakenReport) {
        self.connections.push((swept, report));
        if self.interval.strong_count() == 0 {
            let interval = Rc::new(Interval::every(PERIOD));
            self.interval = Rc::downgrade(&interval);
            actix_rt::spawn(run(interval));
        }
    }
}

/// Reports until all connections are read.
async fn run(interval: Rc<Interval>) {
    loop {
        interval.next().await;
        let mut connections =
            PAUSED.with_borrow_mut(|paused| std::mem::take(&mut paused.connections));
        let now = clock::now();
        connections.retain_mut(|(swept, report)| {
            swept
                .upgrade()
                .is_some_and(|swept| swept.report(now, report))
        });
        let is_over = PAUSED.with_borrow_mut(|paused| {
            paused.connections.append(&mut connections);
            let is_over = paused.connections.is_empty();
            if is_over {
                paused.connections = Vec::new();
                paused.interval = Weak::new();
            }
            is_over
        });
        if is_over {
            return;
        }
    }
}
