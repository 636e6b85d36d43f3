//! Receipts: a promise that resolves when a message has been acknowledged.

use tokio::sync::oneshot;

use crate::error::ReceiptError;

/// Resolves when the peer has acknowledged the message, or has said that it was not handled.
///
/// [`acknowledged`](crate::Sending::acknowledged) sends and awaits in one.
///
/// # Cancel safety
///
/// Dropping it forgets the interest, not the message.
#[derive(Debug)]
pub struct Receipt {
    outcome: oneshot::Receiver<Result<(), ReceiptError>>,
}

/// The end that the message carries.
#[derive(Debug)]
pub(crate) struct ReceiptSender {
    outcome: oneshot::Sender<Result<(), ReceiptError>>,
}

/// A receipt and the end that resolves it.
pub(crate) fn receipt() -> (ReceiptSender, Receipt) {
    let (sender, outcome) = oneshot::channel();
    (ReceiptSender { outcome: sender }, Receipt { outcome })
}

impl ReceiptSender {
    pub(crate) fn resolve(self, result: Result<(), ReceiptError>) {
        // Nobody waits any more: the message does not mind.
        let _ = self.outcome.send(result);
    }
}

impl Future for Receipt {
    type Output = Result<(), ReceiptError>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.outcome)
            .poll(cx)
            .map(|outcome| outcome.unwrap_or(Err(ReceiptError::Closed)))
    }
}
