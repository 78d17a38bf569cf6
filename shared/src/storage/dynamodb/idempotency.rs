//! Requests that are done once: one item each, in the table of sessions.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnValue;

use super::super::items::idempotency::{read_run, stage_name, write_run};
use super::super::items::value;
use super::super::schema::{self, TTL, attr, stage};
use super::expression::Expression;
use super::{DynamoStore, Updated};
use crate::domain::idempotency::{Run, RunStage, SealedAnswer};
use crate::domain::time::Timestamp;
use crate::ports::{Idempotency, StoreError};

#[async_trait]
impl Idempotency for DynamoStore {
    async fn begin(&self, run: &Run) -> Result<Run, StoreError> {
        let row = write_run(run);
        let standing = self.put_if_absent(&self.tables.sessions, row).await?;
        read_run(run.request, &standing)
    }

    async fn take_over(&self, run: &Run, earlier: &Run) -> Result<bool, StoreError> {
        let until = match run.stage {
            RunStage::Running { until } => Some(value::time(until)),
            RunStage::Answered(_) => None,
        };
        let change = standing(earlier)
            .set(attr::ID, value::text(run.id.as_str()))
            .set(attr::HASH, value::bytes(&run.asked))
            .set(attr::STAGE, value::text(stage_name(&run.stage)))
            .set_or_remove(attr::LEASE_UNTIL, until)
            .set(attr::EXPIRES_AT, value::time(run.expires_at))
            .set(TTL, value::ttl(run.expires_at))
            .remove(&[attr::WRAPPED, attr::SEALED]);
        match self.change_run(run, change).await? {
            Updated::Done(_) => Ok(true),
            Updated::Refused(None) => Ok(false),
            Updated::Refused(Some(row)) => Ok(read_run(run.request, &row)?.id == run.id),
        }
    }

    async fn finish(&self, run: &Run, answer: &SealedAnswer) -> Result<bool, StoreError> {
        let change = Expression::new()
            .equals(attr::ID, value::text(run.id.as_str()))
            .set(attr::STAGE, value::text(stage::ANSWERED))
            .set(attr::WRAPPED, value::bytes(&answer.wrapped))
            .set(attr::SEALED, value::bytes(&answer.sealed))
            .remove(&[attr::LEASE_UNTIL]);
        Ok(self.change_run(run, change).await?.is_done())
    }

    async fn give_up(&self, run: &Run, now: Timestamp) -> Result<(), StoreError> {
        let change = standing(run).set(attr::LEASE_UNTIL, value::time(now));
        self.change_run(run, change).await.map(|_| ())
    }
}

/// On condition that `run` stands at its stage.
fn standing(run: &Run) -> Expression {
    Expression::new()
        .equals(attr::ID, value::text(run.id.as_str()))
        .equals(attr::STAGE, value::text(stage_name(&run.stage)))
}

impl DynamoStore {
    async fn change_run(&self, run: &Run, change: Expression) -> Result<Updated, StoreError> {
        let at = schema::run(&run.request);
        self.update(&self.tables.sessions, at, change, ReturnValue::None)
            .await
    }
}
