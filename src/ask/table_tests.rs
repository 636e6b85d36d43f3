use super::*;

const ASKER: Identity = Identity::from_bytes([7; 16]);

fn serving() -> Asks {
    let asks = Asks::new();
    asks.start_serving();
    asks
}

/// Cancellations that wait for their asks.
fn kept(asks: &Asks) -> usize {
    asks.serving.lock().early.len()
}

#[test]
fn a_cancellation_that_crosses_the_answer_is_not_kept() {
    let asks = serving();
    let cancel = asks.begin(ASKER, [1; 16]).expect("it was not cancelled");
    asks.finish(ASKER, [1; 16]);
    assert!(asks.cancel(ASKER, [1; 16]));
    assert_eq!(kept(&asks), 0);
    assert!(!cancel.is_cancelled());
}

#[test]
fn a_cancellation_of_an_ask_whose_time_is_over_is_not_kept() {
    let asks = serving();
    asks.pass_over(ASKER, [1; 16]);
    asks.cancel(ASKER, [1; 16]);
    assert_eq!(kept(&asks), 0);
    asks.cancel(ASKER, [2; 16]);
    assert_eq!(kept(&asks), 1);
    asks.pass_over(ASKER, [2; 16]);
    assert_eq!(kept(&asks), 0);
}

#[test]
fn a_cancellation_that_comes_first_is_kept_for_its_ask() {
    let asks = serving();
    asks.cancel(ASKER, [1; 16]);
    assert_eq!(kept(&asks), 1);
    assert!(asks.begin(ASKER, [1; 16]).is_none());
    assert_eq!(kept(&asks), 0);
}

#[test]
fn what_is_remembered_of_cancellations_and_answers_is_bounded() {
    let asks = serving();
    for number in 0..u64::try_from(EARLY).unwrap() * 2 {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        asks.cancel(ASKER, id);
        id[8] = 1;
        asks.finish(ASKER, id);
    }
    let serving = asks.serving.lock();
    assert_eq!(
        (serving.early.len(), serving.answered.len()),
        (EARLY, EARLY)
    );
}
