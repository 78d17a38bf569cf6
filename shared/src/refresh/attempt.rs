//! One attempt under a lease: open, ask the provider once, store or record why not.

use std::sync::Arc;
use std::time::Duration;

use super::{RefreshEngine, STORE_BUDGET};
use crate::connector_client::ConnectorClient;
use crate::crypto::hash::random_fraction;
use crate::crypto::vault::WorkspaceKeys;
use crate::domain::connection::ReconnectReason;
use crate::domain::connection::{CLOCK_SKEW, Connection, ConnectionStatus, LEASE, Lease};
use crate::domain::connector::{Connector, ConnectorStatus};
use crate::domain::refresh_policy::{MAX_PAUSE, SUSPECT_SETTLE, backoff, last_used, next_refresh};
use crate::domain::time::Timestamp;
use crate::domain::token::{TokenAnswer, TokenFailure, TokenSet};
use crate::events::{connection_event, reconnect_required};
use crate::ports::{FailedAttempt, LeaseWrite, RefreshedTokens, Revocation, StoreError};

/// A misconfigured connector is asked again no sooner than this.
const CONFIG_PAUSE: Duration = Duration::from_secs(60);

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
        let profile = &prepared.client.provider.refresh;
        let over = connection.validity.grant_is_over(self.clock.now());
        let credential = prepared.tokens.refresh_credential(profile);
        let Some(credential) = credential.filter(|_| !over) else {
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
                // The lease runs on and the attempt stays open: if the provider rotated, the
                // next attempt's refusal is known to be our loss and not the user's doing.
                tracing::error!(
                    connection.id = %connection.id, error = %error,
                    "refreshed tokens could not be stored"
                );
                Outcome::Paused {
                    until: lease_end(now),
                    cause: PauseCause::Store,
                }
            }
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
    async fn move_due_entry(&self, before: &Connection, due_at: Option<Timestamp>) {
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
        let connection = &lease.connection;
        let wait = |least: Duration| {
            let pause = backoff(connection.failures + 1, random_fraction(&*self.entropy));
            now.after(pause.max(least).min(MAX_PAUSE))
        };
        let record = match failure {
            TokenFailure::GrantRefused if connection.open_attempts > 1 => {
                // An earlier attempt never learnt its answer: the rotation was lost then.
                return self
                    .require_reconnect(lease, ReconnectReason::RefreshOutcomeLost)
                    .await;
            }
            TokenFailure::GrantRefused => match connection.status {
                ConnectionStatus::Suspect { since } if now.since(since) >= SUSPECT_SETTLE => {
                    return self
                        .require_reconnect(lease, ReconnectReason::GrantRevoked)
                        .await;
                }
                ConnectionStatus::Suspect { since } => FailedAttempt::Suspect {
                    since,
                    next_attempt_at: since.after(SUSPECT_SETTLE),
                },
                ConnectionStatus::Active
                | ConnectionStatus::ReconnectRequired { .. }
                | ConnectionStatus::Revoking { .. }
                | ConnectionStatus::Disconnected { .. } => FailedAttempt::Suspect {
                    since: now,
                    next_attempt_at: now.after(SUSPECT_SETTLE),
                },
            },
            TokenFailure::InteractionRequired => {
                return self
                    .require_reconnect(lease, ReconnectReason::GrantRevoked)
                    .await;
            }
            // A type of token we cannot use still came with a rotation.
            TokenFailure::OutcomeUnknown | TokenFailure::UnknownTokenType => {
                FailedAttempt::Unknown {
                    next_attempt_at: lease_end(now),
                }
            }
            TokenFailure::NotSent => FailedAttempt::Pause {
                next_attempt_at: wait(Duration::from_secs(1)),
            },
            TokenFailure::TryLater { after } => {
                let least = after.unwrap_or(Duration::from_secs(1));
                FailedAttempt::Pause {
                    next_attempt_at: wait(least),
                }
            }
            TokenFailure::ClientRefused
            | TokenFailure::RequestRefused
            | TokenFailure::Redirected
            | TokenFailure::AddressRefused
            | TokenFailure::Unexpected { .. } => FailedAttempt::Pause {
                next_attempt_at: wait(CONFIG_PAUSE),
            },
        };
        let until = match record {
            FailedAttempt::Pause { next_attempt_at }
            | FailedAttempt::Suspect {
                next_attempt_at, ..
            }
            | FailedAttempt::Unknown { next_attempt_at } => next_attempt_at,
        };
        let paused = Outcome::Paused {
            until,
            cause: PauseCause::Provider,
        };
        match self.connections.record_failure(lease, &record).await {
            Ok(LeaseWrite::Written) => paused,
            Ok(LeaseWrite::Refused(current)) => superseded(lease, current, paused),
            Err(error) => {
                tracing::warn!(connection.id = %connection.id, error = %error, "failed refresh was not recorded");
                paused
            }
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

/// The first instant at which a lease that was taken at or before `now` may be taken over.
fn lease_end(now: Timestamp) -> Timestamp {
    now.after(LEASE + CLOCK_SKEW + Duration::from_millis(1))
}
