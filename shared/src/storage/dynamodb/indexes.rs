//! The indexes of connections: by connector and by app. They lag behind the table, so what they
//! list is read from the table where more than the index itself shows is asked for.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::Select;

use super::super::items::connection::read_connection;
use super::super::items::{Reader, Row, value};
use super::super::schema::{self, APP_PK, GSI_PK, GSI_SK, Key, PK, SK};
use super::expression::Expression;
use super::query::{cursor, no_page, one_more, page};
use super::{DynamoStore, keys_of, unavailable};
use crate::domain::connection::{Connection, ConnectionStatus};
use crate::domain::ids::{AppId, ConnectionId, ConnectorId, WorkspaceId};
use crate::ports::{Page, StoreError};

impl DynamoStore {
    pub(super) async fn index_page(
        &self,
        index: &'static str,
        mut keys: Expression,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Row>, StoreError> {
        let Some(after) = cursor(after, ConnectionId::parse) else {
            return Ok(no_page());
        };
        if let Some(after) = after {
            keys = keys.more(GSI_SK, value::text(after.as_str()));
        }
        let (rows, cut_short) = self.query_index(index, keys, one_more(limit)).await?;
        Ok(page(rows, limit, cut_short, |row| {
            let id = row.get(GSI_SK).and_then(|id| id.as_s().ok());
            id.cloned().unwrap_or_default()
        }))
    }

    pub(super) async fn query_index(
        &self,
        index: &'static str,
        keys: Expression,
        limit: i32,
    ) -> Result<(Vec<Row>, bool), StoreError> {
        let query = self.client.query().table_name(&self.tables.connections);
        let answer = keys
            .apply_to_query(query)
            .index_name(index)
            .limit(limit)
            .send()
            .await
            .map_err(unavailable)?;
        let cut_short = answer.last_evaluated_key.is_some();
        Ok((answer.items.unwrap_or_default(), cut_short))
    }

    /// How many an index lists, counted to `most`; and whether that is all of them.
    pub(super) async fn count_index(
        &self,
        index: &'static str,
        keys: Expression,
        most: u64,
    ) -> Result<(u64, bool), StoreError> {
        let query = self.client.query().table_name(&self.tables.connections);
        let query = keys.apply_to_query(query);
        let query = query.index_name(index).select(Select::Count);
        let (mut count, mut from) = (0, None);
        loop {
            let answer = query.clone().set_exclusive_start_key(from).send().await;
            let answer = answer.map_err(unavailable)?;
            count += u64::try_from(answer.count).unwrap_or(0);
            from = answer.last_evaluated_key;
            if count > most {
                return Ok((most, false));
            }
            if from.is_none() {
                return Ok((count, true));
            }
        }
    }

    /// The connections that rows of the index stand for, in their order.
    pub(super) async fn hydrate(&self, index: &[Row]) -> Result<Vec<Connection>, StoreError> {
        /// The most a batch may ask for.
        const BATCH: usize = 100;
        let mut found = Vec::with_capacity(index.len());
        for rows in index.chunks(BATCH) {
            let keys = rows.iter().map(index_key).collect::<Result<Vec<_>, _>>()?;
            let batch = HashMap::from([(self.tables.connections.clone(), keys_of(keys)?)]);
            for row in self.batch_get(batch).await?.into_values().flatten() {
                found.push(read_connection(&row)?);
            }
        }
        // The index may still show what the table has moved on from.
        found.retain(is_listed);
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }
}

pub(super) fn of_connector(workspace: &WorkspaceId, connector: &ConnectorId) -> Expression {
    let partition = schema::by_connector(workspace, connector);
    Expression::new().equals(GSI_PK, value::text(partition))
}

pub(super) fn of_app(workspace: &WorkspaceId, app: &AppId) -> Expression {
    Expression::new().equals(APP_PK, value::text(schema::by_app(workspace, app)))
}

pub(super) fn index_key(row: &Row) -> Result<Key, StoreError> {
    let row = Reader::new(row, "index entry");
    Ok(Key {
        pk: row.text(PK)?.to_owned(),
        sk: row.text(SK)?.to_owned(),
    })
}

pub(super) fn is_listed(connection: &Connection) -> bool {
    match connection.status {
        ConnectionStatus::Active
        | ConnectionStatus::Suspect { .. }
        | ConnectionStatus::ReconnectRequired { .. }
        | ConnectionStatus::Revoking { .. } => true,
        ConnectionStatus::Disconnected { .. } => false,
    }
}
