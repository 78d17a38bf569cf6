//! The jobs about one connection that earlier attempts left behind: a refresh whose outcome was
//! never learnt, and tokens that the table did not take. Delivered at least once, late, twice or
//! in any order: each looks at the connection as it is now.

use std::time::Duration;

use super::attempt::Outcome;
use super::protection::Admitted;
use super::{RefreshEngine, START_WINDOW};
use crate::crypto::hash::random_fraction;
use crate::domain::connection::{Connection, ConnectionKey, LEASE, Lease};
use crate::domain::ids::ConnectionId;
use crate::domain::job::EscrowedTokens;
use crate::ports::{EscrowWrite, LeaseAnswer, LeaseWrite, RefreshedTokens, StoreError};

/// How long one delivery of escrowed tokens is offered to the table. The function is stopped
/// after 15 s, and one answer may take 6.
const DELIVERY_BUDGET: Duration = Duration::from_secs(7);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What became of one offer of escrowed tokens to the table.
pub(super) enum Offer {
    /// They are stored, or nobody needs them.
    Settled,
    /// Another attempt holds the lease.
    Yields,
}

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
        let Admitted::Go(watch) = self.admit_retry(&connector).await else {
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

    /// Stores tokens out of escrow, if the generation they replace still stands (H-69), and only
    /// while no other attempt may be asking the provider.
    ///
    /// # Errors
    /// When they do not get in within a few seconds: the queue delivers them again.
    pub async fn store_escrowed(&self, tokens: &EscrowedTokens) -> Result<(), JobNotDone> {
        self.deliver(|| self.offer(tokens)).await
    }

    /// Offers what a job is about for a few seconds. After that it is for the queue to deliver it
    /// again, soon enough for an attempt that waits for it. To hand it over anew would make two of
    /// a job that comes twice, and again two of each, for as long as the table is away.
    pub(super) async fn deliver<F>(&self, offer: impl Fn() -> F) -> Result<(), JobNotDone>
    where
        F: Future<Output = Result<Offer, StoreError>>,
    {
        let started = self.clock.monotonic();
        let mut pause = Duration::from_millis(100);
        loop {
            let error = match offer().await {
                Ok(Offer::Settled) => return Ok(()),
                Ok(Offer::Yields) => {
                    StoreError::Unavailable("another attempt holds the lease".into())
                }
                Err(error @ StoreError::Corrupt(_)) => return Err(error.into()),
                Err(error @ StoreError::Unavailable(_)) => error,
            };
            if self.clock.monotonic().saturating_sub(started) + pause >= DELIVERY_BUDGET {
                return Err(error.into());
            }
            let jitter = 0.5 + random_fraction(&*self.entropy) / 2.0;
            self.clock.sleep(pause.mul_f64(jitter)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn offer(&self, tokens: &EscrowedTokens) -> Result<Offer, StoreError> {
        // Whether another's lease is over is for a clock to say that others share.
        self.check_clock()?;
        let current = self.connections.connection(&tokens.connection).await?;
        let standing = current.filter(|current| current.id == tokens.id);
        let Some(connection) = standing.filter(|standing| !standing.status.is_gone()) else {
            return self.revoke_orphan(tokens).await.map(|()| Offer::Settled);
        };
        if connection.generation != tokens.generation || !connection.status.is_live() {
            // Stored by an earlier delivery, or the user went through the consent meanwhile.
            tracing::info!(connection.id = %tokens.id, "escrowed tokens are not needed");
            return Ok(Offer::Settled);
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
            // Long over, and nothing is asked.
            until: tokens.validity.issued_at.after(LEASE),
            connection,
        };
        let write = self.connections.store_escrowed(&lease, &refreshed, now);
        let stored = write.await;
        if !matches!(stored, Ok(EscrowWrite::Ended(LeaseWrite::Written))) {
            self.forget(news.as_ref()).await;
        }
        let ended = match stored? {
            EscrowWrite::Ended(ended) => ended,
            EscrowWrite::Yields => return Ok(Offer::Yields),
        };
        match ended {
            LeaseWrite::Written => {
                tracing::warn!(connection.id = %tokens.id, "tokens came out of escrow");
                self.move_due_entry(&lease.connection, tokens.due_at).await;
                if let Some(event) = &news {
                    self.publisher.publish(event).await;
                }
            }
            LeaseWrite::Refused(Some(now)) if is_of(&now, tokens) => {}
            LeaseWrite::Refused(_) => self.revoke_orphan(tokens).await?,
        }
        Ok(Offer::Settled)
    }
}

fn is_of(current: &Connection, tokens: &EscrowedTokens) -> bool {
    current.id == tokens.id && !current.status.is_gone()
}
