use std::time::Duration;

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

/// Counts how often a task was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn asks_that_are_answered_one_after_the_other_wake_the_sweep_once_and_one_that_is_not_ends_in_time()
 {
    const TIMEOUT: Duration = Duration::from_secs(5);
    let asks = Asks::new();
    let wakes = Arc::new(Wakes::default());
    let waker = std::task::Waker::from(Arc::clone(&wakes));
    let mut sweep = std::pin::pin!(asks.sweep());
    let mut look = || {
        let pending = sweep
            .as_mut()
            .poll(&mut std::task::Context::from_waker(&waker));
        assert!(pending.is_pending());
        wakes.0.load(Ordering::SeqCst)
    };
    assert_eq!(look(), 0);
    for _ in 0..10 {
        let (number, _) = asks.register_many(Vec::new(), clock::now() + TIMEOUT);
        assert_eq!(look(), 1);
        asks.give_up(number);
        tokio::time::advance(TIMEOUT / 100).await;
    }
    let (_, mut ended) = asks.register_many(Vec::new(), clock::now() + TIMEOUT);
    assert_eq!(look(), 1);
    assert!(ended.try_recv().is_err());
    // An earlier one is waited for as well.
    let (_, mut sooner) = asks.register_many(Vec::new(), clock::now() + TIMEOUT / 100);
    assert_eq!(look(), 2);
    tokio::time::advance(TIMEOUT / 100).await;
    look();
    assert!(matches!(
        sooner.try_recv(),
        Err(mpsc::error::TryRecvError::Disconnected)
    ));
    assert!(matches!(
        ended.try_recv(),
        Err(mpsc::error::TryRecvError::Empty)
    ));
    tokio::time::advance(TIMEOUT).await;
    look();
    assert!(matches!(
        ended.try_recv(),
        Err(mpsc::error::TryRecvError::Disconnected)
    ));
    assert_eq!(asks.outstanding(), 0);
}
