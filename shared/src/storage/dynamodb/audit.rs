//! What happened.
//!
//! A workspace's entries are one partition, sorted by time; a user's are one of the index. What
//! neither key says is filtered while reading, a bounded number of entries at a time.

use async_trait::async_trait;
use aws_sdk_dynamodb::config::Config;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValue;

use super::super::items::audit::{position_after, read_entry, write_bulk_read, write_entry};
use super::super::items::{Reader, Row, value};
use super::super::schema::{self, BULK_LIFETIME, BY_USER, GSI_PK, GSI_SK, PK, SK, TTL, attr};
use super::expression::Expression;
use super::query::no_page;
use super::{DynamoStore, NOTE_LIMIT, Updated, unavailable};
use crate::domain::audit::{AuditEntry, AuditFilter, AuditId};
use crate::domain::event::Event;
use crate::domain::ids::{ApiKeyId, WorkspaceId};
use crate::domain::time::Timestamp;
use crate::ports::{Audit, Page, StoreError};

/// How many entries one request to DynamoDB looks through when there is something to filter, and
/// how many such requests a page may cost: some 350 bytes an entry are well below its 1 MB.
const LOOKED_THROUGH: i32 = 1000;
const MOST_READS: usize = 4;

#[async_trait]
impl Audit for DynamoStore {
    async fn add_entry(&self, entry: &AuditEntry) -> Result<bool, StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.tables.audit)
            .set_item(Some(self.audit_row(entry)));
        let limits = TimeoutConfig::builder().operation_timeout(NOTE_LIMIT);
        let put = Expression::new().absent(PK).apply_to_put(put).customize();
        let put = put.config_override(Config::builder().timeout_config(limits.build()));
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.into_service_error() {
                PutItemError::ConditionalCheckFailedException(_) => Ok(false),
                other => Err(unavailable(other)),
            },
        }
    }

    async fn count_connection(&self, key: &ApiKeyId, hour: i64) -> Result<u64, StoreError> {
        let began = Timestamp::from_millis(hour.saturating_mul(3_600_000));
        let change = Expression::new()
            .add(attr::READS, 1)
            .set(TTL, value::ttl(began.after(BULK_LIFETIME)));
        let at = schema::connections_read_in(key, hour);
        let counted = self.note(&self.tables.due, at, change, ReturnValue::AllNew);
        match counted.await? {
            Updated::Done(row) => Reader::new(&row, "reads").number(attr::READS),
            // There is no condition that could refuse it.
            Updated::Refused(_) => Err(StoreError::Corrupt("reads")),
        }
    }

    async fn tell_bulk_read(
        &self,
        key: &ApiKeyId,
        day: i64,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let first = write_bulk_read(key, day);
        let told = self
            .transaction()
            .put(&self.tables.due, first, Expression::new().absent(PK))?
            .tell(event)?
            .commit()
            .await?;
        Ok(told.is_done())
    }

    async fn entries(
        &self,
        workspace: &WorkspaceId,
        filter: &AuditFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let from = AuditId::floor(filter.from.unwrap_or(Timestamp::from_millis(0)));
        let to = AuditId::floor(filter.to.unwrap_or(Timestamp::from_millis(i64::MAX)));
        let position = match after.map(AuditId::parse) {
            None => None,
            // DynamoDB refuses a position outside the range asked for.
            Some(Some(id)) if (from.as_str()..to.as_str()).contains(&id.as_str()) => {
                Some(position_after(&id, workspace, filter.user.as_ref()))
            }
            Some(_) => return Ok(no_page()),
        };
        if from >= to {
            return Ok(no_page());
        }
        let (rows, last) = self
            .matching(workspace, filter, (from, to), position, limit)
            .await?;
        let next = last.and_then(|row| row.get(SK)?.as_s().ok().cloned());
        let items = rows.iter().filter_map(|row| read_entry(row).transpose());
        Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            next,
        })
    }
}

impl DynamoStore {
    pub(super) fn audit_row(&self, entry: &AuditEntry) -> Row {
        write_entry(entry, self.audit_kept_for)
    }

    /// The rows of a page, and where it ends unless it is the last.
    async fn matching(
        &self,
        workspace: &WorkspaceId,
        filter: &AuditFilter,
        (from, to): (String, String),
        position: Option<Row>,
        limit: u32,
    ) -> Result<(Vec<Row>, Option<Row>), StoreError> {
        let wanted = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
        let keys = match &filter.user {
            Some(user) => Expression::new()
                .equals(GSI_PK, value::text(schema::audit_by_user(workspace, user)))
                .between(GSI_SK, value::text(from), value::text(to)),
            None => Expression::new()
                .equals(PK, value::text(schema::workspace(workspace)))
                .between(SK, value::text(from), value::text(to)),
        };
        let only = [
            (
                attr::CONNECTOR,
                filter.connector.as_ref().map(|id| id.as_str()),
            ),
            (attr::APP, filter.app.as_ref().map(|id| id.as_str())),
            (attr::ACTION, filter.action.map(|action| action.as_str())),
        ];
        let only = only
            .into_iter()
            .filter_map(|(name, text)| Some((name, text?)));
        let keys = only.fold(keys, |keys, (name, text)| {
            keys.only(name, value::text(text))
        });
        // One more than the page tells whether there is a next.
        let at_a_time = if keys.filters() {
            LOOKED_THROUGH
        } else {
            super::query::one_more(limit)
        };
        let query = self.client.query().table_name(&self.tables.audit);
        let query = keys
            .apply_to_query(query)
            .set_index_name(filter.user.as_ref().map(|_| BY_USER.to_owned()))
            .scan_index_forward(false)
            .limit(at_a_time);
        let (mut rows, mut last) = (Vec::new(), position);
        for _ in 0..MOST_READS {
            let answer = query.clone().set_exclusive_start_key(last).send().await;
            let answer = answer.map_err(unavailable)?;
            rows.extend(answer.items.unwrap_or_default());
            last = answer.last_evaluated_key;
            if rows.len() > wanted || last.is_none() {
                break;
            }
        }
        if rows.len() > wanted {
            rows.truncate(wanted);
            last = rows.last().cloned();
        }
        Ok((rows, last))
    }
}
