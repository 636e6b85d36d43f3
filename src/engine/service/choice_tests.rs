use std::time::Duration;

use proptest::prelude::*;

use super::*;
use Candidate::{Busy, Closed, Open, Tried};

fn open(outstanding: usize) -> Candidate {
    Open { outstanding }
}

fn tried(outstanding: usize) -> Candidate {
    Tried { outstanding }
}

fn chosen(candidates: &[Candidate], random: u64) -> Choice {
    choose(candidates.len(), random, |index| candidates[index])
}

/// One random number for each half of the range of both comparisons.
const RANDOM: [u64; 4] = [0, 0x8000_0000, 0x8000_0000_0000_0000, u64::MAX];

#[test]
fn the_open_instance_with_the_fewest_outstanding_asks_is_chosen() {
    for random in RANDOM {
        let candidates = [open(3), Closed, open(1), tried(0), open(2)];
        assert_eq!(chosen(&candidates, random), Choice::Instance(2));
    }
}

#[test]
fn one_that_was_tried_is_chosen_only_if_no_other_is_open() {
    let soon = Instant::now();
    for random in RANDOM {
        let candidates = [Closed, tried(4), Busy { until: soon }, tried(2)];
        assert_eq!(chosen(&candidates, random), Choice::Instance(3));
    }
}

#[test]
fn where_all_are_busy_the_first_to_have_room_is_named() {
    let soon = Instant::now();
    let later = soon + Duration::from_secs(1);
    for random in RANDOM {
        let candidates = [Closed, Busy { until: later }, Busy { until: soon }];
        assert_eq!(chosen(&candidates, random), Choice::Busy { until: soon });
        assert_eq!(chosen(&[Closed, Closed], random), Choice::Nobody);
        assert_eq!(chosen(&[], random), Choice::Nobody);
    }
}

#[test]
fn equal_instances_get_equal_shares() {
    for count in [1, 2, 3, 16, 17, 40] {
        let candidates = vec![open(0); count];
        let mut shares = vec![0; count];
        let draws = 64 * count as u64;
        for draw in 0..draws {
            // Steps of equal size through the lower half, which decides.
            let random = (draw << 32) / draws;
            match chosen(&candidates, random) {
                Choice::Instance(index) => shares[index] += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(
            shares.iter().all(|share| (63..=65).contains(share)),
            "{shares:?}"
        );
    }
}

#[test]
fn of_many_instances_two_are_compared_and_the_lesser_is_chosen() {
    // The first hundred carry one ask each, the others two: whoever meets one of the first takes it.
    let candidates: Vec<_> = (0..200).map(|index| open(1 + index / 100)).collect();
    let first_is_less = 0x9000_0000_0000_0000;
    assert_eq!(chosen(&candidates, first_is_less), Choice::Instance(0));
    let second_is_less = 0x9000_0000_8000_0000;
    assert_eq!(chosen(&candidates, second_is_less), Choice::Instance(12));
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let epoch = Instant::now();
    let one = prop_oneof![
        (0..4_usize).prop_map(open),
        (0..4_usize).prop_map(tried),
        (0..4_u64).prop_map(move |s| Busy {
            until: epoch + Duration::from_secs(s)
        }),
        Just(Closed),
    ];
    prop::collection::vec(one, 0..40)
}

proptest! {
    /// The model sorts what may be chosen.
    #[test]
    fn the_choice_is_a_best_one(candidates in candidates(), random: u64) {
        let best = |of: fn(&Candidate) -> Option<usize>| {
            candidates.iter().filter_map(of).min()
        };
        let least_open = best(|c| match c { Open { outstanding } => Some(*outstanding), _ => None });
        let least_tried = best(|c| match c { Tried { outstanding } => Some(*outstanding), _ => None });
        let busy = candidates.iter().filter_map(|c| match c { Busy { until } => Some(*until), _ => None }).min();
        match chosen(&candidates, random) {
            Choice::Instance(index) => match (least_open, candidates[index]) {
                (Some(least), Open { outstanding }) => {
                    // Two of many need not have the least among them.
                    prop_assert!(outstanding == least || candidates.len() > 16);
                }
                (None, Tried { outstanding }) => prop_assert_eq!(Some(outstanding), least_tried),
                other => prop_assert!(false, "{:?}", other),
            },
            Choice::Busy { until } => {
                prop_assert_eq!((least_open, least_tried, busy), (None, None, Some(until)));
            }
            Choice::Nobody => prop_assert_eq!((least_open, least_tried, busy), (None, None, None)),
        }
    }
}
