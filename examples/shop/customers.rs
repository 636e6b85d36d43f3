//! Customers who buy as fast as they are served, each on a thread of its own, and what they have seen.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::http::Client;
use super::messages::Receipt;

/// Time after which nobody comes back any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of all purchases.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) bought: usize,
    pub(crate) failed: Vec<String>,
    /// The purchases that each instance of `orders` saw to.
    pub(crate) by: BTreeMap<String, usize>,
    /// The instances that each customer came to, one after the other.
    pub(crate) ways: BTreeMap<String, Vec<String>>,
    pub(crate) longest: Duration,
}

pub(crate) struct Customers {
    bought: Arc<AtomicUsize>,
    go_home: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Customers {
    /// So many customers, at this address.
    pub(crate) fn come(customers: usize, address: &str) -> Self {
        let (bought, go_home, seen) = (Arc::default(), Arc::default(), Arc::default());
        let threads = (0..customers).map(|number| {
            let name = format!("customer-{number}");
            let address = address.to_owned();
            let (bought, go_home, seen) =
                (Arc::clone(&bought), Arc::clone(&go_home), Arc::clone(&seen));
            thread::spawn(move || shop(&name, &address, &bought, &go_home, &seen))
        });
        let threads = threads.collect();
        Self {
            bought,
            go_home,
            seen,
            threads,
        }
    }

    pub(crate) fn bought(&self) -> usize {
        self.bought.load(Ordering::Relaxed)
    }

    /// Waits until so many purchases have been made in all, or until the customers are gone.
    pub(crate) async fn have_bought(&self, purchases: usize) {
        while self.bought() < purchases && self.threads.iter().any(|thread| !thread.is_finished()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until an instance has seen to more purchases than by now.
    pub(crate) async fn come_back_to(&self, instance: &str) -> io::Result<()> {
        let purchases = || self.seen().by.get(instance).copied().unwrap_or_default();
        let (before, began) = (purchases(), Instant::now());
        while purchases() == before {
            if began.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("nobody came back to {instance}")));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each of them makes its last purchase.
    pub(crate) fn go_home(mut self) -> io::Result<Seen> {
        self.go_home.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(done) => done?,
                Err(_) => return Err(io::Error::other("a customer's thread has panicked")),
            }
        }
        let seen = std::mem::take(&mut *self.seen());
        Ok(seen)
    }
}

fn shop(
    name: &str,
    address: &str,
    bought: &AtomicUsize,
    go_home: &AtomicBool,
    seen: &Mutex<Seen>,
) -> io::Result<()> {
    let mut client = Client::connect(address)?;
    let path = format!("/buy/{name}/tea");
    while !go_home.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let (status, body) = client.post(&path)?;
        bought.fetch_add(1, Ordering::Relaxed);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.longest = seen.longest.max(asked.elapsed());
        match serde_json::from_slice::<Receipt>(&body) {
            Ok(receipt) if status == 200 => {
                seen.bought += 1;
                *seen.by.entry(receipt.by.clone()).or_default() += 1;
                let way = seen.ways.entry(name.to_owned()).or_default();
                if way.last() != Some(&receipt.by) {
                    way.push(receipt.by);
                }
            }
            Ok(_) | Err(_) => {
                let body = String::from_utf8_lossy(&body).into_owned();
                seen.failed.push(format!("{status}: {body}"));
            }
        }
    }
    Ok(())
}
