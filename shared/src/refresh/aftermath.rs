//! What an attempt leaves: the due entry moved, somebody told, a failure recorded, tokens that
//! cannot be stored handed to whoever can deal with them.

use std::time::Duration;

use super::RefreshEngine;
use super::attempt::{Outcome, PauseCause};
use crate::crypto::hash::random_fraction;
use crate::domain::connection::{Connection, ConnectionStatus, Lease, ReconnectReason};
use crate::domain::connector::Connector;
use crate::domain::event::{Change, Event};
use crate::domain::job::{EscrowedTokens, Job, SealedBytes};
use crate::domain::refresh_protocol::{
    FailedAttempt, RETRY_DELAY, SUSPECT_SETTLE, Verdict, after_failure, lease_end,
};
use crate::domain::scopes::ScopeList;
use crate::domain::time::Timestamp;
use crate::domain::token::TokenFailure;
use crate::events::{connection_event, reconnect_required};
use crate::ports::{LeaseWrite, RefreshedTokens, Revocation, StoreError};

/// When a look-up should ask again whose tokens are in escrow.
const ESCROW_DELIVERY: Duration = Duration::from_secs(5);

impl RefreshEngine {
    /// The last resort for tokens that the table does not take: the queue keeps them, sealed,
    /// until it does (F28, H-69). The lease runs on, and the attempt has not reported.
    pub(super) async fn escrow(
        &self,
        lease: &Lease,
        tokens: RefreshedTokens,
        now: Timestamp,
    ) -> Outcome {
        let connection = &lease.connection;
        let job = Job::StoreTokens(Box::new(escrowed(lease, tokens)));
        let until = match self.jobs.enqueue(&[job]).await {
            Ok(()) => now.after(ESCROW_DELIVERY),
            Err(error) => {
                tracing::error!(
                    connection.id = %connection.id, error = %error,
                    "refreshed tokens could not be put into escrow either"
                );
                lease_end(now)
            }
        };
        Outcome::Paused {
            until,
            cause: PauseCause::Store,
        }
    }

    /// Puts the due entry where the connection now says it is. The new one is added before the
    /// old one goes; if either fails the sweep finds the old one, and mends.
    pub(super) async fn move_due_entry(&self, before: &Connection, due_at: Option<Timestamp>) {
        if before.due_at == due_at {
            return;
        }
        let moved = async {
            if let Some(due_at) = due_at {
                self.due
                    .add_refresh(&before.key, &before.id, due_at)
                    .await?;
            }
            if let Some(old) = before.due_at {
                self.due.remove_refresh(&before.id, old).await?;
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = moved.await {
            tracing::warn!(connection.id = %before.id, error = %error, "due entry was not moved");
        }
    }

    /// Fewer scopes or more than before (F21): the app may have to ask the user. Written down
    /// before the tokens are stored, because that write is no transaction: whoever dies between
    /// the two has told what is true of the grant, and not hidden it.
    pub(super) async fn note_scopes(
        &self,
        before: &Connection,
        granted: &ScopeList,
        now: Timestamp,
    ) -> Option<Event> {
        if granted.is_same_set(&before.granted_scopes) {
            return None;
        }
        let change = |connection| Change::ScopesChanged {
            connection,
            granted_scopes: granted.clone(),
        };
        let event = connection_event(&*self.entropy, before, change, now);
        if let Err(error) = self.due.add_event(&event).await {
            tracing::warn!(connection.id = %before.id, error = %error, "changed scopes are told once at most");
        }
        Some(event)
    }

    /// Nothing came of what was to be told.
    pub(super) async fn forget(&self, event: Option<&Event>) {
        if let Some(event) = event
            && let Err(error) = self.due.remove_event(event).await
        {
            tracing::warn!(event.id = %event.id, error = %error, "event stays in the outbox");
        }
    }

    /// Tokens arrived for a connection that was disconnected during the call, or while they were
    /// in escrow: nobody will ever see them, and the provider is told (F30, X9).
    pub(super) async fn revoke_orphan(&self, tokens: &EscrowedTokens) -> Result<(), StoreError> {
        if self
            .restored_at
            .is_some_and(|at| tokens.validity.issued_at < at)
        {
            // That the connection is not there says nothing: it may be missing in the backup (H-90).
            tracing::warn!(connection.id = %tokens.id, "tokens from before a restore were dropped and not revoked");
            return Ok(());
        }
        let now = self.clock.now();
        let revocation = Revocation {
            key: tokens.connection.clone(),
            connection: tokens.id.clone(),
            sealed: tokens.sealed.0.clone(),
            generation: tokens.generation + 1,
            connector_generation: tokens.connector_generation,
            since: now,
            settles_connection: false,
        };
        self.due.add_revocation(&revocation, now).await.map(|_| ())
    }

    pub(super) async fn settle_failure(
        &self,
        lease: &Lease,
        connector: &Connector,
        failure: &TokenFailure,
    ) -> Outcome {
        let now = self.clock.now();
        let jitter = random_fraction(&*self.entropy);
        // Only somebody about to be declared dead is worth a look at everybody else (H-78).
        let in_masses = *failure == TokenFailure::GrantRefused
            && is_suspect_long_enough(&lease.connection, now)
            && self.holds_flips(connector).await;
        match after_failure(&lease.connection, failure, now, jitter, in_masses) {
            Verdict::Record(record) => self.record(lease, record).await,
            Verdict::Dead(reason) => self.require_reconnect(lease, reason).await,
        }
    }

    pub(super) async fn record(&self, lease: &Lease, record: FailedAttempt) -> Outcome {
        let connection = &lease.connection;
        let (now, until) = (self.clock.now(), record.next_attempt_at());
        let paused = Outcome::Paused {
            until,
            cause: PauseCause::Provider,
        };
        match self.connections.record_failure(lease, &record).await {
            Ok(LeaseWrite::Written) => {}
            Ok(LeaseWrite::Refused(current)) => return superseded(lease, current, paused),
            Err(error) => {
                tracing::warn!(connection.id = %connection.id, error = %error, "failed refresh was not recorded");
            }
        }
        let soon = match record {
            FailedAttempt::Unknown { .. } | FailedAttempt::Settle { .. } => {
                until <= now.after(RETRY_DELAY)
            }
            FailedAttempt::Pause { .. } | FailedAttempt::Suspect { .. } => false,
        };
        if soon {
            self.retry_soon(connection).await;
        }
        paused
    }

    /// What is unknown is tried again as soon as it has settled: a provider's grace may be over
    /// before the next tick.
    async fn retry_soon(&self, connection: &Connection) {
        let retry = Job::RetryRefresh {
            connection: connection.key.clone(),
            id: connection.id.clone(),
        };
        if let Err(error) = self.jobs.enqueue(&[retry]).await {
            tracing::warn!(connection.id = %connection.id, error = %error, "the next tick will retry");
        }
    }

    pub(super) async fn require_reconnect(
        &self,
        lease: &Lease,
        reason: ReconnectReason,
    ) -> Outcome {
        let now = self.clock.now();
        let connection = &lease.connection;
        let event = connection_event(&*self.entropy, connection, reconnect_required(reason), now);
        match self
            .connections
            .require_reconnect(lease, reason, now, &event)
            .await
        {
            Ok(LeaseWrite::Written) => {
                self.publisher.publish(&event).await;
                Outcome::ReconnectRequired(reason)
            }
            Ok(LeaseWrite::Refused(current)) => {
                superseded(lease, current, Outcome::ReconnectRequired(reason))
            }
            Err(error) => {
                tracing::warn!(connection.id = %connection.id, error = %error, "dead grant was not recorded");
                Outcome::Paused {
                    until: lease_end(now),
                    cause: PauseCause::Store,
                }
            }
        }
    }

    pub(super) async fn release(&self, lease: &Lease, outcome: Outcome) -> Outcome {
        if let Err(error) = self.connections.release_lease(lease).await {
            // It ends by itself.
            tracing::warn!(connection.id = %lease.connection.id, error = %error, "lease was not released");
        }
        outcome
    }
}

/// Tokens that came of `lease` and are not stored, as whoever deals with them needs them.
pub(super) fn escrowed(lease: &Lease, tokens: RefreshedTokens) -> EscrowedTokens {
    let connection = &lease.connection;
    EscrowedTokens {
        connection: connection.key.clone(),
        id: connection.id.clone(),
        attempt: lease.attempt.clone(),
        generation: connection.generation,
        connector_generation: connection.connector_generation,
        sealed: SealedBytes(tokens.sealed),
        validity: tokens.validity,
        refreshable: tokens.refreshable,
        granted_scopes: tokens.granted_scopes,
        due_at: tokens.due_at,
    }
}

/// A refused write under a lease: somebody connected or disconnected meanwhile (B6: the
/// loser's refusal must not touch the winner's tokens).
fn superseded(lease: &Lease, current: Option<Box<Connection>>, otherwise: Outcome) -> Outcome {
    match current {
        Some(current) if current.id != lease.connection.id || !current.status.is_live() => {
            Outcome::Gone
        }
        Some(current) if current.generation != lease.connection.generation => {
            Outcome::Superseded(current)
        }
        Some(_) => otherwise,
        None => Outcome::Gone,
    }
}

fn is_suspect_long_enough(connection: &Connection, now: Timestamp) -> bool {
    match connection.status {
        ConnectionStatus::Suspect { since } => now.since(since) >= SUSPECT_SETTLE,
        ConnectionStatus::Active
        | ConnectionStatus::ReconnectRequired { .. }
        | ConnectionStatus::Revoking { .. }
        | ConnectionStatus::Disconnected { .. } => false,
    }
}
