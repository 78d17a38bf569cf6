//! What is done about one due entry: check it again under the connection's lease, refresh, and
//! put the entry where it now belongs.

use std::time::Duration;

use tokio::sync::Semaphore;

use super::super::RefreshEngine;
use super::super::attempt::Outcome;
use super::connectors::Connectors;
use crate::crypto::hash::random_fraction;
use crate::domain::connection::{Connection, ConnectionKey};
use crate::domain::connector::{Connector, ConnectorStatus};
use crate::domain::ids::ConnectionId;
use crate::domain::time::Timestamp;
use crate::ports::{DueWork, LeaseAnswer, StoreError};

/// How long at least the entries of a disabled connector are left alone, and over how long they
/// are spread then: so long at most until they go on when it is enabled.
const DISABLED_PAUSE: Duration = Duration::from_secs(3600);
/// Over how long the entries of a paused connector are spread when its pause ends.
const SPREAD: Duration = Duration::from_secs(60);

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
    /// Somebody else refreshes it; the entry is theirs to move.
    Held,
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
            Self::Held => "held",
            Self::Failed => "failed",
        }
    }

    /// Whether there is less to do than before.
    pub(super) fn is_progress(self) -> bool {
        match self {
            Self::Refreshed | Self::NotDue | Self::Gone | Self::ReconnectRequired => true,
            Self::Postponed | Self::Held | Self::Failed => false,
        }
    }
}

/// The bounds of one run.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// When the last attempt may begin, on the monotonic clock.
    pub(super) last_start: Duration,
    /// What is due before it is refreshed by this run.
    pub(super) horizon: Timestamp,
}

impl RefreshEngine {
    /// Works off one entry; `None` when the time for it has run out. The provider is asked when
    /// one of the `calls` is free; that and the `turn` are let go as soon as it has answered.
    pub(super) async fn work_off<T: Send>(
        &self,
        work: &DueWork,
        key: &ConnectionKey,
        bounds: Bounds,
        connectors: &Connectors,
        calls: &Semaphore,
        turn: T,
    ) -> Result<Option<DueOutcome>, StoreError> {
        let id =
            ConnectionId::parse(work.id.as_str()).map_err(|_| StoreError::Corrupt("due entry"))?;
        let known = connectors.of(key);
        let connector = known.connector(self, key).await?;
        let now = self.clock.now();
        if let Some(Connector {
            status: ConnectorStatus::Disabled { .. },
            ..
        }) = connector
        {
            let (outcome, entry) = self.set_aside(key, &id, now, bounds.horizon).await?;
            self.move_entry(work, key, &id, entry).await?;
            return Ok(Some(outcome));
        }
        if let Some(connector) = connector
            && let Some(until) = known.paused(self, connector).await
        {
            // Spread over a while, so that what was paused together does not come together.
            let late = SPREAD.mul_f64(random_fraction(&*self.entropy));
            self.move_entry(work, key, &id, not_before(until.after(late), now))
                .await?;
            return Ok(Some(DueOutcome::Postponed));
        }
        let answer = self.take_lease(key).await?;
        let (outcome, entry) = match answer {
            LeaseAnswer::Gone => (DueOutcome::Gone, Entry::Over),
            LeaseAnswer::NotNow(current) => not_now(&current, &id, now, bounds.horizon),
            LeaseAnswer::Granted(lease) => {
                let same = lease.connection.id == id;
                let stale = !same || lease.connection.due_at > Some(bounds.horizon);
                match connector {
                    // The connector is gone and nobody can use the token; its deletion
                    // disconnects.
                    None => {
                        self.connections.release_lease(&lease).await?;
                        (DueOutcome::Gone, Entry::Over)
                    }
                    Some(_) if stale => {
                        self.connections.release_lease(&lease).await?;
                        // An entry of an earlier connection of the same user has no successor.
                        let due_at = lease.connection.due_at.filter(|_| same);
                        (DueOutcome::NotDue, due_at.into())
                    }
                    Some(connector) => {
                        let held = (turn, calls.acquire().await);
                        let attempted = self
                            .attempt(&lease, connector, bounds.last_start, held)
                            .await;
                        if let Some(seen) = attempted.seen {
                            known.saw(self, connector, seen).await;
                        }
                        match after(&attempted.outcome, work, &lease.connection, now) {
                            Some(ended) => ended,
                            None => return Ok(None),
                        }
                    }
                }
            }
        };
        self.move_entry(work, key, &id, entry).await?;
        Ok(Some(outcome))
    }

    /// What to do about an entry whose connector is disabled: nobody is asked, nothing is lost.
    /// It is looked at, so that no entry outlives its connection by being moved for ever.
    async fn set_aside(
        &self,
        key: &ConnectionKey,
        id: &ConnectionId,
        now: Timestamp,
        horizon: Timestamp,
    ) -> Result<(DueOutcome, Entry), StoreError> {
        let found = self.connections.connection(key).await?;
        let live = found.filter(|found| found.id == *id && found.status.is_live());
        Ok(match live.map(|connection| connection.due_at) {
            None | Some(None) => (DueOutcome::Gone, Entry::Over),
            Some(Some(due_at)) if due_at > horizon => (DueOutcome::NotDue, Entry::At(due_at)),
            Some(Some(_)) => {
                let late = DISABLED_PAUSE.mul_f64(random_fraction(&*self.entropy));
                let later = now.after(DISABLED_PAUSE).after(late);
                (DueOutcome::Postponed, Entry::At(later))
            }
        })
    }

    /// Puts an entry where it belongs: the new one stands before the old one goes.
    async fn move_entry(
        &self,
        work: &DueWork,
        key: &ConnectionKey,
        id: &ConnectionId,
        entry: Entry,
    ) -> Result<(), StoreError> {
        match entry {
            Entry::At(due_at) if due_at == work.due_at => Ok(()),
            Entry::At(due_at) => {
                self.due.add_refresh(key, id, due_at).await?;
                self.due.remove_found_refresh(work).await
            }
            Entry::Over => self.due.remove_found_refresh(work).await,
            Entry::NotOurs => Ok(()),
        }
    }
}

/// Where a due entry belongs after it was worked off.
enum Entry {
    /// Under this instant.
    At(Timestamp),
    /// Nowhere.
    Over,
    /// Where the attempt has moved it already, or whoever holds the lease will.
    NotOurs,
}

impl From<Option<Timestamp>> for Entry {
    fn from(due_at: Option<Timestamp>) -> Self {
        due_at.map_or(Self::Over, Self::At)
    }
}

/// What came of an attempt, and where its entry belongs; `None` when there was no time for it.
fn after(
    outcome: &Outcome,
    work: &DueWork,
    leased: &Connection,
    now: Timestamp,
) -> Option<(DueOutcome, Entry)> {
    Some(match outcome {
        Outcome::TooLate => return None,
        Outcome::Refreshed(..) if leased.due_at == Some(work.due_at) => {
            (DueOutcome::Refreshed, Entry::NotOurs)
        }
        // An entry that the connection did not know of, as a postponed one is. It is the last to
        // go: the attempt may have failed to add the new one (F31).
        Outcome::Refreshed(_, stored) => (DueOutcome::Refreshed, stored.due_at.into()),
        Outcome::Superseded(connection) => (DueOutcome::NotDue, connection.due_at.into()),
        Outcome::Gone => (DueOutcome::Gone, Entry::Over),
        Outcome::ReconnectRequired(_) => (DueOutcome::ReconnectRequired, Entry::Over),
        Outcome::Paused { until, .. } => (DueOutcome::Postponed, not_before(*until, now)),
        // For a person to look at; not every minute.
        Outcome::Unreadable => {
            let later = now.after(Duration::from_secs(3600));
            (DueOutcome::Postponed, Entry::At(later))
        }
    })
}

/// What to do about an entry whose connection gives no lease: it is refreshed meanwhile, paused,
/// or somebody else is at it.
fn not_now(
    current: &Connection,
    id: &ConnectionId,
    now: Timestamp,
    horizon: Timestamp,
) -> (DueOutcome, Entry) {
    if current.id != *id {
        return (DueOutcome::NotDue, Entry::Over);
    }
    let paused_until = current.next_attempt_at.filter(|at| *at > now);
    match (current.due_at, paused_until) {
        (Some(due_at), _) if due_at > horizon => (DueOutcome::NotDue, Entry::At(due_at)),
        (_, Some(until)) => (DueOutcome::Postponed, not_before(until, now)),
        // Moving it would be two writes for nothing: whoever holds the lease moves it, or dies,
        // and then it is due.
        (_, None) => (DueOutcome::Held, Entry::NotOurs),
    }
}

/// At `until`, but never where this run would find it again.
fn not_before(until: Timestamp, now: Timestamp) -> Entry {
    Entry::At(until.max(now.after(Duration::from_secs(1))))
}
