//! The jobs about one connection that earlier attempts left behind: a refresh whose outcome was
//! never learnt, and tokens that the table did not take. Delivered at least once, late, twice or
//! in any order: each looks at the connection as it is now.

use std::time::Duration;

use super::attempt::Outcome;
use super::protection::Admitted;
use super::{RefreshEngine, START_WINDOW};
use crate::crypto::hash::random_fraction;
use crate::domain::connection::{Connection, ConnectionKey, Lease};
use crate::domain::ids::ConnectionId;
use crate::domain::job::{EscrowedTokens, Job};
use crate::ports::{LeaseAnswer, LeaseWrite, RefreshedTokens, Revocation, StoreError};

/// How long one delivery of escrowed tokens is offered to the table. The function is stopped
/// after 15 s, and one answer may take 6.
const DELIVERY_BUDGET: Duration = Duration::from_secs(7);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A job that could not be done; the queue delivers it again.
#[derive(Debug, thiserror::Error)]
#[error("the job could not be done now")]
pub struct JobNotDone(#[from] StoreError);

impl RefreshEngine {
    /// Tries again what an earlier attempt left with an unknown outcome, unless somebody else
    /// has settled it since.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn retry_refresh(
        &self,
        key: &ConnectionKey,
        id: &ConnectionId,
    ) -> Result<(), JobNotDone> {
        let begin_by = self.clock.monotonic() + START_WINDOW;
        let found = self.registry.connector(&key.workspace, &key.connector);
        let Some(connector) = found.await? else {
            return Ok(());
        };
        // While the connector is paused, the sweep keeps what is due.
        let Admitted::Go(watch) = self.admit(&connector).await else {
            return Ok(());
        };
        let lease = match self.take_lease(key).await? {
            LeaseAnswer::Granted(lease) => lease,
            // Whoever holds the lease settles it; what is paused is the sweep's.
            LeaseAnswer::NotNow(_) | LeaseAnswer::Gone => return Ok(()),
        };
        if lease.connection.id != *id || !lease.connection.has_lost_outcome() {
            self.connections.release_lease(&lease).await?;
            return Ok(());
        }
        // Whatever comes of it is on the connection; the sweep mends the due entry.
        let attempted = self.attempt(&lease, &connector, begin_by, ()).await;
        self.observe(&connector, &watch, attempted.seen.as_slice())
            .await;
        if matches!(attempted.outcome, Outcome::TooLate) {
            return Err(StoreError::Unavailable("the table took too long".into()).into());
        }
        Ok(())
    }

    /// Stores tokens out of escrow, if the generation they replace still stands (H-69). What
    /// the table does not take within a few seconds is handed over again, so that a table that
    /// comes back finds them waiting, ahead of the next attempt with the old token.
    ///
    /// # Errors
    /// When neither table nor bus takes them: the queue keeps them.
    pub async fn store_escrowed(&self, tokens: &EscrowedTokens) -> Result<(), JobNotDone> {
        let started = self.clock.monotonic();
        let mut pause = Duration::from_millis(100);
        loop {
            let error = match self.offer(tokens).await {
                Ok(()) => return Ok(()),
                Err(error @ StoreError::Corrupt(_)) => return Err(error.into()),
                Err(error @ StoreError::Unavailable(_)) => error,
            };
            if self.clock.monotonic().saturating_sub(started) + pause >= DELIVERY_BUDGET {
                let again = Job::StoreTokens(Box::new(tokens.clone()));
                return self.jobs.enqueue(&[again]).await.map_err(|_| error.into());
            }
            let jitter = 0.5 + random_fraction(&*self.entropy) / 2.0;
            self.clock.sleep(pause.mul_f64(jitter)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn offer(&self, tokens: &EscrowedTokens) -> Result<(), StoreError> {
        let current = self.connections.connection(&tokens.connection).await?;
        let standing = current.filter(|current| current.id == tokens.id);
        let Some(connection) = standing.filter(|standing| !standing.status.is_gone()) else {
            return self.revoke_escrowed(tokens).await;
        };
        if connection.generation != tokens.generation || !connection.status.is_live() {
            // Stored by an earlier delivery, or the user went through the consent meanwhile.
            tracing::info!(connection.id = %tokens.id, "escrowed tokens are not needed");
            return Ok(());
        }
        let refreshed = RefreshedTokens {
            sealed: tokens.sealed.0.clone(),
            validity: tokens.validity,
            refreshable: tokens.refreshable,
            granted_scopes: tokens.granted_scopes.clone(),
            due_at: tokens.due_at,
        };
        let now = self.clock.now();
        let news = self
            .note_scopes(&connection, &tokens.granted_scopes, now)
            .await;
        let lease = Lease {
            attempt: tokens.attempt.clone(),
            connection,
        };
        let stored = self.connections.store_tokens(&lease, &refreshed, now).await;
        if !matches!(stored, Ok(LeaseWrite::Written)) {
            self.forget(news.as_ref()).await;
        }
        match stored? {
            LeaseWrite::Written => {
                tracing::warn!(connection.id = %tokens.id, "tokens came out of escrow");
                self.move_due_entry(&lease.connection, tokens.due_at).await;
                if let Some(event) = &news {
                    self.publisher.publish(event).await;
                }
                Ok(())
            }
            LeaseWrite::Refused(Some(now)) if is_of(&now, tokens) => Ok(()),
            LeaseWrite::Refused(_) => self.revoke_escrowed(tokens).await,
        }
    }

    /// The connection is gone: nobody will ever see the tokens, and the provider is told (X9).
    async fn revoke_escrowed(&self, tokens: &EscrowedTokens) -> Result<(), StoreError> {
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
}

fn is_of(current: &Connection, tokens: &EscrowedTokens) -> bool {
    current.id == tokens.id && !current.status.is_gone()
}
