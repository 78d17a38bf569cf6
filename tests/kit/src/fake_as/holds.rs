//! Requests that wait for a test to let them go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{oneshot, watch};

/// The requests held at this moment.
#[derive(Clone)]
pub(crate) struct Holds {
    waiting: Arc<Mutex<Waiting>>,
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    gates: HashMap<u64, oneshot::Sender<()>>,
}

impl Holds {
    pub(crate) fn new() -> Self {
        Self {
            waiting: Arc::default(),
            count: watch::Sender::new(0),
        }
    }

    /// Counts as held from here on, not only from the first poll.
    pub(crate) fn hold(&self) -> Hold {
        let (open, gate) = oneshot::channel();
        let number = self.change(|waiting| {
            waiting.next += 1;
            waiting.gates.insert(waiting.next, open);
            waiting.next
        });
        Hold {
            number,
            gate,
            holds: self.clone(),
        }
    }

    /// Lets every held request go and says how many there were.
    pub(crate) fn release(&self) -> usize {
        let gates = self.change(|waiting| std::mem::take(&mut waiting.gates));
        gates
            .into_values()
            .filter_map(|open| open.send(()).ok())
            .count()
    }

    pub(crate) fn held(&self) -> usize {
        *self.count.borrow()
    }

    pub(crate) async fn wait_until(&self, at_least: usize) {
        // Fails only when the sender is gone, and this holds it.
        let _ = self
            .count
            .subscribe()
            .wait_for(|count| *count >= at_least)
            .await;
    }

    fn change<T>(&self, change: impl FnOnce(&mut Waiting) -> T) -> T {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut waiting);
        self.count.send_replace(waiting.gates.len());
        result
    }
}

/// One held request; dropping it, as happens when its client hangs up, ends the hold.
pub(crate) struct Hold {
    number: u64,
    gate: oneshot::Receiver<()>,
    holds: Holds,
}

impl Hold {
    pub(crate) async fn released(mut self) {
        let _ = (&mut self.gate).await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds
            .change(|waiting| waiting.gates.remove(&self.number));
    }
}
