use super::*;

const LIMIT: usize = 4;

fn nobody(_: &char) -> bool {
    false
}

fn everybody(_: &char) -> bool {
    true
}

/// The peers `a`, `b` and `c`, dialled.
fn dialled() -> DiscoveredSet<char> {
    let mut set = DiscoveredSet::new(LIMIT);
    set.handle_set("abc".chars(), nobody);
    while set.next_to_dial().is_some() {}
    set
}

fn change(found: usize, new: usize, gone: usize) -> SetChange {
    SetChange {
        found,
        new,
        gone,
        ignored: 0,
    }
}

#[test]
fn what_is_found_is_dialled_in_its_order_and_once() {
    let mut set = DiscoveredSet::new(LIMIT);
    let found = set.handle_set("abca".chars(), nobody);
    assert_eq!(found, (change(3, 3, 0), vec![]));
    let again = set.handle_set("cba".chars(), nobody);
    assert_eq!(again, (change(3, 0, 0), vec![]));
    let mut order = String::new();
    while set.has_waiting() {
        order.extend(set.next_to_dial());
    }
    assert_eq!(order, "abc");
    assert_eq!(set.next_to_dial(), None);
}

#[test]
fn an_empty_set_changes_nothing() {
    let mut set = dialled();
    let empty = set.handle_set("".chars(), nobody);
    assert_eq!(empty, (SetChange::default(), vec![]));
    let next = set.handle_set("abc".chars(), nobody);
    assert_eq!(next, (change(3, 0, 0), vec![]));
}

#[test]
fn who_has_vanished_and_is_not_connected_is_not_dialled_any_more() {
    let mut set = dialled();
    let next = set.handle_set("ac".chars(), nobody);
    assert_eq!(next, (change(2, 0, 1), vec![('b', Following::Stop)]));
    let back = set.handle_set("abc".chars(), nobody);
    assert_eq!(back, (change(3, 1, 0), vec![]));
    assert_eq!(set.next_to_dial(), Some('b'));
}

#[test]
fn who_has_vanished_and_is_connected_keeps_its_connection() {
    let mut set = dialled();
    let next = set.handle_set("ac".chars(), everybody);
    assert_eq!(next, (change(2, 0, 1), vec![('b', Following::Release)]));
    let still = set.handle_set("ac".chars(), everybody);
    assert_eq!(still, (change(2, 0, 0), vec![]));
    let ended = set.handle_set("ac".chars(), nobody);
    assert_eq!(ended, (change(2, 0, 0), vec![('b', Following::Stop)]));
}

#[test]
fn who_is_back_while_still_connected_is_kept() {
    let mut set = dialled();
    set.handle_set("ac".chars(), everybody);
    let back = set.handle_set("abc".chars(), everybody);
    assert_eq!(back, (change(3, 1, 0), vec![('b', Following::Keep)]));
    assert!(!set.has_waiting());
}

#[test]
fn who_is_back_after_its_connection_has_ended_is_dialled_anew() {
    let mut set = dialled();
    set.handle_set("ac".chars(), everybody);
    let back = set.handle_set("abc".chars(), nobody);
    assert_eq!(back, (change(3, 1, 0), vec![('b', Following::Stop)]));
    assert_eq!(set.next_to_dial(), Some('b'));
}

#[test]
fn who_vanishes_before_its_turn_is_never_dialled_and_once_if_it_is_back() {
    let mut set = DiscoveredSet::new(LIMIT);
    set.handle_set("ab".chars(), nobody);
    let gone = set.handle_set("a".chars(), nobody);
    assert_eq!(gone, (change(1, 0, 1), vec![]));
    set.handle_set("ab".chars(), nobody);
    assert_eq!(set.next_to_dial(), Some('a'));
    assert_eq!(set.next_to_dial(), Some('b'));
    assert_eq!(set.next_to_dial(), None);
}

#[test]
fn above_the_limit_the_rest_is_counted_and_not_dialled() {
    let mut set = DiscoveredSet::new(LIMIT);
    let (change, _) = set.handle_set("abcdeef".chars(), nobody);
    assert_eq!((change.found, change.ignored), (4, 3));
    let mut dialled = 0;
    while set.next_to_dial().is_some() {
        dialled += 1;
    }
    assert_eq!(dialled, LIMIT);
}
