//! A fresh token for somebody who is waiting.

use std::time::Duration;

use super::attempt::{Outcome, PauseCause};
use super::protection::Admitted;
use super::{RefreshEngine, START_WINDOW, WAIT_BUDGET};
use crate::crypto::hash::random_fraction;
use crate::domain::connection::{Connection, ConnectionKey, ConnectionStatus, ReconnectReason};
use crate::domain::connector::Connector;
use crate::domain::refresh_policy::can_refresh;
use crate::domain::refresh_protocol::is_proven;
use crate::domain::token::TokenSet;
use crate::ports::LeaseAnswer;

const FIRST_POLL: Duration = Duration::from_millis(50);
const LONGEST_POLL: Duration = Duration::from_millis(400);
const BUSY: Duration = Duration::from_secs(1);

/// Tokens that may be handed out, with the connection they belong to.
#[derive(Debug)]
pub struct FreshTokens {
    /// The tokens.
    pub tokens: TokenSet,
    /// The connection as it is stored.
    pub connection: Connection,
    /// Whether this call made the provider issue them.
    pub refreshed: bool,
}

/// Why there is no fresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFresh {
    /// Disconnected.
    Gone,
    /// Only the user can help.
    ReconnectRequired(ReconnectReason),
    /// The provider does not issue one now, or somebody else is still asking it.
    ProviderUnavailable {
        /// When asking again makes sense.
        retry_after: Duration,
    },
    /// The key cannot be opened now.
    KeysUnavailable {
        /// When asking again makes sense.
        retry_after: Duration,
    },
    /// What is stored does not open.
    Unreadable,
}

impl RefreshEngine {
    /// Tokens of `connection` with at least `min_ttl` left, refreshed if needed. Of any number
    /// of callers one asks the provider; the others wait for what it stores (H-71).
    ///
    /// # Errors
    /// [`NotFresh`]: never an expired token, never a refresh without the lease (B4).
    pub async fn fresh_tokens(
        &self,
        connector: &Connector,
        connection: Connection,
        min_ttl: Duration,
    ) -> Result<FreshTokens, NotFresh> {
        if self.is_good(&connection, min_ttl) {
            return self.open(connection, false).await;
        }
        let (now, begin_by) = (self.clock.now(), self.clock.monotonic() + START_WINDOW);
        if !can_refresh(&connection, now) && !self.has_expired(&connection) {
            return Err(NotFresh::ReconnectRequired(ReconnectReason::RefreshExpired));
        }
        let watch = match self.admit(connector).await {
            Admitted::Go(watch) => watch,
            Admitted::Paused { until } => {
                let retry_after = until.since(now).max(BUSY);
                return Err(NotFresh::ProviderUnavailable { retry_after });
            }
        };
        match self.take_lease(&connection.key).await {
            Ok(LeaseAnswer::Granted(lease)) => {
                if self.is_good(&lease.connection, min_ttl) {
                    // Refreshed between our read and our lease.
                    if let Err(error) = self.connections.release_lease(&lease).await {
                        tracing::warn!(error = %error, "lease was not released");
                    }
                    return self.open(lease.connection, false).await;
                }
                let attempted = self.attempt(&lease, connector, begin_by, ()).await;
                self.observe(connector, &watch, attempted.seen.as_slice())
                    .await;
                self.finish(attempted.outcome).await
            }
            Ok(LeaseAnswer::NotNow(current)) => self.wait(*current, min_ttl).await,
            Ok(LeaseAnswer::Gone) => Err(self.gone(&connection.key).await),
            Err(error) => {
                tracing::warn!(error = %error, "no lease could be taken");
                Err(NotFresh::ProviderUnavailable { retry_after: BUSY })
            }
        }
    }

    /// Somebody else holds the lease: waits for what they store. A waiter never takes the
    /// lease later on, because its own function would be stopped in the middle of the call.
    async fn wait(
        &self,
        mut current: Connection,
        min_ttl: Duration,
    ) -> Result<FreshTokens, NotFresh> {
        let started = self.clock.monotonic();
        let mut poll = FIRST_POLL;
        loop {
            let now = self.clock.now();
            if !current.status.is_live() {
                return Err(not_live(&current));
            }
            if self.is_good(&current, min_ttl) {
                return self.open(current, false).await;
            }
            if let Some(at) = current.next_attempt_at.filter(|at| *at > now) {
                return Err(NotFresh::ProviderUnavailable {
                    retry_after: at.since(now),
                });
            }
            if self.clock.monotonic().saturating_sub(started) >= WAIT_BUDGET {
                return Err(NotFresh::ProviderUnavailable { retry_after: BUSY });
            }
            let jitter = 0.5 + random_fraction(&*self.entropy) / 2.0;
            self.clock.sleep(poll.mul_f64(jitter)).await;
            poll = (poll * 2).min(LONGEST_POLL);
            current = match self.connections.connection(&current.key).await {
                Ok(Some(connection)) => connection,
                Ok(None) => return Err(NotFresh::Gone),
                Err(error) => {
                    tracing::warn!(error = %error, "connection could not be read again");
                    return Err(NotFresh::ProviderUnavailable { retry_after: BUSY });
                }
            };
        }
    }

    /// Whether the access token may be handed out as it is. One that was stored before a restore is
    /// refreshed first, because whoever it belongs to may have disconnected since the backup
    /// (H-90); where nothing can be refreshed it is what there is.
    fn is_good(&self, connection: &Connection, min_ttl: Duration) -> bool {
        let now = self.clock.now();
        let proven = is_proven(connection, self.restored_at) || !can_refresh(connection, now);
        proven && connection.validity.covers(min_ttl, now)
    }

    async fn finish(&self, outcome: Outcome) -> Result<FreshTokens, NotFresh> {
        match outcome {
            Outcome::Refreshed(tokens, connection) => Ok(FreshTokens {
                tokens,
                connection: *connection,
                refreshed: true,
            }),
            Outcome::Superseded(connection) => self.open(*connection, false).await,
            Outcome::Gone => Err(NotFresh::Gone),
            Outcome::ReconnectRequired(reason) => Err(NotFresh::ReconnectRequired(reason)),
            Outcome::Paused { until, cause } => {
                let retry_after = until.since(self.clock.now()).max(BUSY);
                Err(match cause {
                    PauseCause::Keys => NotFresh::KeysUnavailable { retry_after },
                    PauseCause::Provider | PauseCause::Store => {
                        NotFresh::ProviderUnavailable { retry_after }
                    }
                })
            }
            Outcome::TooLate => Err(NotFresh::ProviderUnavailable { retry_after: BUSY }),
            Outcome::Unreadable => Err(NotFresh::Unreadable),
        }
    }

    async fn open(&self, connection: Connection, refreshed: bool) -> Result<FreshTokens, NotFresh> {
        let keys = self
            .vault
            .keys(&connection.key.workspace)
            .await
            .map_err(|error| {
                tracing::error!(error = %error, "no key for the workspace");
                NotFresh::KeysUnavailable { retry_after: BUSY }
            })?;
        match keys.open_tokens(&connection) {
            Ok(tokens) => Ok(FreshTokens {
                tokens,
                connection,
                refreshed,
            }),
            Err(error) => {
                tracing::error!(connection.id = %connection.id, error = %error, "stored tokens do not open");
                Err(NotFresh::Unreadable)
            }
        }
    }

    /// The lease was refused because there is nothing live: why.
    async fn gone(&self, key: &ConnectionKey) -> NotFresh {
        match self.connections.connection(key).await {
            Ok(Some(connection)) => not_live(&connection),
            Ok(None) => NotFresh::Gone,
            Err(_) => NotFresh::ProviderUnavailable { retry_after: BUSY },
        }
    }

    fn has_expired(&self, connection: &Connection) -> bool {
        connection
            .validity
            .expires_at
            .is_some_and(|at| at <= self.clock.now())
    }
}

fn not_live(connection: &Connection) -> NotFresh {
    match connection.status {
        ConnectionStatus::ReconnectRequired { reason, .. } => NotFresh::ReconnectRequired(reason),
        ConnectionStatus::Active
        | ConnectionStatus::Suspect { .. }
        | ConnectionStatus::Revoking { .. }
        | ConnectionStatus::Disconnected { .. } => NotFresh::Gone,
    }
}
