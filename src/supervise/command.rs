//! Commands from a supervisor to a child.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

/// An order to a child. A later variant outranks an earlier one that has not been taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Command {
    /// Fail, because this linked actor failed. A child that is told to run has no incarnation that could fail.
    Crash(Arc<str>),
    /// Begin an incarnation after a pause.
    Run(Duration),
    /// End the incarnation and wait for what comes next.
    Halt,
    /// End the incarnation and the child.
    End,
}

/// Holds the strongest command that a child has not taken, and wakes its task.
#[derive(Debug, Default)]
pub(crate) struct CommandSlot {
    /// Set while a command waits, so that a busy child looks at one atomic and at no lock.
    filled: AtomicBool,
    pending: Mutex<PendingCommand>,
}

#[derive(Debug, Default)]
struct PendingCommand {
    command: Option<Command>,
    waker: Option<Waker>,
}

impl CommandSlot {
    /// Leaves a command for the child, unless a stronger one is there.
    pub(crate) fn put(&self, command: Command) {
        let waker = {
            let mut pending = self.pending.lock();
            let waiting = pending.command.as_ref();
            if waiting.is_none_or(|waiting| *waiting <= command) {
                pending.command = Some(command);
            }
            self.filled.store(true, Ordering::Release);
            pending.waker.clone()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Makes commands wake the task that this is called in, from now on.
    pub(crate) async fn listen(&self) {
        poll_fn(|cx| {
            self.pending.lock().waker = Some(cx.waker().clone());
            Poll::Ready(())
        })
        .await;
    }

    /// Takes the command that waits.
    pub(crate) fn take(&self) -> Option<Command> {
        if !self.filled.load(Ordering::Acquire) {
            return None;
        }
        let mut pending = self.pending.lock();
        self.filled.store(false, Ordering::Release);
        pending.command.take()
    }

    /// Waits for the next command, in the task that listens.
    pub(crate) async fn next(&self) -> Command {
        poll_fn(|_| self.take().map_or(Poll::Pending, Poll::Ready)).await
    }

    /// Forgets a crash that was meant for an earlier incarnation.
    pub(crate) fn forget_crash(&self) {
        let mut pending = self.pending.lock();
        if matches!(pending.command, Some(Command::Crash(_))) {
            pending.command = None;
            self.filled.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stronger_command_replaces_a_weaker_one_and_never_the_reverse() {
        let run = || Command::Run(Duration::from_secs(1));
        let crash = || Command::Crash(Arc::from("peer"));
        let left = |commands: [Command; 2]| {
            let slot = CommandSlot::default();
            commands.into_iter().for_each(|command| slot.put(command));
            slot.take()
        };
        assert_eq!(left([crash(), run()]), Some(run()));
        assert_eq!(left([run(), crash()]), Some(run()));
        assert_eq!(left([run(), Command::Halt]), Some(Command::Halt));
        assert_eq!(left([Command::End, Command::Halt]), Some(Command::End));
    }

    #[test]
    fn a_crash_that_was_meant_for_an_earlier_incarnation_is_forgotten() {
        let slot = CommandSlot::default();
        slot.put(Command::Crash(Arc::from("peer")));
        slot.forget_crash();
        assert_eq!(slot.take(), None);
        slot.put(Command::Halt);
        slot.forget_crash();
        assert_eq!(slot.take(), Some(Command::Halt));
    }
}
