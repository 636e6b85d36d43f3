//! Dead letters that a socket keeps: looked at, brought back, thrown away.

use std::sync::Arc;

use crate::core::SocketCore;
use crate::error::StoreError;
use crate::link::Target;
use crate::outbox::{KeptLetter, LetterFilter, Letters, Redrive, Redriven};

use super::handle::Socket;
use super::sending::Sending;

/// Letters of an export that are in memory at a time.
#[cfg(feature = "json")]
const EXPORT_PART: usize = 256;

/// The dead letters that a socket keeps: see [`Socket::dead_letter_queue`].
#[derive(Debug, Clone, Copy)]
pub struct DeadLetterQueue<'a> {
    core: &'a Arc<SocketCore>,
}

impl Socket {
    /// The dead letters that the socket keeps, if it was started with
    /// [`dead_letter_queue`](crate::SocketBuilder::dead_letter_queue).
    ///
    /// ```no_run
    /// use actix_aiomsg::event::DeadLetterReason;
    /// use actix_aiomsg::outbox::LetterFilter;
    /// use actix_aiomsg::prelude::*;
    ///
    /// # async fn again(socket: &Socket) -> Result<(), Box<dyn std::error::Error>> {
    /// // The handler is mended: what it failed on is delivered once more.
    /// let poison = LetterFilter::all().reason(DeadLetterReason::Poison);
    /// let redriven = socket.dead_letter_queue().redrive(poison).await?;
    /// println!("{} messages are with the handler again", redriven.delivered);
    /// # Ok(())
    /// # }
    /// ```
    pub fn dead_letter_queue(&self) -> DeadLetterQueue<'_> {
        DeadLetterQueue { core: self.core() }
    }
}

impl<'a> DeadLetterQueue<'a> {
    /// The letters that are meant, oldest first and at most `limit` of them. They are read from the store, into memory: read a long list
    /// in parts, by [`LetterFilter::after`].
    ///
    /// # Errors
    ///
    /// When the socket keeps no letters or is closed, or the store fails.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped.
    pub async fn list(
        self,
        filter: LetterFilter,
        limit: usize,
    ) -> Result<Vec<KeptLetter>, StoreError> {
        self.letters()?.list(filter, limit).await
    }

    /// Writes the letters that are meant to `out`, each as a [line of JSON](KeptLetter::to_json), and says how many they are. They stay in
    /// the queue.
    ///
    /// # Errors
    ///
    /// When the socket keeps no letters or is closed, the store fails, or `out` does.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it has written some of the lines, and each of them whole.
    #[cfg(feature = "json")]
    pub async fn export(
        self,
        filter: LetterFilter,
        mut out: impl std::io::Write,
    ) -> std::io::Result<usize> {
        let (mut filter, mut count) = (filter, 0);
        loop {
            let part = self.list(filter.clone(), EXPORT_PART).await;
            let part = part.map_err(std::io::Error::other)?;
            let Some(last) = part.last().map(|letter| letter.id) else {
                out.flush()?;
                return Ok(count);
            };
            for letter in &part {
                out.write_all((letter.to_json() + "\n").as_bytes())?;
            }
            count += part.len();
            filter = filter.after(last);
        }
    }

    /// Sends, or delivers, the letters that are meant once more, oldest first.
    ///
    /// What the socket was to send goes to the peer that it was for, or to whomever the send mode picks, behind what waits already, and
    /// without a time-to-live. With an outbox it is sent at least once, by the id that it had, and stops being a letter in the commit in which it is a
    /// message again: whenever the process dies, it is one of them. Without one, it is sent by the guarantee that it had.
    ///
    /// A tell goes to an instance of its [service](crate::service), as soon as there is one, by the guarantee that it had. Like any tell it is
    /// in no outbox: from now on until it is handled it is in memory.
    ///
    /// What the socket had received goes to those who are subscribed now, as a message that came from its peer; answers go to the peer,
    /// if it is connected. A message to a service goes to a handler of that, if the socket offers it. Each is a letter until it is handled,
    /// and one anew if it fails again.
    ///
    /// Resolves when all of that is under way.
    ///
    /// # Errors
    ///
    /// When the socket keeps no letters or is closed, or the store fails: some letters may have been redriven before that.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it goes on, and only its outcome is not learnt.
    pub async fn redrive(self, filter: LetterFilter) -> Result<Redriven, StoreError> {
        let core = Arc::downgrade(self.core);
        let take = move |redrive| {
            let Some(core) = core.upgrade() else {
                return false;
            };
            match redrive {
                Redrive::Stored(record, stored) => {
                    core.router.accept_redriven(record, stored);
                    true
                }
                Redrive::Deliver(letter) => core.redeliver(letter),
                Redrive::Send(letter) if letter.to_service => core.tell_again(letter),
                Redrive::Send(letter) => {
                    let target = letter.peer.map_or(Target::Mode, Target::Peer);
                    let guarantee = letter.guarantee();
                    let sending = Sending::new(&core.router, target, letter.payload);
                    sending
                        .guarantee(guarantee)
                        .again(letter.message, letter.envelope)
                        .is_ok()
                }
            }
        };
        self.letters()?.redrive(filter, Box::new(take)).await
    }

    /// Throws away the letters that are meant, and says how many they were.
    ///
    /// # Errors
    ///
    /// When the socket keeps no letters or is closed, or the store fails: some letters may be gone then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it goes on.
    pub async fn purge(self, filter: LetterFilter) -> Result<usize, StoreError> {
        self.letters()?.purge(filter).await
    }

    fn letters(self) -> Result<&'a Letters, StoreError> {
        let letters = self.core.events.letters();
        letters.ok_or_else(|| {
            StoreError::new(
                "this socket keeps no dead letters: `dead_letter_queue` of its builder lets it",
            )
        })
    }
}
