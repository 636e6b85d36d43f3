//! Notices for one actor, which wait in a queue of their own when its mailbox is full.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use actix::dev::SendError;
use actix::{Message, Recipient};
use tokio::sync::Notify;

use crate::sync::Mutex;

/// Notices that wait for a slow recipient, at most.
const CAPACITY: usize = 1024;

/// A message of which several may have to be skipped.
pub(crate) trait Notice: Message<Result = ()> + Clone + Send + Unpin + 'static {
    /// A notice that tells how many were skipped; `None` if the next one has to tell it.
    fn lagged(skipped: u64) -> Option<Self>;

    /// Notes how many were skipped before this one.
    fn note_skipped(&mut self, _: u64) {}
}

/// Notices for one recipient. Above the capacity they are counted, and the recipient is told how many it missed.
#[derive(Debug)]
pub(crate) struct NoticeQueue<M: Notice>(Arc<Shared<M>>);

struct Shared<M: Notice> {
    recipient: Recipient<M>,
    waiting: Mutex<Waiting<M>>,
    filled: Notify,
}

#[derive(Debug)]
struct Waiting<M> {
    notices: VecDeque<M>,
    skipped: u64,
    /// Set while a task feeds the recipient that ends when nothing waits.
    fed: bool,
    ended: bool,
}

impl<M: Notice> NoticeQueue<M> {
    pub(crate) fn new(recipient: Recipient<M>) -> Self {
        Self(Arc::new(Shared {
            recipient,
            waiting: Mutex::new(Waiting {
                notices: VecDeque::new(),
                skipped: 0,
                fed: false,
                ended: false,
            }),
            filled: Notify::new(),
        }))
    }

    /// Queues a notice for the task that [feeds](Self::feed) the recipient. False when the queue has ended.
    pub(crate) fn queue(&self, notice: &M) -> bool {
        let mut waiting = self.0.waiting.lock();
        if waiting.ended {
            return false;
        }
        waiting.put(notice.clone());
        drop(waiting);
        self.0.filled.notify_one();
        true
    }

    /// Puts a notice into the recipient's mailbox at once, or queues it if that is full or others wait. Needs no
    /// task, so that it can be called in a destructor.
    pub(crate) fn deliver(&self, notice: M) {
        let mut waiting = self.0.waiting.lock();
        if waiting.ended {
            return;
        }
        waiting.put(notice);
        while !waiting.fed
            && let Some(next) = waiting.pop()
        {
            match self.0.recipient.try_send(next) {
                Ok(()) => {}
                Err(SendError::Full(next)) => return waiting.notices.push_front(next),
                Err(SendError::Closed(_)) => return waiting.end(),
            }
        }
    }

    /// Starts a task that feeds the recipient until nothing waits, if anything does and no such task runs. To be
    /// called within an arbiter.
    pub(crate) fn follow_up(&self) {
        let mut waiting = self.0.waiting.lock();
        if waiting.fed || waiting.is_empty() {
            return;
        }
        waiting.fed = true;
        let feeding = Feeding(Some(self.clone()));
        actix::spawn(async move {
            let queue = feeding.0.as_ref().expect("taken at the end").clone();
            while let Some(next) = queue.pop_or_rest() {
                queue.send(next).await;
            }
            feeding.rest();
        });
    }

    /// Feeds the recipient, one notice at a time, until the queue has ended or the recipient is gone.
    pub(crate) async fn feed(self) {
        loop {
            let (next, ended) = {
                let mut waiting = self.0.waiting.lock();
                (waiting.pop(), waiting.ended)
            };
            match next {
                Some(notice) => self.send(notice).await,
                None if ended => return,
                None => self.0.filled.notified().await,
            }
        }
    }

    /// Ends the queue; notices that wait are still delivered.
    pub(crate) fn end(&self) {
        self.0.waiting.lock().ended = true;
        self.0.filled.notify_one();
    }

    async fn send(&self, notice: M) {
        let recipient = &self.0.recipient;
        if recipient.send(notice).await.is_err() && !recipient.connected() {
            self.0.waiting.lock().end();
        }
    }

    /// The next notice, or the end of the task that asks.
    fn pop_or_rest(&self) -> Option<M> {
        let mut waiting = self.0.waiting.lock();
        let next = waiting.pop();
        waiting.fed = next.is_some();
        next
    }
}

impl<M: Notice> Clone for NoticeQueue<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Notice> fmt::Debug for Shared<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl<M: Notice> Waiting<M> {
    fn put(&mut self, mut notice: M) {
        if self.notices.len() >= CAPACITY {
            self.skipped += 1;
            return;
        }
        let skipped = std::mem::take(&mut self.skipped);
        if skipped > 0 {
            match M::lagged(skipped) {
                Some(lagged) => self.notices.push_back(lagged),
                None => notice.note_skipped(skipped),
            }
        }
        self.notices.push_back(notice);
    }

    /// The next notice. The gap is told even if nothing comes behind it.
    fn pop(&mut self) -> Option<M> {
        self.notices.pop_front().or_else(|| {
            let lagged = M::lagged(self.skipped).filter(|_| self.skipped > 0)?;
            self.skipped = 0;
            Some(lagged)
        })
    }

    fn is_empty(&self) -> bool {
        self.notices.is_empty() && self.skipped == 0
    }

    fn end(&mut self) {
        self.ended = true;
        self.notices.clear();
        self.skipped = 0;
    }
}

/// A task that feeds a recipient. Dropped with its arbiter, it leaves the rest to the next one.
struct Feeding<M: Notice>(Option<NoticeQueue<M>>);

impl<M: Notice> Feeding<M> {
    fn rest(mut self) {
        self.0 = None;
    }
}

impl<M: Notice> Drop for Feeding<M> {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.0.waiting.lock().fed = false;
        }
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::sync::mpsc;

    use actix::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq, Message)]
    #[rtype(result = "()")]
    enum Told {
        Number(u64),
        Lagged(u64),
    }

    impl Notice for Told {
        fn lagged(skipped: u64) -> Option<Self> {
            Some(Self::Lagged(skipped))
        }
    }

    struct Listener(mpsc::Sender<Told>);

    impl Actor for Listener {
        type Context = Context<Self>;
    }

    impl Handler<Told> for Listener {
        type Result = ();

        fn handle(&mut self, told: Told, _: &mut Context<Self>) {
            self.0.send(told).unwrap();
        }
    }

    /// A recipient with a mailbox of one place, which runs when the test awaits something.
    fn listener() -> (NoticeQueue<Told>, mpsc::Receiver<Told>) {
        let (sender, heard) = mpsc::channel();
        let address = Listener::create(|ctx| {
            ctx.set_mailbox_capacity(1);
            Listener(sender)
        });
        (NoticeQueue::new(address.recipient()), heard)
    }

    async fn hear(heard: &mpsc::Receiver<Told>, count: usize) -> Vec<Told> {
        let mut all = Vec::new();
        while all.len() < count {
            tokio::task::yield_now().await;
            all.extend(heard.try_iter());
        }
        all
    }

    fn waiting(queue: &NoticeQueue<Told>) -> usize {
        queue.0.waiting.lock().notices.len()
    }

    #[actix_rt::test]
    async fn notices_that_fit_need_no_task() {
        let (queue, heard) = listener();
        for number in 0..3 {
            queue.deliver(Told::Number(number));
            assert_eq!(hear(&heard, 1).await, [Told::Number(number)]);
        }
        assert_eq!(waiting(&queue), 0);
    }

    #[actix_rt::test]
    async fn notices_that_do_not_fit_come_in_order_and_the_task_ends_with_the_last() {
        let (queue, heard) = listener();
        for number in 0..10 {
            queue.deliver(Told::Number(number));
            queue.follow_up();
        }
        assert!(waiting(&queue) > 0);
        let numbers: Vec<_> = (0..10).map(Told::Number).collect();
        assert_eq!(hear(&heard, 10).await, numbers);
        tokio::task::yield_now().await;
        assert!(!queue.0.waiting.lock().fed);
        queue.deliver(Told::Number(10));
        assert_eq!(hear(&heard, 1).await, [Told::Number(10)]);
    }

    #[actix_rt::test]
    async fn a_gap_is_told_before_the_next_notice_and_even_if_there_is_none() {
        let (queue, heard) = listener();
        for _ in 0..CAPACITY + 3 {
            assert!(queue.queue(&Told::Number(0)));
        }
        actix_rt::spawn(queue.clone().feed());
        let all = hear(&heard, CAPACITY + 1).await;
        assert_eq!(all.last(), Some(&Told::Lagged(3)));
        for _ in 0..CAPACITY + 2 {
            queue.queue(&Told::Number(1));
        }
        let mut all = hear(&heard, 1).await;
        queue.queue(&Told::Number(2));
        all.extend(hear(&heard, CAPACITY + 2 - all.len()).await);
        assert_eq!(all[CAPACITY..], [Told::Lagged(2), Told::Number(2)]);
    }

    #[actix_rt::test]
    async fn what_waits_at_the_end_is_still_delivered_and_nothing_is_taken_behind_it() {
        let (queue, heard) = listener();
        queue.queue(&Told::Number(0));
        queue.queue(&Told::Number(1));
        queue.end();
        assert!(!queue.queue(&Told::Number(2)));
        queue.clone().feed().await;
        assert_eq!(hear(&heard, 2).await, [Told::Number(0), Told::Number(1)]);
    }

    #[actix_rt::test]
    async fn a_recipient_that_is_gone_ends_the_queue() {
        let (sender, heard) = mpsc::channel();
        let address = Listener::create(|ctx| {
            ctx.stop();
            Listener(sender)
        });
        let queue = NoticeQueue::new(address.recipient());
        while queue.0.recipient.connected() {
            tokio::task::yield_now().await;
        }
        queue.deliver(Told::Number(0));
        assert!(!queue.queue(&Told::Number(1)));
        queue.feed().await;
        assert_eq!(heard.try_iter().count(), 0);
    }
}
