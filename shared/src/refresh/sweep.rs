//! The scheduled refresh of what is due. Reads what is due and nothing else; the next run is
//! the retry. Duplicate, lost and reordered runs change nothing: every entry is checked again
//! under the connection's lease (H-79).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::sync::OnceCell;

use super::RefreshEngine;
use super::attempt::Outcome;
use crate::domain::connection::{CLOCK_SKEW, Connection, ConnectionKey, LEASE};
use crate::domain::connector::Connector;
use crate::domain::ids::{ConnectionId, ConnectorId, WorkspaceId};
use crate::domain::time::Timestamp;
use crate::ports::{DueWork, LeaseAnswer, StoreError};

/// When the last attempt of a run may begin. An attempt takes at most 8 s for the provider and
/// 5 s for the store, and the function is stopped after 15 s: being stopped between the two is
/// what loses a rotated token.
const START_WINDOW: Duration = Duration::from_secs(2);
/// How often the sweep runs (the template's schedule). It looks this far ahead, so that what falls
/// due between two runs is refreshed before and not after it is due.
const PERIOD: Duration = Duration::from_secs(60);
/// How many connections one run refreshes at a time.
const CONCURRENCY: usize = 25;
/// How many entries one read of a shard takes.
const PAGE: u32 = 100;

/// What became of one due entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DueOutcome {
    /// New tokens are stored.
    Refreshed,
    /// Refreshed meanwhile; the entry was moved.
    NotDue,
    /// The connection is gone; so is the entry.
    Gone,
    /// Proven dead.
    ReconnectRequired,
    /// To be tried again later.
    Postponed,
    /// The table did not answer; the entry is still there.
    Failed,
}

impl DueOutcome {
    /// The outcome's name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refreshed => "refreshed",
            Self::NotDue => "not_due",
            Self::Gone => "gone",
            Self::ReconnectRequired => "reconnect_required",
            Self::Postponed => "postponed",
            Self::Failed => "failed",
        }
    }
}

/// What one run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// How many entries ended how.
    pub outcomes: BTreeMap<DueOutcome, u64>,
    /// How long the oldest entry had been due: the lag of the whole sweep.
    pub oldest_due: Option<Duration>,
}

/// What one run knows.
struct Run {
    /// On the monotonic clock; see [`START_WINDOW`].
    last_start: Duration,
    /// What is due before it is refreshed by this run.
    horizon: Timestamp,
    /// Connectors read so far, each once.
    connectors: Mutex<BTreeMap<(WorkspaceId, ConnectorId), ReadOnce>>,
}

/// A connector that is read by whoever needs it first.
type ReadOnce = Arc<OnceCell<Option<Connector>>>;

impl RefreshEngine {
    /// Works through what is due now or before the next run. No attempt begins later than
    /// [`START_WINDOW`] after the run did; what is left is the next run's.
    pub async fn sweep(&self) -> SweepReport {
        let run = Run {
            last_start: self.clock.monotonic() + START_WINDOW,
            horizon: self.clock.now().after(PERIOD),
            connectors: Mutex::default(),
        };
        let mut report = SweepReport::default();
        for shard in 0..self.due.shards() {
            if let Err(error) = self.sweep_shard(shard, &run, &mut report).await {
                tracing::error!(shard, error = %error, "due entries could not be read");
            }
        }
        report
    }

    async fn sweep_shard(
        &self,
        shard: u32,
        run: &Run,
        report: &mut SweepReport,
    ) -> Result<(), StoreError> {
        // Each connection once a run: what stays or comes back within the horizon is the next's.
        let mut seen = BTreeSet::new();
        while self.clock.monotonic() < run.last_start {
            let mut due = self.due.due_refreshes(shard, run.horizon, PAGE).await?;
            let full_page = due.len() == PAGE as usize;
            due.retain(|(work, _)| seen.insert(work.id.clone()));
            if let Some((work, _)) = due.first() {
                let age = self.clock.now().since(work.due_at);
                report.oldest_due = report.oldest_due.max(Some(age));
            }
            let nothing_new = due.is_empty();
            let outcomes: Vec<_> = stream::iter(due)
                .map(|(work, key)| self.refresh_due(work, key, run))
                .buffer_unordered(CONCURRENCY)
                .filter_map(std::future::ready)
                .collect()
                .await;
            for outcome in outcomes {
                *report.outcomes.entry(outcome).or_default() += 1;
            }
            if !full_page || nothing_new {
                break;
            }
        }
        Ok(())
    }

    async fn refresh_due(
        &self,
        work: DueWork,
        key: ConnectionKey,
        run: &Run,
    ) -> Option<DueOutcome> {
        if self.clock.monotonic() >= run.last_start {
            return None;
        }
        let outcome = self
            .work_off(&work, &key, run)
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(due.id = work.id, error = %error, "due entry stays");
                DueOutcome::Failed
            });
        Some(outcome)
    }

    async fn work_off(
        &self,
        work: &DueWork,
        key: &ConnectionKey,
        run: &Run,
    ) -> Result<DueOutcome, StoreError> {
        let id =
            ConnectionId::parse(work.id.as_str()).map_err(|_| StoreError::Corrupt("due entry"))?;
        let connector = self.connector(key, run).await?;
        let now = self.clock.now();
        let answer = self.take_lease(key).await?;
        let (outcome, entry) = match answer {
            LeaseAnswer::Gone => (DueOutcome::Gone, Entry::Over),
            LeaseAnswer::NotNow(current) => later(&current, now, run.horizon),
            LeaseAnswer::Granted(lease) => {
                let stale =
                    lease.connection.id != id || lease.connection.due_at > Some(run.horizon);
                match connector {
                    Some(connector) if !stale => {
                        let outcome = self.attempt(&lease, &connector, ()).await.outcome;
                        attempted(&outcome, work, &lease.connection, now)
                    }
                    // The connector is gone and nobody can use the token; its deletion
                    // disconnects.
                    None => {
                        self.connections.release_lease(&lease).await?;
                        (DueOutcome::Gone, Entry::Over)
                    }
                    Some(_) => {
                        self.connections.release_lease(&lease).await?;
                        // An entry of an earlier connection of the same user has no successor.
                        let same = lease.connection.id == id;
                        let due_at = lease.connection.due_at.filter(|_| same);
                        (DueOutcome::NotDue, due_at.into())
                    }
                }
            }
        };
        match entry {
            Entry::At(due_at) if due_at == work.due_at => {}
            Entry::At(due_at) => {
                self.due.add_refresh(key, &id, due_at).await?;
                self.due.remove_refresh(&id, work.due_at).await?;
            }
            Entry::Over => self.due.remove_refresh(&id, work.due_at).await?,
            Entry::Moved => {}
        }
        Ok(outcome)
    }

    async fn connector(
        &self,
        key: &ConnectionKey,
        run: &Run,
    ) -> Result<Option<Connector>, StoreError> {
        let place = (key.workspace.clone(), key.connector.clone());
        let cell = {
            let mut known = run
                .connectors
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(place).or_default())
        };
        let read = || self.registry.connector(&key.workspace, &key.connector);
        cell.get_or_try_init(read).await.cloned()
    }
}

/// Where a due entry belongs after it was worked off.
enum Entry {
    /// Under this instant.
    At(Timestamp),
    /// Nowhere.
    Over,
    /// The attempt has moved it already.
    Moved,
}

impl From<Option<Timestamp>> for Entry {
    fn from(due_at: Option<Timestamp>) -> Self {
        due_at.map_or(Self::Over, Self::At)
    }
}

fn attempted(
    outcome: &Outcome,
    work: &DueWork,
    leased: &Connection,
    now: Timestamp,
) -> (DueOutcome, Entry) {
    match outcome {
        Outcome::Refreshed(..) if leased.due_at == Some(work.due_at) => {
            (DueOutcome::Refreshed, Entry::Moved)
        }
        // An entry that the connection did not know of, as a postponed one is. It is the last to
        // go: the attempt may have failed to add the new one (F31).
        Outcome::Refreshed(_, stored) => (DueOutcome::Refreshed, stored.due_at.into()),
        Outcome::Superseded(connection) => (DueOutcome::NotDue, connection.due_at.into()),
        Outcome::Gone => (DueOutcome::Gone, Entry::Over),
        Outcome::ReconnectRequired(_) => (DueOutcome::ReconnectRequired, Entry::Over),
        Outcome::Paused { until, .. } => {
            let soonest = now.after(Duration::from_secs(1));
            (DueOutcome::Postponed, Entry::At((*until).max(soonest)))
        }
        // For a person to look at; not every minute.
        Outcome::Unreadable => {
            let later = now.after(Duration::from_secs(3600));
            (DueOutcome::Postponed, Entry::At(later))
        }
    }
}

/// When an entry whose connection is leased, paused or already fresh is due again.
fn later(current: &Connection, now: Timestamp, horizon: Timestamp) -> (DueOutcome, Entry) {
    match current.due_at {
        Some(due_at) if due_at > horizon => (DueOutcome::NotDue, Entry::At(due_at)),
        _ => {
            let lease_over = now.after(LEASE + CLOCK_SKEW);
            let next = current.next_attempt_at.unwrap_or(lease_over);
            let soonest = now.after(Duration::from_secs(1));
            (DueOutcome::Postponed, Entry::At(next.max(soonest)))
        }
    }
}
