//! Runs the tasks of a simulation, one at a time, in an order that the dice decide.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::dice::Dice;
use crate::sync::Mutex;

/// Turns without any progress of the clock: something spins.
const MOST_TURNS_AT_ONE_TIME: u64 = 100_000;

/// Whom a task belongs to: the incarnation of a socket, or [`NOBODY`].
pub(super) type Owner = u32;

/// The simulation itself.
pub(super) const NOBODY: Owner = 0;

type Job = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    owner: Owner,
    waker: Waker,
    /// Absent while it runs.
    job: Option<Job>,
}

/// The tasks of a simulation.
pub(super) struct Executor {
    dice: Dice,
    tasks: RefCell<Vec<Option<Task>>>,
    ready: Arc<Ready>,
    turns: Cell<u64>,
    last: Cell<Option<std::time::Instant>>,
}

#[derive(Default)]
struct Ready {
    tasks: Mutex<BTreeSet<usize>>,
    executor: Mutex<Option<Waker>>,
}

struct TaskWaker {
    task: usize,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.tasks.lock().insert(self.task);
        let executor = self.ready.executor.lock().clone();
        if let Some(executor) = executor {
            executor.wake();
        }
    }
}

impl Executor {
    pub(super) fn new(dice: Dice) -> Self {
        Self {
            dice,
            tasks: RefCell::default(),
            ready: Arc::default(),
            turns: Cell::new(0),
            last: Cell::new(None),
        }
    }

    pub(super) fn spawn(&self, owner: Owner, job: impl Future<Output = ()> + 'static) -> usize {
        let mut tasks = self.tasks.borrow_mut();
        let number = tasks.len();
        let ready = Arc::clone(&self.ready);
        let waker = Arc::new(TaskWaker {
            task: number,
            ready,
        });
        let task = Task {
            owner,
            waker: waker.into(),
            job: Some(Box::pin(job)),
        };
        task.waker.wake_by_ref();
        tasks.push(Some(task));
        number
    }

    /// Drops a task, wherever it stands.
    pub(super) fn drop_task(&self, number: usize) {
        let task = self.tasks.borrow_mut()[number].take();
        drop(task);
    }

    /// Drops all tasks of an owner, in an order that the dice decide.
    pub(super) fn drop_all(&self, owner: Owner) {
        loop {
            let theirs: Vec<usize> = {
                let tasks = self.tasks.borrow();
                let theirs = |task: &Option<Task>| task.as_ref().is_some_and(|t| t.owner == owner);
                (0..tasks.len()).filter(|&n| theirs(&tasks[n])).collect()
            };
            if theirs.is_empty() {
                return;
            }
            self.drop_task(theirs[self.dice.below(theirs.len())]);
        }
    }

    /// Ends everything.
    pub(super) fn clear(&self) {
        loop {
            let Some(task) = self.tasks.borrow_mut().pop() else {
                return;
            };
            drop(task);
        }
    }

    /// Runs some tasks, with `check` after each, until `done`.
    pub(super) fn poll(
        &self,
        cx: &mut Context<'_>,
        done: impl Fn() -> bool,
        check: impl Fn(Owner),
    ) -> Poll<()> {
        *self.ready.executor.lock() = Some(cx.waker().clone());
        // The budget that the runtime gives its tasks is used up at times, as it is in earnest.
        for _ in 0..self.dice.between(1, 24) {
            if done() {
                return Poll::Ready(());
            }
            let Some(number) = self.take_ready() else {
                return Poll::Pending;
            };
            if let Some(owner) = self.run(number) {
                check(owner);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn take_ready(&self) -> Option<usize> {
        let now = crate::clock::now();
        if self.last.replace(Some(now)) != Some(now) {
            self.turns.set(0);
        }
        self.turns.set(self.turns.get() + 1);
        assert!(
            self.turns.get() < MOST_TURNS_AT_ONE_TIME,
            "something spins while the clock stands still"
        );
        let mut ready = self.ready.tasks.lock();
        if ready.is_empty() {
            return None;
        }
        let number = *ready.iter().nth(self.dice.below(ready.len()))?;
        ready.remove(&number);
        Some(number)
    }

    fn run(&self, number: usize) -> Option<Owner> {
        let (owner, waker, mut job) = {
            let mut tasks = self.tasks.borrow_mut();
            let task = tasks[number].as_mut()?;
            (task.owner, task.waker.clone(), task.job.take()?)
        };
        let ended = job
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready();
        let mut tasks = self.tasks.borrow_mut();
        match &mut tasks[number] {
            Some(task) if !ended => task.job = Some(job),
            // It has ended, or was dropped by what it did.
            slot => {
                *slot = None;
                drop(tasks);
                drop(job);
            }
        }
        Some(owner)
    }
}
