//! The ports on DynamoDB: one file a port.
//!
//! A condition that fails is an answer; only what leaves the outcome open is an error. Every
//! single-item write asks for the item that refused it, because that item tells whether it was
//! an earlier try of the same write, whose answer was lost, that did (H-68).

mod audit;
mod connections;
mod due;
mod expression;
mod health;
mod idempotency;
mod indexes;
mod keys;
mod leases;
mod lookup;
mod query;
mod registry;
pub mod server_time;
mod sessions;
mod transaction;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Config;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, ReturnValue, ReturnValuesOnConditionCheckFailure,
};

use self::expression::Expression;
use super::items::{Row, value};
use super::schema::{AUDIT_LIFETIME, Key, PK, SK, Tables};
use crate::ports::StoreError;

/// How long each write may take by which a look-up notes what it did: no token depends on one.
const NOTE_LIMIT: Duration = Duration::from_secs(1);

/// All stores on one DynamoDB client.
#[derive(Clone, Debug)]
pub struct DynamoStore {
    client: Client,
    tables: Tables,
    shards: u32,
    audit_kept_for: Duration,
}

impl DynamoStore {
    /// The stores in `tables`, with due work in `shards` shards. A partition takes 1,000 writes a
    /// second, and a time-ordered key without shards would be one. Work stays in the shard it was
    /// put into, so the number may grow but not shrink.
    pub fn new(client: Client, tables: Tables, shards: u32) -> Self {
        Self {
            client,
            tables,
            shards: shards.max(1),
            audit_kept_for: AUDIT_LIFETIME,
        }
    }

    /// The same, with audit entries kept for another time than [`AUDIT_LIFETIME`].
    #[must_use]
    pub fn keeping_audit_for(mut self, time: Duration) -> Self {
        self.audit_kept_for = time;
        self
    }

    /// One item, strongly consistent.
    async fn get(&self, table: &str, at: Key) -> Result<Option<Row>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(table)
            .set_key(Some(key_row(at)))
            .consistent_read(true)
            .send()
            .await
            .map_err(unavailable)?;
        Ok(answer.item)
    }

    /// Writes an item over whatever stands there.
    async fn put(&self, table: &str, row: Row) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(table)
            .set_item(Some(row))
            .send()
            .await
            .map_err(unavailable)?;
        Ok(())
    }

    /// Writes an item unless there is one; answers the one that stands.
    async fn put_if_absent(&self, table: &str, row: Row) -> Result<Row, StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(table)
            .set_item(Some(row.clone()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let sent = Expression::new().absent(PK).apply_to_put(put).send().await;
        match sent {
            Ok(_) => Ok(row),
            Err(error) => match error.into_service_error() {
                PutItemError::ConditionalCheckFailedException(refusal) => {
                    refusal.item.ok_or(StoreError::Corrupt("item"))
                }
                other => Err(unavailable(other)),
            },
        }
    }

    /// Removes an item, if it is there.
    async fn delete(&self, table: &str, at: Key) -> Result<(), StoreError> {
        self.client
            .delete_item()
            .table_name(table)
            .set_key(Some(key_row(at)))
            .send()
            .await
            .map_err(unavailable)?;
        Ok(())
    }

    /// What a look-up notes of itself.
    async fn note(
        &self,
        table: &str,
        at: Key,
        change: Expression,
        returning: ReturnValue,
    ) -> Result<Updated, StoreError> {
        let limits = TimeoutConfig::builder().operation_timeout(NOTE_LIMIT);
        self.update_within(table, at, change, returning, limits.build())
            .await
    }

    /// Changes one item if its condition holds.
    async fn update(
        &self,
        table: &str,
        at: Key,
        change: Expression,
        returning: ReturnValue,
    ) -> Result<Updated, StoreError> {
        let no_other = TimeoutConfig::builder().build();
        self.update_within(table, at, change, returning, no_other)
            .await
    }

    /// The same under narrower time limits than the client's own.
    async fn update_within(
        &self,
        table: &str,
        at: Key,
        change: Expression,
        returning: ReturnValue,
        limits: TimeoutConfig,
    ) -> Result<Updated, StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(table)
            .set_key(Some(key_row(at)))
            .return_values(returning)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let request = change.apply_to_update(update).customize();
        let sent = request
            .config_override(Config::builder().timeout_config(limits))
            .send()
            .await;
        match sent {
            Ok(answer) => Ok(Updated::Done(answer.attributes.unwrap_or_default())),
            Err(error) => match error.into_service_error() {
                UpdateItemError::ConditionalCheckFailedException(refusal) => {
                    Ok(Updated::Refused(refusal.item))
                }
                other => Err(unavailable(other)),
            },
        }
    }

    /// Gets items of several tables in one request. What DynamoDB
    /// leaves unprocessed is asked for again, a few times at once: more would be a wait, and
    /// how long a caller can wait is not known here.
    async fn batch_get(
        &self,
        keys: HashMap<String, KeysAndAttributes>,
    ) -> Result<HashMap<String, Vec<Row>>, StoreError> {
        const ROUNDS: u32 = 4;
        let mut wanted = keys;
        let mut found: HashMap<String, Vec<Row>> = HashMap::new();
        for _ in 0..ROUNDS {
            if wanted.is_empty() {
                return Ok(found);
            }
            let request = self.client.batch_get_item().set_request_items(Some(wanted));
            let answer = request.send().await.map_err(unavailable)?;
            for (table, rows) in answer.responses.unwrap_or_default() {
                found.entry(table).or_default().extend(rows);
            }
            wanted = answer.unprocessed_keys.unwrap_or_default();
        }
        if wanted.is_empty() {
            return Ok(found);
        }
        Err(StoreError::Unavailable(
            "a batch was left unprocessed".into(),
        ))
    }
}

/// What became of an update.
enum Updated {
    /// Done; the attributes asked for.
    Done(Row),
    /// The condition failed; the item as it stands, if there is one.
    Refused(Option<Row>),
}

impl Updated {
    fn is_done(&self) -> bool {
        match self {
            Self::Done(_) => true,
            Self::Refused(_) => false,
        }
    }
}

fn key_row(at: Key) -> HashMap<String, AttributeValue> {
    HashMap::from([
        (PK.to_owned(), value::text(at.pk)),
        (SK.to_owned(), value::text(at.sk)),
    ])
}

/// A strongly consistent part of a batch.
fn keys_of(keys: impl IntoIterator<Item = Key>) -> Result<KeysAndAttributes, StoreError> {
    part_of_batch(keys, true)
}

/// An eventually consistent part of a batch.
fn late_keys_of(keys: impl IntoIterator<Item = Key>) -> Result<KeysAndAttributes, StoreError> {
    part_of_batch(keys, false)
}

fn part_of_batch(
    keys: impl IntoIterator<Item = Key>,
    consistent: bool,
) -> Result<KeysAndAttributes, StoreError> {
    KeysAndAttributes::builder()
        .set_keys(Some(keys.into_iter().map(key_row).collect()))
        .consistent_read(consistent)
        .build()
        .map_err(unavailable)
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}
