//! `aiomsg send`: each message goes to one peer.

use std::collections::VecDeque;
use std::time::Duration;

use actix_aiomsg::error::ReceiptError;
use actix_aiomsg::prelude::*;
use actix_aiomsg::{Identity, Receipt};
use bytes::Bytes;
use clap::Args;

use super::publish::not_taken;
use crate::Outcome;
use crate::failure::Failure;
use crate::interrupt;
use crate::messages::Messages;
use crate::options::{self, Ends};
use crate::session::{Session, within};

/// Messages that may wait for their acknowledgement.
const WINDOW: usize = 256;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    ends: Ends,
    /// To this peer: its 32 hexadecimal digits, or the name that it was started with [default: to each in turn].
    #[arg(long, value_name = "NAME", value_parser = options::identity)]
    to: Option<Identity>,
    /// Send at least once, and end when the peer has handled everything.
    #[arg(long)]
    ack: bool,
    #[command(flatten)]
    messages: Messages,
    /// Give up when nobody comes, or does not take what is sent, for so long.
    #[arg(long, default_value = "10s", value_parser = options::duration)]
    timeout: Duration,
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        self.messages.require_files()?;
        let bar = self.messages.bar(self.ends.quiet);
        let session = Session::start(&self.ends, Socket::builder(), Some(bar.clone()))?;
        let mut sent = 0_u64;
        // With the number of each message, the first is 1.
        let mut receipts = VecDeque::new();
        let mut handled = 0_u64;
        let work = async {
            session.open().await?;
            match self.to {
                Some(peer) => session.wait_for(peer, Some(self.timeout)).await?,
                None => session.wait_for_peers(1, Some(self.timeout)).await?,
            }
            let mut source = self.messages.source()?;
            while let Some(message) = source.next().await? {
                let receipt = self.send(&session, message).await?;
                sent += 1;
                bar.inc(1);
                receipts.extend(receipt.map(|receipt| (sent, receipt)));
                if receipts.len() > WINDOW {
                    self.acknowledged(&session, &mut receipts, &mut handled)
                        .await?;
                }
            }
            while !receipts.is_empty() {
                self.acknowledged(&session, &mut receipts, &mut handled)
                    .await?;
            }
            Ok(())
        };
        let undone = || "not all messages are sent".to_owned();
        let worked = interrupt::unless_interrupted(work, undone).await;
        bar.finish_and_clear();
        match worked {
            Err(failure) if self.ack && sent > 0 && !failure.is_interrupted() => {
                let limit = match failure.is_about_time() {
                    true => Duration::ZERO,
                    false => self.timeout,
                };
                let settling = async {
                    settle(receipts, limit, &mut handled).await;
                    Ok(())
                };
                // The failure is told in any case.
                let _ = interrupt::unless_interrupted(settling, String::new).await;
                session.socket.close_within(Duration::ZERO).await;
                Err(failure.add(format_args!(
                    "{handled} of {sent} messages that were sent are handled"
                )))
            }
            worked => session.finish_after(worked, sent, Some(self.timeout)).await,
        }
    }

    async fn send(&self, session: &Session, message: Bytes) -> Outcome<Option<Receipt>> {
        let sending = match self.to {
            Some(peer) => session.socket.send_to(peer, message),
            None => session.socket.send(message),
        };
        let taken = async {
            match self.ack {
                true => {
                    let sending = sending.guarantee(DeliveryGuarantee::AtLeastOnce);
                    sending.receipt().await.map(Some)
                }
                false => sending.await.map(|()| None),
            }
        };
        match within(Some(self.timeout), taken).await {
            Some(taken) => taken.map_err(|error| not_taken(&error)),
            None => Err(session.nothing_taken(self.timeout)),
        }
    }

    /// Waits for the first of these.
    async fn acknowledged(
        &self,
        session: &Session,
        receipts: &mut VecDeque<(u64, Receipt)>,
        handled: &mut u64,
    ) -> Outcome {
        let Some((number, receipt)) = receipts.pop_front() else {
            return Ok(());
        };
        match within(Some(self.timeout), receipt).await {
            Some(Ok(())) => {
                *handled += 1;
                Ok(())
            }
            Some(Err(error)) => Err(not_acknowledged(session, number, error)),
            None => Err(session.not_acknowledged(number, self.timeout)),
        }
    }
}

/// Waits for those in flight, at most for `limit` without one that is settled. Those behind may be settled already.
async fn settle(receipts: VecDeque<(u64, Receipt)>, mut limit: Duration, handled: &mut u64) {
    for (_, receipt) in receipts {
        match within(Some(limit), receipt).await {
            Some(Ok(())) => *handled += 1,
            Some(Err(_)) => {}
            None => limit = Duration::ZERO,
        }
    }
}

/// What became of a message that was not handled.
fn not_acknowledged(session: &Session, number: u64, error: ReceiptError) -> Failure {
    let text = format!("message {number} was not handled: {error}");
    match error {
        ReceiptError::Poison
        | ReceiptError::Rejected
        | ReceiptError::Undecodable
        | ReceiptError::Unwanted
        | ReceiptError::Unclaimed
        | ReceiptError::Refused => Failure::refused(text),
        ReceiptError::PeerCannotTake => match session.peer_ends() {
            Some(ends) => Failure::failed(text).advise(ends),
            None => Failure::failed(text),
        },
        _ => Failure::failed(text),
    }
}
