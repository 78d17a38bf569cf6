//! One attempt under a lease: open, ask the provider once, store or record why not.

use std::sync::Arc;
use std::time::Duration;

use super::aftermath::escrowed;
use super::{RefreshEngine, STORE_BUDGET};
use crate::connector_client::ConnectorClient;
use crate::crypto::hash::random_fraction;
use crate::crypto::vault::WorkspaceKeys;
use crate::domain::connection::{Connection, ConnectionStatus, LEASE, Lease, ReconnectReason};
use crate::domain::connector::{Connector, ConnectorStatus};
use crate::domain::health::Seen;
use crate::domain::refresh_policy::{last_used, next_refresh};
use crate::domain::refresh_protocol::{before_asking, may_ask};
use crate::domain::time::Timestamp;
use crate::domain::token::{TokenAnswer, TokenFailure, TokenSet};
use crate::ports::{LeaseWrite, RefreshedTokens, StoreError};

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
    /// Nothing was asked: a slow table or key service has used up the time that the answer
    /// would need.
    TooLate,
    /// What is stored does not open. Kept as it is, for a person to look at (F35).
    Unreadable,
}

/// An attempt that has ended.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) outcome: Outcome,
    /// What the provider's answer says about the connector, if it was asked.
    pub(super) seen: Option<Seen>,
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
    /// When this began: the lease has run no longer than since then.
    begun: Timestamp,
    keys: Arc<WorkspaceKeys>,
    tokens: TokenSet,
    client: ConnectorClient,
}

impl RefreshEngine {
    /// Makes the one attempt that `lease` entitles to. Whatever comes of it, the lease has
    /// ended afterwards, or runs on on purpose because the provider's answer is unknown.
    ///
    /// The provider is asked before `begin_by`, on the monotonic clock, or not at all. `held` is
    /// let go once the provider has answered: a worker's right to one of its few
    /// calls at a time.
    pub(super) async fn attempt<H: Send>(
        &self,
        lease: &Lease,
        connector: &Connector,
        begin_by: Duration,
        held: H,
    ) -> Attempted {
        match self.ask(lease, connector, begin_by).await {
            Ok((prepared, answer)) => {
                drop(held);
                let seen = Some(Seen::of(answer.as_ref()));
                let outcome = match answer {
                    Ok(answer) if is_of_another_account(&lease.connection, &answer) => {
                        // Neither stored nor handed out, nor revoked, which could end the
                        // grant of whoever they belong to.
                        tracing::error!(
                            connection.id = %lease.connection.id, connector.id = %connector.id,
                            "refresh brought the tokens of another account"
                        );
                        self.require_reconnect(lease, ReconnectReason::AccountMismatch)
                            .await
                    }
                    Ok(answer) => self.store(lease, &prepared, answer).await,
                    Err(failure) => {
                        tracing::warn!(
                            connection.id = %lease.connection.id, connector.id = %connector.id,
                            error = %failure, "refresh brought no tokens"
                        );
                        self.settle_failure(lease, connector, &failure).await
                    }
                };
                Attempted { outcome, seen }
            }
            Err(outcome) => Attempted {
                outcome,
                seen: None,
            },
        }
    }

    /// Asks the provider, if anything is to be asked. Otherwise the attempt has ended.
    async fn ask(
        &self,
        lease: &Lease,
        connector: &Connector,
        begin_by: Duration,
    ) -> Result<(Prepared, Result<TokenAnswer, TokenFailure>), Outcome> {
        let connection = &lease.connection;
        if connector.status != ConnectorStatus::Enabled {
            return Err(self.release(lease, Outcome::Gone).await);
        }
        // Tokens of an earlier client or endpoint are never sent to a later one (H-38).
        if connector.generation != connection.connector_generation {
            let changed = Outcome::ReconnectRequired(ReconnectReason::ConnectorChanged);
            return Err(self.release(lease, changed).await);
        }
        let prepared = match self.prepare(connection, connector).await {
            Ok(prepared) => prepared,
            Err(outcome) => return Err(self.release(lease, outcome).await),
        };
        let now = self.clock.now();
        let profile = &prepared.client.provider.refresh;
        if let Some(settle) = before_asking(connection, profile.rotation, now) {
            tracing::warn!(connection.id = %connection.id, "an earlier attempt never reported");
            return Err(self.record(lease, settle).await);
        }
        let credential = prepared.tokens.refresh_credential(profile);
        let Some(credential) = credential.filter(|_| !connection.validity.grant_is_over(now))
        else {
            return Err(self
                .require_reconnect(lease, ReconnectReason::RefreshExpired)
                .await);
        };
        // Two clocks: where a sandbox stands still one of them may stand with it (F37), and the
        // other may have been set meanwhile: the lease's own answer has told (F38).
        let in_time = self.clock.monotonic() < begin_by && may_ask(lease.until, self.clock.now());
        if !in_time || !self.clock.is_trusted() {
            return Err(self.release(lease, Outcome::TooLate).await);
        }
        let answer = self
            .providers
            .refresh(
                &prepared.client.provider,
                &prepared.client.credentials,
                credential,
            )
            .await;
        Ok((prepared, answer))
    }

    async fn prepare(
        &self,
        connection: &Connection,
        connector: &Connector,
    ) -> Result<Prepared, Outcome> {
        let begun = self.clock.now();
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
        let client = ConnectorClient::open(
            connector,
            &keys,
            &tokens.connection_config,
            self.address_rules,
        )
        .map_err(|error| {
            tracing::error!(connector.id = %connector.id, error = ?error, "connector is unusable");
            Outcome::Unreadable
        })?;
        Ok(Prepared {
            begun,
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
        // Counted from before it was asked: the lifetime began when the provider answered (RFC
        // 6749 section 5.1), and this sandbox may have stood still for minutes since (F37).
        let (previous, consented_at) = (&connection.validity, connection.connected_at);
        let validity = answer.validity_over(previous, profile, consented_at, prepared.begun);
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
        let news = self
            .note_scopes(connection, &refreshed.granted_scopes, now)
            .await;
        match self.store_until_deadline(lease, &refreshed, now).await {
            Ok(LeaseWrite::Written) => {
                self.move_due_entry(connection, refreshed.due_at).await;
                if let Some(event) = &news {
                    self.publisher.publish(event).await;
                }
                let stored = Connection {
                    status: ConnectionStatus::Active,
                    generation,
                    sealed: Some(refreshed.sealed),
                    validity,
                    refreshable,
                    granted_scopes: refreshed.granted_scopes,
                    due_at: refreshed.due_at,
                    open_attempts: 0,
                    open_since: None,
                    outcome_lost: false,
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
                self.forget(news.as_ref()).await;
                // The user went through the consent meanwhile: the newer grant stands. Ours is
                // not revoked, which at many providers would revoke both.
                let held_for = self.clock.now().since(prepared.begun);
                if held_for < LEASE && is_fence_violation(connection, &current) {
                    tracing::error!(
                        connection.id = %connection.id, "fence_violation: \
                         tokens were stored while another attempt held the lease"
                    );
                }
                Outcome::Superseded(current)
            }
            Ok(LeaseWrite::Refused(_)) => {
                self.forget(news.as_ref()).await;
                if let Err(error) = self.revoke_orphan(&escrowed(lease, refreshed)).await {
                    tracing::error!(
                        connection.id = %connection.id, error = %error,
                        "tokens of a connection that is gone could not be queued for revocation"
                    );
                }
                Outcome::Gone
            }
            Err(error) => {
                tracing::error!(
                    connection.id = %connection.id, error = %error,
                    "refreshed tokens could not be stored"
                );
                let outcome = self.escrow(lease, refreshed, now).await;
                // It is told when they come out.
                self.forget(news.as_ref()).await;
                outcome
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
}

/// As far as the provider's profile finds the account in a token response (F22).
fn is_of_another_account(connection: &Connection, answer: &TokenAnswer) -> bool {
    let both = connection.account.as_ref().zip(answer.account.as_ref());
    both.is_some_and(|(connected, answered)| connected.contradicts(answered))
}

/// Whether `current` has tokens that nobody was entitled to store while `leased` was leased
/// (F29): neither a user who went through the consent, nor an earlier attempt that was not heard
/// of and whose tokens came late.
fn is_fence_violation(leased: &Connection, current: &Connection) -> bool {
    current.connected_at == leased.connected_at && !leased.has_lost_outcome()
}
