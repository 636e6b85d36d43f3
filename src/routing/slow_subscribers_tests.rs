//! Subscribers that are slow and stalled, by hand, in virtual time.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::super::tests::{core, join, peer};
use crate::clock;
use crate::core::SocketCore;
use crate::limits::{Overflow, SendMode};
use crate::link::{Link, NextWrite, Target, WriteBatch};
use crate::socket::Sending;

const SECOND: Duration = Duration::from_secs(1);

fn publisher() -> Arc<SocketCore> {
    core(|config| {
        config.send_mode = SendMode::Publish;
        config.limits.link_capacity.messages = 4;
        assert_eq!(config.limits.publish_overflow, Overflow::WaitFor(SECOND));
    })
}

fn message(core: &Arc<SocketCore>) -> Sending<'_> {
    Sending::new(&core.router, Target::Mode, Bytes::from_static(b"message"))
}

async fn publish(core: &Arc<SocketCore>, count: usize) {
    for _ in 0..count {
        message(core).await.unwrap();
    }
}

/// Takes all that is queued, again and again: of each block the kernel takes a byte after half a pause, and
/// the rest after the other half.
async fn take(core: &Arc<SocketCore>, link: &Link, pause: Duration) {
    let mut batch = WriteBatch::default();
    let accept = |bytes| {
        if link.is_waited_for() {
            link.note_accepted(clock::uptime(clock::now()), bytes);
        }
    };
    loop {
        if core.router.next_write(link, &mut batch, Waker::noop()) != NextWrite::Write {
            sleep(SECOND / 1000).await;
            continue;
        }
        sleep(pause / 2).await;
        accept(1);
        sleep(pause / 2).await;
        accept(batch.len() - 1);
        batch.written = batch.len();
    }
}

/// While the subscribers do what they do.
async fn meanwhile<T>(publishing: impl Future<Output = T>, subscribers: impl Future) -> T {
    tokio::select! {
        published = publishing => published,
        _ = subscribers => unreachable!("they never end"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_loses_nothing_however_slow_as_long_as_it_takes_something_within_the_patience()
{
    let core = publisher();
    let (slow, fast) = (join(&core, 1), join(&core, 2));
    let subscribers = async {
        tokio::join!(
            take(&core, &slow, SECOND * 19 / 10),
            take(&core, &fast, SECOND / 100)
        )
    };
    let begun = Instant::now();
    meanwhile(publish(&core, 200), subscribers).await;
    assert!(begun.elapsed() > 60 * SECOND, "{:?}", begun.elapsed());
    let stats = core.stats();
    assert_eq!(stats.dead_letters, 0);
    assert_eq!(stats.slowest_subscriber, Some(peer(1)));
}

#[tokio::test(start_paused = true)]
async fn each_link_has_a_clock_of_its_own_and_only_stalled_ones_are_dropped_from() {
    let core = publisher();
    let (slow, fast) = (join(&core, 1), join(&core, 2));
    let _stalled: Vec<_> = (3..=6).map(|number| join(&core, number)).collect();
    let subscribers = async {
        tokio::join!(
            take(&core, &slow, SECOND * 8 / 10),
            take(&core, &fast, SECOND / 100)
        )
    };
    let begun = Instant::now();
    meanwhile(
        async {
            publish(&core, 5).await;
            // All four are given up together: they were looked at after an eighth of the patience.
            assert_eq!(begun.elapsed().as_millis(), 1125);
            publish(&core, 95).await;
        },
        subscribers,
    )
    .await;
    let stats = core.stats();
    assert_eq!(stats.losses.overflow, 4 * 96);
    assert_eq!(stats.queued_messages as u64 + stats.sent, 6 * 100 - 4 * 96);
    assert_eq!(stats.slowest_subscriber, Some(peer(1)));
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_says_that_its_handlers_go_on_is_waited_for() {
    let core = publisher();
    let slow = join(&core, 1);
    let handling = async {
        for handled in 1..=20 {
            sleep(SECOND * 9 / 10).await;
            slow.note_taken(clock::uptime(clock::now()), handled);
        }
        std::future::pending::<()>().await;
    };
    let begun = Instant::now();
    meanwhile(publish(&core, 5), handling).await;
    assert_eq!(begun.elapsed().as_millis(), 20 * 900 + 1000);
    assert_eq!(core.stats().losses.overflow, 1);
}

#[tokio::test(start_paused = true)]
async fn who_never_waits_is_refused_until_a_subscriber_is_stalled() {
    let core = publisher();
    let _stalled = join(&core, 1);
    publish(&core, 4).await;
    for _ in 0..10 {
        assert!(message(&core).try_now().is_err());
        sleep(SECOND / 10).await;
    }
    assert_eq!(message(&core).try_now(), Ok(()));
    assert_eq!(core.stats().losses.overflow, 1);
}

#[tokio::test(start_paused = true)]
async fn a_hostile_subscriber_is_given_up_below_the_least_rate() {
    let core = publisher();
    let mut limits = *core.limits.current();
    limits.min_subscriber_rate = Some(100_000);
    limits.link_capacity.bytes = 1 << 20;
    assert!(
        core.limits
            .replace(&core.limits.current(), limits, |limits| {
                core.router.handle_limits(limits);
            })
    );
    let hostile = join(&core, 1);
    let trickle = async {
        loop {
            sleep(SECOND / 2).await;
            hostile.note_accepted(clock::uptime(clock::now()), 1);
        }
    };
    let begun = Instant::now();
    meanwhile(publish(&core, 100), trickle).await;
    assert_eq!(
        begun.elapsed().as_secs(),
        1,
        "and then it is waited for no more"
    );
    assert_eq!(core.stats().losses.overflow, 96);
}

#[tokio::test(start_paused = true)]
async fn publishers_that_wait_for_a_stalled_subscriber_keep_their_order() {
    let core = publisher();
    let stalled = join(&core, 1);
    publish(&core, 4).await;
    let numbered = |number: u8| {
        Sending::new(
            &core.router,
            Target::Mode,
            Bytes::copy_from_slice(&[number]),
        )
    };
    let mut waiting: Vec<_> = (0..4).map(numbered).collect();
    for sending in &mut waiting {
        assert!(super::super::tests::poll(sending).is_pending());
    }
    // Polled last first: only the line decides.
    let mut waiting: Vec<_> = waiting.into_iter().rev().map(Some).collect();
    std::future::poll_fn(|cx| {
        for slot in &mut waiting {
            let sending = slot
                .as_mut()
                .map(|sending| std::pin::Pin::new(sending).poll(cx));
            if sending.is_some_and(|sent| sent.is_ready()) {
                *slot = None;
            }
        }
        match waiting.iter().any(Option::is_some) {
            true => std::task::Poll::Pending,
            false => std::task::Poll::Ready(()),
        }
    })
    .await;
    let left = stalled.close(WriteBatch::default()).unsent;
    let numbers: Vec<u8> = left.iter().map(|entry| entry.payload[0]).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
}
