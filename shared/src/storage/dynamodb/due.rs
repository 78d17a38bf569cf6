//! Due work and the outbox of events.
//!
//! Due work is read eventually consistent: a piece seen late comes up in the next run, a piece
//! seen again does no harm. An entry that cannot be read is logged and passed over, because one
//! bad entry, always the oldest, would stop its shard for ever.

use std::collections::HashMap;

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::config::Config;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;

use super::super::items::due::{
    event_work, read_deletion, read_event, read_refresh, read_revocation, read_work, refresh_work,
    revocation_work, write_event, write_refresh, write_revocation,
};
use super::super::items::{Row, value};
use super::super::schema::{self, DueKind, PK, SK};
use super::expression::Expression;
use super::{DynamoStore, unavailable};
use crate::domain::connection::ConnectionKey;
use crate::domain::event::Event;
use crate::domain::ids::{ConnectionId, WorkspaceId};
use crate::domain::time::Timestamp;
use crate::ports::{Doomed, DueTable, DueWork, Page, Revocation, StoreError};

/// How long an event that nothing waits for may keep tokens from being stored.
const EVENT_LIMIT: Duration = Duration::from_millis(500);

#[async_trait]
impl DueTable for DynamoStore {
    fn shards(&self) -> u32 {
        self.shards
    }

    async fn add_refresh(
        &self,
        key: &ConnectionKey,
        id: &ConnectionId,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        let work = refresh_work(id, due_at, self.shards);
        self.put(&self.tables.due, write_refresh(&work, key)).await
    }

    async fn due_refreshes(
        &self,
        shard: u32,
        now: Timestamp,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<(DueWork, ConnectionKey)>, StoreError> {
        let (rows, next) = self
            .due_page(DueKind::Refresh, shard, just_after(now), after, limit)
            .await?;
        let items = readable(&rows, |row| {
            Ok((read_work(shard, row)?, read_refresh(row)?))
        });
        Ok(Page { items, next })
    }

    async fn remove_refresh(&self, id: &ConnectionId, due_at: Timestamp) -> Result<(), StoreError> {
        let work = refresh_work(id, due_at, self.shards);
        self.remove_work(DueKind::Refresh, &work).await
    }

    async fn remove_found_refresh(&self, work: &DueWork) -> Result<(), StoreError> {
        self.remove_work(DueKind::Refresh, work).await
    }

    async fn add_revocation(
        &self,
        revocation: &Revocation,
        due_at: Timestamp,
    ) -> Result<DueWork, StoreError> {
        let work = revocation_work(revocation, due_at, self.shards);
        let row = write_revocation(&work, revocation);
        self.put(&self.tables.due, row).await?;
        Ok(work)
    }

    async fn due_revocations(
        &self,
        shard: u32,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(DueWork, Revocation)>, StoreError> {
        let rows = self
            .due(DueKind::Revocation, shard, just_after(now), limit)
            .await?;
        Ok(readable(&rows, |row| {
            Ok((read_work(shard, row)?, read_revocation(row)?))
        }))
    }

    async fn postpone_revocation(
        &self,
        work: &DueWork,
        revocation: &Revocation,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        let moved = self.add_revocation(revocation, due_at).await?;
        if moved != *work {
            self.remove_revocation(work).await?;
        }
        Ok(())
    }

    async fn remove_revocation(&self, work: &DueWork) -> Result<(), StoreError> {
        self.remove_work(DueKind::Revocation, work).await
    }

    fn revocation_work(&self, revocation: &Revocation) -> DueWork {
        revocation_work(revocation, revocation.since, self.shards)
    }

    async fn due_deletions(
        &self,
        shard: u32,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(DueWork, WorkspaceId, Doomed)>, StoreError> {
        let rows = self
            .due(DueKind::Deletion, shard, just_after(now), limit)
            .await?;
        Ok(readable(&rows, |row| {
            let work = read_work(shard, row)?;
            let (workspace, what) = read_deletion(&work)?;
            Ok((work, workspace, what))
        }))
    }

    async fn remove_deletion(&self, work: &DueWork) -> Result<(), StoreError> {
        self.remove_work(DueKind::Deletion, work).await
    }

    async fn add_event(&self, event: &Event) -> Result<(), StoreError> {
        let row = write_event(&event_work(event, self.shards), event)?;
        let limits = TimeoutConfig::builder().operation_timeout(EVENT_LIMIT);
        self.client
            .put_item()
            .table_name(&self.tables.due)
            .set_item(Some(row))
            .customize()
            .config_override(Config::builder().timeout_config(limits.build()))
            .send()
            .await
            .map_err(unavailable)?;
        Ok(())
    }

    async fn unsent_events(
        &self,
        shard: u32,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<(DueWork, Event)>, StoreError> {
        let rows = self.due(DueKind::Event, shard, before, limit).await?;
        Ok(readable(&rows, |row| {
            Ok((read_work(shard, row)?, read_event(row)?))
        }))
    }

    async fn remove_event(&self, event: &Event) -> Result<(), StoreError> {
        let work = event_work(event, self.shards);
        self.remove_work(DueKind::Event, &work).await
    }

    async fn remove_found_event(&self, work: &DueWork) -> Result<(), StoreError> {
        self.remove_work(DueKind::Event, work).await
    }
}

impl DynamoStore {
    /// The work of one shard that is due before `end`, oldest first.
    async fn due(
        &self,
        kind: DueKind,
        shard: u32,
        end: Timestamp,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError> {
        let page = self.due_page(kind, shard, end, None, limit).await?;
        Ok(page.0)
    }

    /// The same from behind the sort key `after` on, with the sort key to go on from.
    async fn due_page(
        &self,
        kind: DueKind,
        shard: u32,
        end: Timestamp,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<Row>, Option<String>), StoreError> {
        let partition = value::text(schema::due_shard(kind, shard));
        let keys = Expression::new()
            .equals(PK, partition.clone())
            .less(SK, value::text(schema::due_before(end)));
        let query = self.client.query().table_name(&self.tables.due);
        let from = after.map(|sk| {
            HashMap::from([(PK.to_owned(), partition), (SK.to_owned(), value::text(sk))])
        });
        let answer = keys
            .apply_to_query(query)
            .set_exclusive_start_key(from)
            .limit(i32::try_from(limit.max(1)).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(unavailable)?;
        let next = answer.last_evaluated_key.and_then(|key| {
            let sk = key.get(SK)?.as_s().ok()?;
            Some(sk.clone())
        });
        Ok((answer.items.unwrap_or_default(), next))
    }

    async fn remove_work(&self, kind: DueKind, work: &DueWork) -> Result<(), StoreError> {
        self.delete(&self.tables.due, schema::due(kind, work)).await
    }
}

/// What is due at `now` is due before the next millisecond.
fn just_after(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.millis().saturating_add(1))
}

fn readable<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, StoreError>) -> Vec<T> {
    let items = rows.iter().filter_map(|row| {
        read(row)
            .inspect_err(|error| {
                let key = |name| row.get(name).and_then(|value| value.as_s().ok());
                tracing::error!(
                    error = %error,
                    due.pk = key(PK).map(String::as_str),
                    due.sk = key(SK).map(String::as_str),
                    "due work cannot be read and is passed over"
                );
            })
            .ok()
    });
    items.collect()
}
