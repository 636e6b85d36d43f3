//! Which instance of a service is asked.

use std::time::Instant;

/// Instances up to which all are compared. Above, two at random are.
const COMPARED: usize = 16;

/// What counts of one instance for a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// It may be asked. So many asks of ours wait for its answer.
    Open { outstanding: usize },
    /// It may be asked, but this very ask has been there before.
    Tried { outstanding: usize },
    /// It has no room until then.
    Busy { until: Instant },
    /// It may not be asked.
    Closed,
}

/// The instance that is asked, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The instance of this index.
    Instance(usize),
    /// All that are there are busy; the first of them until then.
    Busy { until: Instant },
    /// There is none, or all are draining, left out or down.
    Nobody,
}

/// Chooses one of `count` instances: the open one with the fewest outstanding asks; one that was tried only if no
/// other is open. Ties, and the two that are compared of many, are decided by `random`.
pub(crate) fn choose(count: usize, random: u64, candidate: impl Fn(usize) -> Candidate) -> Choice {
    if count > COMPARED
        && let Some(index) = lesser_of_two(count, random, &candidate)
    {
        return Choice::Instance(index);
    }
    least_of_all(count, random, candidate)
}

/// The lesser of two random instances, if one of them is open.
fn lesser_of_two(
    count: usize,
    random: u64,
    candidate: impl Fn(usize) -> Candidate,
) -> Option<usize> {
    let first = below(random as u32, count);
    // Another one than the first.
    let second = (first + 1 + below((random >> 32) as u32, count - 1)) % count;
    match (candidate(first), candidate(second)) {
        (Candidate::Open { outstanding: a }, Candidate::Open { outstanding: b }) => {
            Some(if b < a { second } else { first })
        }
        (Candidate::Open { .. }, _) => Some(first),
        (_, Candidate::Open { .. }) => Some(second),
        _ => None,
    }
}

fn least_of_all(count: usize, random: u64, candidate: impl Fn(usize) -> Candidate) -> Choice {
    let start = below(random as u32, count);
    let (mut open, mut tried, mut busy) = (None, None, None);
    for index in (start..count).chain(0..start) {
        match candidate(index) {
            Candidate::Open { outstanding } => keep_less(&mut open, outstanding, index),
            Candidate::Tried { outstanding } => keep_less(&mut tried, outstanding, index),
            Candidate::Busy { until } => keep_less(&mut busy, until, index),
            Candidate::Closed => {}
        }
    }
    match (open.or(tried), busy) {
        (Some((_, index)), _) => Choice::Instance(index),
        (None, Some((until, _))) => Choice::Busy { until },
        (None, None) => Choice::Nobody,
    }
}

fn keep_less<V: Ord>(least: &mut Option<(V, usize)>, value: V, index: usize) {
    if least.as_ref().is_none_or(|(least, _)| value < *least) {
        *least = Some((value, index));
    }
}

/// Maps a random number to those below `count`, all of which are as likely.
fn below(random: u32, count: usize) -> usize {
    ((u64::from(random) * count as u64) >> 32) as usize
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
