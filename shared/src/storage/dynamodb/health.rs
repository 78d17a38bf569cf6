//! How connectors are doing.
//!
//! A breaker's item outlives its breaker for a while, to say when it closed: then it has no
//! `open_until`. What replaces a breaker names the id of the one it read, so of any number of
//! callers who read the same one moves it.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnValue;

use super::super::items::health::{read_breaker, read_health, read_tally};
use super::super::items::{Row, value};
use super::super::schema::{
    self, BREAKER_LIFETIME, PK, SECRET_LIFETIME, SK, TALLY_LIFETIME, TTL, attr,
};
use super::expression::Expression;
use super::transaction::Committed;
use super::{DynamoStore, Updated, unavailable};
use crate::domain::event::Event;
use crate::domain::health::{Breaker, Health, MEMORY_MINUTES, Tally, minute_of};
use crate::domain::ids::{ConnectorId, WorkspaceId};
use crate::domain::time::Timestamp;
use crate::ports::{ConnectorHealth, StoreError};

#[async_trait]
impl ConnectorHealth for DynamoStore {
    async fn health(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        now: Timestamp,
    ) -> Result<Health, StoreError> {
        let forgotten = minute_of(now) - MEMORY_MINUTES;
        let keys = Expression::new()
            .equals(PK, value::text(schema::health(workspace, connector)))
            .more(SK, value::text(schema::counted_key(forgotten)));
        let query = self.client.query().table_name(&self.tables.due);
        // Sixteen small items: one page.
        let answer = keys.apply_to_query(query).send().await;
        read_health(&answer.map_err(unavailable)?.items.unwrap_or_default())
    }

    async fn count(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        now: Timestamp,
        tally: &Tally,
    ) -> Result<Tally, StoreError> {
        let change = Expression::new()
            .add(attr::CALLS, tally.calls)
            .add(attr::SUCCESSES, tally.successes)
            .add(attr::FAILURES, tally.failures)
            .add(attr::REFUSALS, tally.refusals)
            .add(attr::MALFORMED, tally.malformed)
            .set(TTL, value::ttl(now.after(TALLY_LIFETIME)));
        let at = schema::tally(workspace, connector, minute_of(now));
        match self
            .update(&self.tables.due, at, change, ReturnValue::AllNew)
            .await?
        {
            Updated::Done(row) => read_tally(&row),
            // There is no condition that could refuse it.
            Updated::Refused(_) => Err(StoreError::Corrupt("tally")),
        }
    }

    async fn trip(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        breaker: &Breaker,
        replacing: Option<&Breaker>,
        event: Option<&Event>,
    ) -> Result<bool, StoreError> {
        let at = schema::breaker(workspace, connector);
        let change = opening(breaker, replacing);
        let Some(event) = event else {
            let updated = self.update(&self.tables.due, at, change, ReturnValue::None);
            return match updated.await? {
                Updated::Done(_) => Ok(true),
                Updated::Refused(row) => is_standing(breaker, row.as_ref()),
            };
        };
        const MOVED: usize = 0;
        let committed = self
            .transaction()
            .update(&self.tables.due, at, change)?
            .tell(event)?
            .commit();
        match committed.await? {
            Committed::Done => Ok(true),
            Committed::Refused(by) => is_standing(breaker, by.item(MOVED)),
        }
    }

    async fn close(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        breaker: &Breaker,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let change = standing(breaker)
            .set(attr::CLOSED_AT, value::time(now))
            .set(TTL, value::ttl(now.after(TALLY_LIFETIME)))
            .remove(&[attr::OPEN_UNTIL]);
        let at = schema::breaker(workspace, connector);
        let updated = self.update(&self.tables.due, at, change, ReturnValue::None);
        Ok(updated.await?.is_done())
    }

    async fn secret_worked(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        set_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let change = Expression::new()
            .absent_or_less(attr::AT, value::time(now))
            .set(attr::AT, value::time(now))
            .set(TTL, value::ttl(now.after(SECRET_LIFETIME)));
        let at = schema::client_secret(workspace, connector, set_at);
        let updated = self.update(&self.tables.due, at, change, ReturnValue::None);
        updated.await.map(|_| ())
    }
}

fn opening(breaker: &Breaker, replacing: Option<&Breaker>) -> Expression {
    let condition = match replacing {
        None => Expression::new().absent(attr::OPEN_UNTIL),
        Some(read) => standing(read),
    };
    condition
        .set(attr::ID, value::text(breaker.id.as_str()))
        .set(attr::CAUSE, value::text(breaker.cause.as_str()))
        .set(attr::SINCE, value::time(breaker.since))
        .set(attr::OPEN_UNTIL, value::time(breaker.open_until))
        .set(attr::OPENINGS, value::number(breaker.openings))
        .set(
            attr::CONNECTOR_VERSION,
            value::number(breaker.connector_version),
        )
        .set(TTL, value::ttl(breaker.open_until.after(BREAKER_LIFETIME)))
        .remove(&[attr::CLOSED_AT])
}

fn standing(breaker: &Breaker) -> Expression {
    Expression::new()
        .equals(attr::ID, value::text(breaker.id.as_str()))
        .exists(attr::OPEN_UNTIL)
}

/// Whether what refused a breaker is that breaker: an earlier try of the same call (H-68).
fn is_standing(breaker: &Breaker, row: Option<&Row>) -> Result<bool, StoreError> {
    let standing = row.map(read_breaker).transpose()?.flatten();
    Ok(standing.is_some_and(|standing| standing == *breaker))
}
