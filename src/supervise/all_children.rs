//! All supervised actors and trees of the process, for whoever inspects it.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::child_record::ChildRecord;
use super::child_state::ChildState;
use super::report::ChildReport;

static ALL: Mutex<Children> = Mutex::new(Children {
    records: Vec::new(),
    tidy_at: 64,
});

struct Children {
    records: Vec<Weak<ChildRecord>>,
    /// The length at which those that are gone are let go of: twice what was left the last time.
    tidy_at: usize,
}

/// Notes a new child.
pub(super) fn note(record: &Arc<ChildRecord>) {
    let mut all = ALL.lock();
    if all.records.len() >= all.tidy_at {
        all.records.retain(|record| record.strong_count() > 0);
        all.tidy_at = (2 * all.records.len()).max(64);
    }
    all.records.push(Arc::downgrade(record));
}

/// The children that have not ended, in the order in which they were made, each by itself.
pub(crate) fn all_children() -> Vec<ChildReport> {
    let records: Vec<_> = {
        let all = ALL.lock();
        all.records.iter().filter_map(Weak::upgrade).collect()
    };
    let alive = records
        .iter()
        .filter(|record| record.state() != ChildState::Ended);
    alive.map(|record| ChildReport::of(record, None)).collect()
}
