//! One worker's run over one shard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::super::{JobNotDone, RefreshEngine, START_WINDOW};
use super::PERIOD;
use super::connectors::Connectors;
use super::entry::{Bounds, DueOutcome};
use super::fair::{Place, Waiting};
use crate::domain::connection::ConnectionKey;
use crate::domain::job::Job;
use crate::ports::{DueWork, StoreError};

/// How many entries one read of a shard takes.
const PAGE: u32 = 500;
/// How many reads a run makes at most: those who are next are chosen among 4,000 entries.
const PAGES: usize = 8;

/// What one run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardReport {
    /// How many entries ended how.
    pub outcomes: BTreeMap<DueOutcome, u64>,
    /// Whether the run left work and handed the shard over again.
    pub continued: bool,
}

/// What has come of a run so far.
#[derive(Default)]
struct Done {
    outcomes: BTreeMap<DueOutcome, u64>,
    /// Whether an entry was taken up too late to be tried.
    out_of_time: bool,
}

impl Done {
    fn add(&mut self, outcome: Option<DueOutcome>) {
        match outcome {
            Some(outcome) => *self.outcomes.entry(outcome).or_default() += 1,
            None => self.out_of_time = true,
        }
    }

    /// How many entries are dealt with.
    fn progress(&self) -> u64 {
        let outcomes = self.outcomes.iter();
        outcomes
            .filter(|(it, _)| it.is_progress())
            .map(|(_, n)| n)
            .sum()
    }
}

/// A due entry and where its connection is kept.
type Found = (DueWork, ConnectionKey);

/// What one run knows.
struct Run {
    bounds: Bounds,
    connectors: Connectors,
    waiting: Mutex<Waiting<Found>>,
    /// The calls that may be in flight at a time.
    permits: Semaphore,
}

/// The right to make one call; dropped when the provider has answered.
struct Call<'a> {
    run: &'a Run,
    place: Place,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.run.waiting().answered(&self.place);
    }
}

impl Run {
    fn waiting(&self) -> MutexGuard<'_, Waiting<Found>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next<'a>(&'a self, permit: SemaphorePermit<'a>) -> Option<(Found, Call<'a>)> {
        let (place, found) = self.waiting().next()?;
        let call = Call {
            run: self,
            place,
            _permit: permit,
        };
        Some((found, call))
    }
}

impl RefreshEngine {
    /// Works through what is due in a shard, now or before the next tick, each connection once.
    /// No attempt begins later than [`START_WINDOW`] after the run did. If that leaves work, there
    /// was progress, and no other worker is at it, the shard is handed over again.
    ///
    /// # Errors
    /// When the shard could not be read at all; nothing was done then.
    pub async fn refresh_shard(&self, shard: u32) -> Result<ShardReport, JobNotDone> {
        let run = Run {
            bounds: Bounds {
                last_start: self.clock.monotonic() + START_WINDOW,
                horizon: self.clock.now().after(PERIOD),
            },
            connectors: Connectors::default(),
            waiting: Mutex::default(),
            permits: Semaphore::new(self.concurrency.max(1)),
        };
        let unread = self.read_due(shard, &run).await?;
        let done = self.refresh_waiting(&run).await;
        run.connectors.tell_all(self).await;
        let left = unread || done.out_of_time || !run.waiting().is_empty();
        let mut report = ShardReport {
            continued: left && done.progress() > 0 && !self.meets_another(&done),
            outcomes: done.outcomes,
        };
        if report.continued
            && let Err(error) = self.jobs.enqueue(&[Job::RefreshShard { shard }]).await
        {
            tracing::warn!(shard, error = %error, "what is left waits for the next tick");
            report.continued = false;
        }
        Ok(report)
    }

    /// Lets wait what is due, and says whether there is more. What one connector has too much of
    /// is passed over, so that others behind it are found.
    async fn read_due(&self, shard: u32, run: &Run) -> Result<bool, StoreError> {
        let mut seen = BTreeSet::new();
        let mut surplus = false;
        let mut after = None;
        for page in 0..PAGES {
            let due = self
                .due
                .due_refreshes(shard, run.bounds.horizon, after.as_deref(), PAGE)
                .await;
            let due = match due {
                Ok(due) => due,
                Err(error) if page > 0 => {
                    tracing::warn!(shard, error = %error, "a shard was read in part");
                    return Ok(true);
                }
                Err(error) => return Err(error),
            };
            for (work, key) in due.items {
                if seen.insert(work.id.clone()) {
                    let place = (key.workspace.clone(), key.connector.clone());
                    surplus |= !run.waiting().add(place, (work, key));
                }
            }
            after = due.next;
            if after.is_none() {
                break;
            }
        }
        Ok(surplus || after.is_some())
    }

    /// Works off who waits while there is time. At most [`RefreshEngine::concurrency`] calls are
    /// in flight; as many entries again may be storing what a call brought, so that the next call
    /// does not wait for the table.
    async fn refresh_waiting(&self, run: &Run) -> Done {
        let mut done = Done::default();
        let mut running = FuturesUnordered::new();
        loop {
            let may_start = running.len() < 2 * self.concurrency.max(1)
                && self.clock.monotonic() < run.bounds.last_start
                && !self.meets_another(&done)
                && !run.waiting().is_empty();
            tokio::select! {
                // What has ended is known before somebody else begins.
                biased;
                Some(outcome) = running.next(), if !running.is_empty() => done.add(outcome),
                Ok(permit) = run.permits.acquire(), if may_start => {
                    // It may have been a long wait.
                    if self.clock.monotonic() < run.bounds.last_start
                        && let Some((found, call)) = run.next(permit)
                    {
                        running.push(self.refresh_found(found, call, run));
                    }
                }
                else => return done,
            }
        }
    }

    /// Whether another worker is at this shard, as when a tick hands over what an earlier job
    /// still works on: everything that stands first is held. It goes on, this one gives way.
    fn meets_another(&self, done: &Done) -> bool {
        let held = done.outcomes.get(&DueOutcome::Held).copied();
        held.is_some_and(|held| held >= self.concurrency.max(1) as u64 && held > done.progress())
    }

    async fn refresh_found(
        &self,
        (work, key): Found,
        call: Call<'_>,
        run: &Run,
    ) -> Option<DueOutcome> {
        self.work_off(&work, &key, run.bounds, &run.connectors, call)
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(due.id = work.id, error = %error, "due entry stays");
                Some(DueOutcome::Failed)
            })
    }
}
