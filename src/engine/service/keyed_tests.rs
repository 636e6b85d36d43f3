use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const REHOME: Duration = Duration::from_secs(1);

fn holders(names: &[(&str, u8)]) -> KeyHolders<u8> {
    let mut holders = KeyHolders::new(REHOME);
    for (name, peer) in names {
        let claim = holders.handle_offered(&Arc::from(*name), *peer);
        assert_eq!(claim, NameClaim::Holds);
    }
    holders
}

/// Whoever holds each of the first thousand keys.
fn placement(holders: &KeyHolders<u8>) -> Vec<KeyHolder<u8>> {
    (0..1000_u32)
        .map(|key| holders.holder_of(KeyHash::of(&key.to_be_bytes())))
        .collect()
}

#[test]
fn the_hash_and_the_placement_are_those_of_every_build() {
    assert_eq!(KeyHash::of(b""), KeyHash(0xe3b0_c442_98fc_1c14));
    assert_eq!(KeyHash::of(b"abc"), KeyHash(0xba78_16bf_8f01_cfea));
    let holders = holders(&[("inventory-0", 0), ("inventory-1", 1), ("inventory-2", 2)]);
    let keys = ["alice", "bob", "carol", "dave", "erin", "frank"];
    let held = keys.map(|key| holders.holder_of(KeyHash::of(key.as_bytes())));
    assert_eq!(held, [2, 0, 1, 2, 2, 1].map(KeyHolder::Peer));
}

#[test]
fn keys_spread_evenly() {
    let holders = holders(&[("a", 0), ("b", 1), ("c", 2), ("d", 3)]);
    let mut shares = BTreeMap::new();
    for holder in placement(&holders) {
        match holder {
            KeyHolder::Peer(peer) => *shares.entry(peer).or_insert(0) += 1,
            KeyHolder::Absent | KeyHolder::Nobody => panic!("all are there"),
        }
    }
    assert_eq!(shares.len(), 4);
    assert!(
        shares.values().all(|share| (200..300).contains(share)),
        "{shares:?}"
    );
}

#[test]
fn keys_of_a_withdrawn_instance_move_at_once_and_no_others() {
    let mut holders = holders(&[("a", 0), ("b", 1), ("c", 2)]);
    let before = placement(&holders);
    assert_eq!(holders.handle_withdrawn("b", 1), None);
    for (before, after) in before.iter().zip(placement(&holders)) {
        match before {
            KeyHolder::Peer(1) => assert_ne!(after, KeyHolder::Peer(1)),
            _ => assert_eq!(*before, after),
        }
    }
}

#[test]
fn keys_of_a_lost_instance_wait_for_it_and_move_when_it_does_not_come_back() {
    let now = Instant::now();
    let mut holders = holders(&[("a", 0), ("b", 1)]);
    let before = placement(&holders);
    assert_eq!(holders.handle_disconnected("b", 1, now), None);
    let absent: Vec<_> = before
        .iter()
        .map(|holder| match holder {
            KeyHolder::Peer(1) => KeyHolder::Absent,
            other => *other,
        })
        .collect();
    assert_eq!(placement(&holders), absent);
    assert_eq!(holders.next_deadline(), Some(now + REHOME));
    assert_eq!(holders.handle_deadline(now + REHOME / 2), []);
    assert_eq!(placement(&holders), absent);
    assert_eq!(holders.handle_deadline(now + REHOME), [Arc::from("b")]);
    assert_eq!(placement(&holders), vec![KeyHolder::Peer(0); 1000]);
    assert_eq!(holders.next_deadline(), None);
}

#[test]
fn an_instance_that_comes_back_as_another_peer_holds_the_same_keys() {
    let now = Instant::now();
    let mut holders = holders(&[("a", 0), ("b", 1)]);
    let before = placement(&holders);
    holders.handle_disconnected("b", 1, now);
    assert_eq!(holders.handle_offered(&Arc::from("b"), 9), NameClaim::Holds);
    assert_eq!(holders.next_deadline(), None);
    let expected: Vec<_> = before
        .iter()
        .map(|holder| match holder {
            KeyHolder::Peer(1) => KeyHolder::Peer(9),
            other => *other,
        })
        .collect();
    assert_eq!(placement(&holders), expected);
}

#[test]
fn a_second_holder_of_a_name_waits_until_the_first_leaves() {
    let now = Instant::now();
    let mut holders = holders(&[("a", 0)]);
    let name = Arc::from("a");
    let second = NameClaim::SecondHolder { first: 0 };
    assert_eq!(holders.handle_offered(&name, 1), second);
    assert_eq!(holders.handle_offered(&name, 1), second);
    assert_eq!(holders.handle_offered(&name, 2), second);
    assert_eq!(placement(&holders), vec![KeyHolder::Peer(0); 1000]);
    // The next in line has it at once; one that gives up its place is not in line.
    assert_eq!(holders.handle_disconnected("a", 0, now), Some(1));
    assert_eq!(holders.handle_withdrawn("a", 2), None);
    assert_eq!(holders.next_deadline(), None);
    assert_eq!(holders.handle_withdrawn("a", 1), None);
    assert_eq!(placement(&holders), vec![KeyHolder::Nobody; 1000]);
}

#[derive(Debug, Clone, Copy)]
enum Fact {
    Offered,
    Withdrawn,
    Disconnected,
    Passed,
}

fn facts() -> impl Strategy<Value = Vec<(Fact, u8, u8)>> {
    let fact = prop_oneof![
        3 => Just(Fact::Offered),
        1 => Just(Fact::Withdrawn),
        2 => Just(Fact::Disconnected),
        2 => Just(Fact::Passed),
    ];
    prop::collection::vec((fact, 0..4_u8, 0..3_u8), 0..40)
}

/// The model of one name: who is in line, and since when nobody has been.
#[derive(Debug, Clone, Default)]
struct Line {
    peers: Vec<u8>,
    absent_since: Option<u64>,
}

#[test]
fn a_time_longer_than_any_clock_counts_to_keeps_the_keys_for_ten_years() {
    let now = Instant::now();
    let mut holders = KeyHolders::new(Duration::from_secs(1));
    holders.set_rehome(Duration::MAX);
    let name: Arc<str> = "inventory-0".into();
    holders.handle_offered(&name, 1);
    holders.handle_disconnected(&name, 1, now);
    assert_eq!(holders.next_deadline(), Some(now + LONGEST_REHOME));
    assert!(holders.handle_deadline(now + LONGEST_REHOME / 2).is_empty());
    assert_eq!(holders.handle_deadline(now + LONGEST_REHOME), [name]);
}

proptest! {
    /// The model keeps a line of peers for each name. It also shows that keys move only from names that have left, or
    /// to names that have come.
    #[test]
    fn names_agree_with_lines_and_no_other_keys_move(facts in facts()) {
        let epoch = Instant::now();
        let keys: Vec<_> = (0..16_u8).map(|key| KeyHash::of(&[key])).collect();
        let mut holders: KeyHolders<u8> = KeyHolders::new(REHOME);
        let mut model: BTreeMap<String, Line> = BTreeMap::new();
        let mut millis = 0;
        for (fact, peer, name) in facts {
            let name = format!("instance-{name}");
            let now = epoch + Duration::from_millis(millis);
            let names_before: Vec<String> = model.keys().cloned().collect();
            let name_of = |holders: &KeyHolders<u8>, key: KeyHash| {
                let score = |name: &Name<u8>| mix(key.0 ^ name.hash);
                let best = holders.names.iter().max_by_key(|name| score(name));
                best.map(|name| name.name.to_string())
            };
            let before: Vec<_> = keys.iter().map(|key| name_of(&holders, *key)).collect();
            match fact {
                Fact::Offered => {
                    let line = model.entry(name.clone()).or_default();
                    if !line.peers.contains(&peer) {
                        line.peers.push(peer);
                    }
                    line.absent_since = None;
                    let expected = match line.peers[0] {
                        first if first == peer => NameClaim::Holds,
                        first => NameClaim::SecondHolder { first },
                    };
                    prop_assert_eq!(holders.handle_offered(&name.as_str().into(), peer), expected);
                }
                Fact::Withdrawn | Fact::Disconnected => {
                    let mut successor = None;
                    if let Some(line) = model.get_mut(&name) {
                        let held = line.peers.first() == Some(&peer);
                        line.peers.retain(|p| *p != peer);
                        successor = line.peers.first().copied().filter(|_| held);
                        if held && line.peers.is_empty() {
                            match fact {
                                Fact::Withdrawn => drop(model.remove(&name)),
                                _ => line.absent_since = Some(millis),
                            }
                        }
                    }
                    let yielded = match fact {
                        Fact::Withdrawn => holders.handle_withdrawn(&name, peer),
                        _ => holders.handle_disconnected(&name, peer, now),
                    };
                    prop_assert_eq!(yielded, successor);
                }
                Fact::Passed => {
                    millis += 400;
                    let now = epoch + Duration::from_millis(millis);
                    let mut left: Vec<_> = holders.handle_deadline(now).iter().map(ToString::to_string).collect();
                    left.sort();
                    let is_over = |line: &Line| line.absent_since.is_some_and(|since| millis >= since + 1000);
                    let expected: Vec<_> = model.iter().filter(|(_, l)| is_over(l)).map(|(n, _)| n.clone()).collect();
                    prop_assert_eq!(&left, &expected);
                    model.retain(|_, line| !is_over(line));
                }
            }
            for (&key, before) in keys.iter().zip(before) {
                let after = name_of(&holders, key);
                if before != after {
                    let left = before.is_none_or(|name| !model.contains_key(&name));
                    let came = after.is_some_and(|name| !names_before.contains(&name));
                    prop_assert!(left || came);
                }
                match holders.holder_of(key) {
                    KeyHolder::Peer(peer) => {
                        prop_assert!(model.values().any(|line| line.peers.first() == Some(&peer)));
                    }
                    KeyHolder::Absent => {
                        prop_assert!(model.values().any(|line| line.absent_since.is_some()));
                    }
                    KeyHolder::Nobody => prop_assert!(model.is_empty()),
                }
            }
        }
    }
}
