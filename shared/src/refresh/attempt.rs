//! One attempt under a lease: open, ask the provider once, store or record why not.

use std::sync::Arc;
use std::time::Duration;

use super::{RefreshEngine, STORE_BUDGET};
use crate::connector_client::ConnectorClient;
use crate::crypto::hash::random_fraction;
use crate::crypto::vault::WorkspaceKeys;
use crate::domain::connection::ReconnectReason;
use crate::domain::connection::{Connection, ConnectionStatus, Lease};
use crate::domain::connector::{Connector, ConnectorStatus};
use crate::domain::event::Change;
use crate::domain::job::{EscrowedTokens, Job, SealedBytes};
use crate::domain::refresh_policy::{last_used, next_refresh};
use crate::domain::refresh_protocol::{
    FailedAttempt, RETRY_DELAY, Verdict, after_failure, before_asking, lease_end,
};
use crate::domain::scopes::ScopeList;
use crate::domain::time::Timestamp;
use crate::domain::token::{TokenAnswer, TokenFailure, TokenSet};
use crate::events::{connection_event, reconnect_required};
use crate::ports::{LeaseWrite, RefreshedTokens, Revocation, StoreError};

/// When a look-up should ask again whose tokens are in escrow.
const ESCROW_DELIVERY: Duration = Duration::from_secs(5);

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// New tokens are stored.
    Refreshed(TokenSet, Box<Connection>),
    /// Somebody stored newer tokens meanwhile; the connection as it stands.
    Superseded(Box<Connection>),
    /// The connection is not live any more.
    Gone,
    /// Proven dead, and recorded as such.
    ReconnectRequired(ReconnectReason),
    /// No tokens this time.
    Paused {
        /// Earliest next attempt.
        until: Timestamp,
        /// What went wrong.
        cause: PauseCause,
    },
    /// What is stored does not open. Kept as it is, for a person to look at (F35).
    Unreadable,
}

/// What an attempt failed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PauseCause {
    Provider,
    Keys,
    Store,
}

/// What is needed to ask the provider.
struct Prepared {
    keys: Arc<WorkspaceKeys>,
    tokens: TokenSet,
    client: ConnectorClient,
}

impl RefreshEngine {
    /// Makes the one attempt that `lease` entitles to. Whatever comes of it, the lease has
    /// ended afterwards, or runs on on purpose because the provider's answer is unknown.
    ///
    /// `held` is let go once the provider has answered: a worker's right to one of its few
    /// calls at a time.
    pub(super) async fn attempt<H: Send>(
        &self,
        lease: &Lease,
        connector: &Connector,
        held: H,
    ) -> Outcome {
        let connection = &lease.connection;
        if connector.status != ConnectorStatus::Enabled {
            return self.release(lease, Outcome::Gone).await;
        }
        // Tokens of an earlier client or endpoint are never sent to a later one (H-38).
        if connector.generation != connection.connector_generation {
            let changed = Outcome::ReconnectRequired(ReconnectReason::ConnectorChanged);
            return self.release(lease, changed).await;
        }
        let prepared = match self.prepare(connection, connector).await {
            Ok(prepared) => prepared,
            Err(outcome) => return self.release(lease, outcome).await,
        };
        let now = self.clock.now();
        let profile = &prepared.client.provider.refresh;
        if let Some(settle) = before_asking(connection, profile.rotation, now) {
            tracing::warn!(connection.id = %connection.id, "an earlier attempt never reported");
            return self.record(lease, settle).await;
        }
        let credential = prepared.tokens.refresh_credential(profile);
        let Some(credential) = credential.filter(|_| !connection.validity.grant_is_over(now))
        else {
            return self
                .require_reconnect(lease, ReconnectReason::RefreshExpired)
                .await;
        };
        let answer = self
            .providers
            .refresh(
                &prepared.client.provider,
                &prepared.client.credentials,
                credential,
            )
            .await;
        drop(held);
        match answer {
            Ok(answer) => self.store(lease, &prepared, answer).await,
            Err(failure) => {
                tracing::warn!(
                    connection.id = %connection.id, connector.id = %connector.id,
                    error = %failure, "refresh brought no tokens"
                );
                self.settle_failure(lease, &failure).await
            }
        }
    }

    async fn prepare(
        &self,
        connection: &Connection,
        connector: &Connector,
    ) -> Result<Prepared, Outcome> {
        let keys = self
            .vault
            .keys(&connection.key.workspace)
            .await
            .map_err(|error| {
                tracing::error!(error = %error, "no key for the workspace");
                Outcome::Paused {
                    until: self.clock.now(),
                    cause: PauseCause::Keys,
                }
            })?;
        let tokens = keys.open_tokens(connection).map_err(|error| {
            tracing::error!(connection.id = %connection.id, error = %error, "stored tokens do not open");
            Outcome::Unreadable
        })?;
        let client =
            ConnectorClient::open(connector, &keys, self.address_rules).map_err(|error| {
                tracing::error!(connector.id = %connector.id, error = ?error, "connector is unusable");
                Outcome::Unreadable
            })?;
        Ok(Prepared {
            keys,
            tokens,
            client,
        })
    }

    /// Stores what the provider answered before anybody sees it.
    async fn store(&self, lease: &Lease, prepared: &Prepared, answer: TokenAnswer) -> Outcome {
        let connection = &lease.connection;
        let now = self.clock.now();
        let profile = &prepared.client.provider.refresh;
        let validity =
            answer.validity_over(&connection.validity, profile, connection.connected_at, now);
        let granted_scopes = answer
            .scopes
            .clone()
            .unwrap_or_else(|| connection.granted_scopes.clone());
        let tokens = answer.over(&prepared.tokens);
        let generation = connection.generation + 1;
        let refreshable = tokens.refresh_credential(profile).is_some();
        let refreshed = RefreshedTokens {
            sealed: prepared
                .keys
                .seal_tokens(&*self.entropy, &connection.id, generation, &tokens),
            validity,
            refreshable,
            granted_scopes,
            due_at: next_refresh(
                profile,
                validity,
                refreshable,
                last_used(connection),
                random_fraction(&*self.entropy),
            ),
        };
        match self.store_until_deadline(lease, &refreshed, now).await {
            Ok(LeaseWrite::Written) => {
                self.move_due_entry(connection, refreshed.due_at).await;
                self.tell_scopes(connection, &refreshed.granted_scopes, now)
                    .await;
                let stored = Connection {
                    status: ConnectionStatus::Active,
                    generation,
                    sealed: Some(refreshed.sealed),
                    validity,
                    refreshable,
                    granted_scopes: refreshed.granted_scopes,
                    due_at: refreshed.due_at,
                    open_attempts: 0,
                    failures: 0,
                    next_attempt_at: None,
                    refreshed_at: Some(now),
                    ..connection.clone()
                };
                Outcome::Refreshed(tokens, Box::new(stored))
            }
            Ok(LeaseWrite::Refused(Some(current)))
                if current.id == connection.id && current.status.is_live() =>
            {
                // The user went through the consent meanwhile: the newer grant stands. Ours is
                // not revoked, which at many providers would revoke both.
                Outcome::Superseded(current)
            }
            Ok(LeaseWrite::Refused(_)) => {
                self.revoke_orphan(connection, refreshed.sealed, generation, now)
                    .await;
                Outcome::Gone
            }
            Err(error) => {
                tracing::error!(
                    connection.id = %connection.id, error = %error,
                    "refreshed tokens could not be stored"
                );
                self.escrow(lease, refreshed, now).await
            }
        }
    }

    /// The last resort for tokens that the table does not take: the queue keeps them, sealed,
    /// until it does (F28, H-69). The lease runs on, and the attempt has not reported.
    async fn escrow(&self, lease: &Lease, tokens: RefreshedTokens, now: Timestamp) -> Outcome {
        let connection = &lease.connection;
        let job = Job::StoreTokens(Box::new(EscrowedTokens {
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
        }));
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

    /// Offers the write until it is answered or the budget is spent: the old refresh token may
    /// be dead already, so giving up early loses the grant.
    async fn store_until_deadline(
        &self,
        lease: &Lease,
        tokens: &RefreshedTokens,
        now: Timestamp,
    ) -> Result<LeaseWrite, StoreError> {
        let started = self.clock.monotonic();
        let mut pause = Duration::from_millis(200);
        loop {
            match self.connections.store_tokens(lease, tokens, now).await {
                Err(StoreError::Unavailable(_))
                    if self.clock.monotonic().saturating_sub(started) + pause < STORE_BUDGET =>
                {
                    self.clock
                        .sleep(pause.mul_f64(random_fraction(&*self.entropy)))
                        .await;
                    pause *= 2;
                }
                answer => return answer,
            }
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

    /// Fewer scopes or more than before (F21): the app may have to ask the user.
    async fn tell_scopes(&self, before: &Connection, granted: &ScopeList, now: Timestamp) {
        if granted.is_same_set(&before.granted_scopes) {
            return;
        }
        let change = |connection| Change::ScopesChanged {
            connection,
            granted_scopes: granted.clone(),
        };
        let event = connection_event(&*self.entropy, before, change, now);
        match self.due.add_event(&event).await {
            Ok(()) => self.publisher.publish(&event).await,
            Err(error) => {
                tracing::warn!(connection.id = %before.id, error = %error, "changed scopes are not told");
            }
        }
    }

    /// Tokens arrived for a connection that was disconnected during the call: nobody will ever
    /// see them, and the provider is told (F30).
    async fn revoke_orphan(
        &self,
        connection: &Connection,
        sealed: Vec<u8>,
        generation: u64,
        now: Timestamp,
    ) {
        let revocation = Revocation {
            key: connection.key.clone(),
            connection: connection.id.clone(),
            sealed,
            generation,
            connector_generation: connection.connector_generation,
            since: now,
            settles_connection: false,
        };
        if let Err(error) = self.due.add_revocation(&revocation, now).await {
            tracing::error!(
                connection.id = %connection.id, error = %error,
                "tokens of a connection that is gone could not be queued for revocation"
            );
        }
    }

    async fn settle_failure(&self, lease: &Lease, failure: &TokenFailure) -> Outcome {
        let now = self.clock.now();
        let jitter = random_fraction(&*self.entropy);
        match after_failure(&lease.connection, failure, now, jitter, false) {
            Verdict::Record(record) => self.record(lease, record).await,
            Verdict::Dead(reason) => self.require_reconnect(lease, reason).await,
        }
    }

    async fn record(&self, lease: &Lease, record: FailedAttempt) -> Outcome {
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

    async fn require_reconnect(&self, lease: &Lease, reason: ReconnectReason) -> Outcome {
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

    async fn release(&self, lease: &Lease, outcome: Outcome) -> Outcome {
        if let Err(error) = self.connections.release_lease(lease).await {
            // It ends by itself.
            tracing::warn!(connection.id = %lease.connection.id, error = %error, "lease was not released");
        }
        outcome
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
