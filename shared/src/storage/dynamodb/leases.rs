//! What one attempt does to one connection: take the lease, then end it in one of four ways.
//!
//! Tokens are stored over the leased generation of a live connection (H-62, H-63), whoever holds
//! the lease by then: a worker that was frozen beyond its lease still has what the provider
//! issued, and refusing it could lose the grant (F37). That takes it a second write, which leaves
//! the lease to its holder. Tokens out of escrow can wait, and do while another holds the lease.
//! Every other write requires that the lease is still the attempt's own, so a worker that comes
//! late with less than tokens changes nothing. What the counters become is computed from the connection the lease answered with:
//! nobody else moves them while the owner stands, and a write that is sent twice counts once.

use std::time::Duration;

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

use super::super::items::connection::{read_connection, read_lease};
use super::super::items::{Row, value};
use super::super::schema::{self, attr, life, status};
use super::expression::Expression;
use super::transaction::Committed;
use super::{DynamoStore, Updated};
use crate::domain::connection::{
    CLOCK_SKEW, Connection, ConnectionKey, ConnectionStatus, Lease, ReconnectReason,
};
use crate::domain::event::Event;
use crate::domain::ids::AttemptId;
use crate::domain::refresh_protocol::{FailedAttempt, may_store};
use crate::domain::time::Timestamp;
use crate::ports::{EscrowWrite, LeaseAnswer, LeaseWrite, RefreshedTokens, StoreError};

/// A table that hangs must leave time for the escrow.
const STORE_LIMIT: Duration = Duration::from_millis(1500);

const LIVE: [&str; 2] = [status::ACTIVE, status::SUSPECT];

impl DynamoStore {
    pub(super) async fn take_lease(
        &self,
        key: &ConnectionKey,
        attempt: &AttemptId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseAnswer, StoreError> {
        let change = Expression::new()
            .one_of(attr::STATUS, &LIVE)
            .exists(attr::SEALED)
            .absent_or_less(attr::LEASE_UNTIL, value::time(now.before(CLOCK_SKEW)))
            .absent_or_at_most(attr::NEXT_ATTEMPT_AT, value::time(now))
            .set(attr::LEASE_OWNER, value::text(attempt.as_str()))
            .set(attr::LEASE_UNTIL, value::time(until))
            .count(attr::OPEN_ATTEMPTS)
            .set_if_absent(attr::OPEN_SINCE, value::time(now));
        let at = schema::connection(key);
        let granted = |row: &Row| {
            let lease = Lease {
                attempt: attempt.clone(),
                until,
                connection: read_connection(row)?,
            };
            Ok(LeaseAnswer::Granted(Box::new(lease)))
        };
        match self
            .update(&self.tables.connections, at, change, ReturnValue::AllNew)
            .await?
        {
            Updated::Done(row) => granted(&row),
            Updated::Refused(None) => Ok(LeaseAnswer::Gone),
            Updated::Refused(Some(row)) => {
                let connection = read_connection(&row)?;
                let held = read_lease(&row)?;
                if !connection.status.is_live() || connection.sealed.is_none() {
                    Ok(LeaseAnswer::Gone)
                } else if held.owner.as_ref() == Some(attempt) && held.until == Some(until) {
                    granted(&row)
                } else {
                    Ok(LeaseAnswer::NotNow(Box::new(connection)))
                }
            }
        }
    }

    pub(super) async fn give_lease_back(&self, lease: &Lease) -> Result<(), StoreError> {
        let open = lease.connection.open_attempts.saturating_sub(1);
        let since = lease.connection.open_since.filter(|_| open > 0);
        let change = owned(lease)
            .set(attr::OPEN_ATTEMPTS, value::number(open))
            .set_or_remove(attr::OPEN_SINCE, since.map(value::time))
            .remove(&[attr::LEASE_OWNER, attr::LEASE_UNTIL]);
        self.update_leased(lease, change).await.map(|_| ())
    }

    pub(super) async fn store_under_lease(
        &self,
        lease: &Lease,
        tokens: &RefreshedTokens,
        now: Timestamp,
    ) -> Result<LeaseWrite, StoreError> {
        let own = store_change(owned(lease), lease, tokens, now)
            .remove(&[attr::LEASE_OWNER, attr::LEASE_UNTIL]);
        let refused = match self.store(lease, own).await? {
            Updated::Refused(Some(row)) => row,
            updated => return stored(updated, lease),
        };
        let standing = read_connection(&refused)?;
        let is_ours = read_lease(&refused)?.owner.as_ref() == Some(&lease.attempt);
        if is_ours || !may_store(&standing, lease.connection.generation) {
            return stored(Updated::Refused(Some(refused)), lease);
        }
        // Somebody else's lease runs on: whoever holds it may have asked the provider already,
        // and nobody else is to ask before that has ended (F37, H-60).
        let late = store_change(Expression::new(), lease, tokens, now);
        stored(self.store(lease, late).await?, lease)
    }

    pub(super) async fn store_when_free(
        &self,
        lease: &Lease,
        tokens: &RefreshedTokens,
        now: Timestamp,
    ) -> Result<EscrowWrite, StoreError> {
        let over = value::time(now.before(CLOCK_SKEW));
        let free = Expression::new().any_of(|any| {
            any.absent(attr::LEASE_UNTIL)
                .less(attr::LEASE_UNTIL, over)
                .equals(attr::LEASE_OWNER, value::text(lease.attempt.as_str()))
        });
        let change =
            store_change(free, lease, tokens, now).remove(&[attr::LEASE_OWNER, attr::LEASE_UNTIL]);
        Ok(match stored(self.store(lease, change).await?, lease)? {
            // Nothing but the lease was in the way.
            LeaseWrite::Refused(Some(standing))
                if may_store(&standing, lease.connection.generation) =>
            {
                EscrowWrite::Yields
            }
            ended => EscrowWrite::Ended(ended),
        })
    }

    async fn store(&self, lease: &Lease, change: Expression) -> Result<Updated, StoreError> {
        let at = schema::connection(&lease.connection.key);
        let limits = TimeoutConfig::builder().operation_timeout(STORE_LIMIT);
        self.update_within(
            &self.tables.connections,
            at,
            change,
            ReturnValue::None,
            limits.build(),
        )
        .await
    }

    pub(super) async fn fail_under_lease(
        &self,
        lease: &Lease,
        failure: &FailedAttempt,
    ) -> Result<LeaseWrite, StoreError> {
        let after = failure.apply(&lease.connection);
        // A failure says nothing about newer tokens than those it was made with (B6).
        let change = live_as_leased(owned(lease), lease)
            .set(attr::LAST_ATTEMPT, value::text(lease.attempt.as_str()))
            .set(attr::FAILURES, value::number(after.failures))
            .set(attr::OPEN_ATTEMPTS, value::number(after.open_attempts))
            .set_or_remove(attr::OPEN_SINCE, after.open_since.map(value::time))
            .set(attr::OUTCOME_LOST, AttributeValue::Bool(after.outcome_lost))
            .set_or_remove(
                attr::NEXT_ATTEMPT_AT,
                after.next_attempt_at.map(value::time),
            );
        let change = match after.status {
            ConnectionStatus::Suspect { since } => change
                .set(attr::STATUS, value::text(status::SUSPECT))
                .set(attr::SINCE, value::time(since)),
            ConnectionStatus::Active
            | ConnectionStatus::ReconnectRequired { .. }
            | ConnectionStatus::Revoking { .. }
            | ConnectionStatus::Disconnected { .. } => change,
        };
        let change = if failure.keeps_lease() {
            change
        } else {
            change.remove(&[attr::LEASE_OWNER, attr::LEASE_UNTIL])
        };
        let updated = self.update_leased(lease, change).await?;
        answer(updated, lease, |stored| {
            stored.status.is_live() && stored.generation == lease.connection.generation
        })
    }

    pub(super) async fn give_up_under_lease(
        &self,
        lease: &Lease,
        reason: ReconnectReason,
        since: Timestamp,
        event: &Event,
    ) -> Result<LeaseWrite, StoreError> {
        const CONNECTION: usize = 0;
        // The sealed tokens stay: a later disconnect still has to revoke them.
        let change = live_as_leased(owned(lease), lease)
            .set(attr::STATUS, value::text(status::RECONNECT_REQUIRED))
            .set(attr::LIFE, value::text(life::DEAD))
            .set(attr::REASON, value::text(reason.as_str()))
            .set(attr::SINCE, value::time(since))
            .set(attr::LAST_ATTEMPT, value::text(lease.attempt.as_str()))
            .remove(&[
                attr::DUE_AT,
                attr::LEASE_OWNER,
                attr::LEASE_UNTIL,
                attr::OPEN_ATTEMPTS,
                attr::OPEN_SINCE,
                attr::OUTCOME_LOST,
                attr::NEXT_ATTEMPT_AT,
            ]);
        let at = schema::connection(&lease.connection.key);
        let mut transaction = self
            .transaction()
            .update(&self.tables.connections, at, change)?
            .tell(event)?;
        if let Some(due) = self.due_key(&lease.connection) {
            transaction = transaction.delete(&self.tables.due, due, Expression::new())?;
        }
        let updated = match transaction.commit().await? {
            Committed::Done => return Ok(LeaseWrite::Written),
            Committed::Refused(by) => Updated::Refused(by.item(CONNECTION).cloned()),
        };
        answer(updated, lease, |stored| {
            matches!(stored.status, ConnectionStatus::ReconnectRequired { .. })
                && stored.generation == lease.connection.generation
        })
    }

    async fn update_leased(
        &self,
        lease: &Lease,
        change: Expression,
    ) -> Result<Updated, StoreError> {
        let at = schema::connection(&lease.connection.key);
        self.update(&self.tables.connections, at, change, ReturnValue::None)
            .await
    }
}

fn owned(lease: &Lease) -> Expression {
    Expression::new().equals(attr::LEASE_OWNER, value::text(lease.attempt.as_str()))
}

/// What storing tokens writes over the leased generation, but for the lease.
fn store_change(
    change: Expression,
    lease: &Lease,
    tokens: &RefreshedTokens,
    now: Timestamp,
) -> Expression {
    let validity = tokens.validity;
    live_as_leased(change, lease)
        .set(attr::STATUS, value::text(status::ACTIVE))
        .set(attr::SEALED, value::bytes(&tokens.sealed))
        .set(attr::GENERATION, value::number(next_generation(lease)))
        .set(attr::ISSUED_AT, value::time(validity.issued_at))
        .set_or_remove(attr::EXPIRES_AT, validity.expires_at.map(value::time))
        .set_or_remove(
            attr::GRANT_EXPIRES_AT,
            validity.grant_expires_at.map(value::time),
        )
        .set(attr::REFRESHABLE, AttributeValue::Bool(tokens.refreshable))
        .set(attr::GRANTED_SCOPES, value::scopes(&tokens.granted_scopes))
        .set_or_remove(attr::DUE_AT, tokens.due_at.map(value::time))
        .set(attr::REFRESHED_AT, value::time(now))
        .set(attr::LAST_ATTEMPT, value::text(lease.attempt.as_str()))
        .set(attr::FAILURES, value::number(0))
        .remove(&[
            attr::SINCE,
            attr::OPEN_ATTEMPTS,
            attr::OPEN_SINCE,
            attr::OUTCOME_LOST,
            attr::NEXT_ATTEMPT_AT,
        ])
}

fn next_generation(lease: &Lease) -> u64 {
    lease.connection.generation.saturating_add(1)
}

fn stored(updated: Updated, lease: &Lease) -> Result<LeaseWrite, StoreError> {
    answer(updated, lease, |stored| {
        stored.status.is_live() && stored.generation == next_generation(lease)
    })
}

fn live_as_leased(change: Expression, lease: &Lease) -> Expression {
    change
        .equals(attr::GENERATION, value::number(lease.connection.generation))
        .one_of(attr::STATUS, &LIVE)
}

/// A refused write is nevertheless ours when this attempt was the last to end on the
/// connection and left it as `as_written` says (H-68).
fn answer(
    updated: Updated,
    lease: &Lease,
    as_written: impl Fn(&Connection) -> bool,
) -> Result<LeaseWrite, StoreError> {
    let row = match updated {
        Updated::Done(_) => return Ok(LeaseWrite::Written),
        Updated::Refused(None) => return Ok(LeaseWrite::Refused(None)),
        Updated::Refused(Some(row)) => row,
    };
    let stored = read_connection(&row)?;
    let ours = read_lease(&row)?.last_attempt.as_ref() == Some(&lease.attempt);
    Ok(if ours && as_written(&stored) {
        LeaseWrite::Written
    } else {
        LeaseWrite::Refused(Some(Box::new(stored)))
    })
}
