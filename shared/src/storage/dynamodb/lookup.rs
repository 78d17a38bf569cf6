//! The read path of a token look-up: one request. The counts of reads come from a table of
//! their own, so that they alone are read eventually consistent, for half the price.

use std::collections::HashMap;

use async_trait::async_trait;

use aws_sdk_dynamodb::types::ReturnValue;

use super::super::items::connection::{read_connection, read_readers};
use super::super::items::keys::read_workspace_keys;
use super::super::items::registry::{read_api_key, read_connector};
use super::super::items::{Reader as Item, Row, value};
use super::super::schema::{self, Key, PK, READS_LIFETIME, SK, TTL, attr};
use super::expression::Expression;
use super::{DynamoStore, keys_of, late_keys_of};
use crate::domain::rate::Reader;
use crate::domain::time::Timestamp;
use crate::ports::{Lookup, LookupKeys, LookupRows, ReadCounts, StoreError};

#[async_trait]
impl Lookup for DynamoStore {
    async fn lookup(&self, keys: &LookupKeys) -> Result<LookupRows, StoreError> {
        let key = &keys.connection;
        let api_key = schema::api_key(&keys.api_key);
        let connector = schema::connector(&key.workspace, &key.connector);
        let reads_of = |reader: Reader| schema::reads(&reader, keys.minute);
        let by_credential = reads_of(Reader::Credential(keys.api_key));
        let by_workspace = reads_of(Reader::Workspace(key.workspace.clone()));
        let mut wanted = HashMap::from([
            (
                self.tables.registry.clone(),
                keys_of([api_key.clone(), connector.clone()])?,
            ),
            (
                self.tables.connections.clone(),
                keys_of([schema::connection(key)])?,
            ),
            (
                self.tables.due.clone(),
                late_keys_of([by_credential.clone(), by_workspace.clone()])?,
            ),
        ]);
        if keys.with_workspace_keys {
            wanted.insert(
                self.tables.keys.clone(),
                keys_of([schema::workspace_keys(&key.workspace)])?,
            );
        }
        let found = self.batch_get(wanted).await?;
        let registry = rows(&found, &self.tables.registry);
        let connection = rows(&found, &self.tables.connections).first();
        let workspace_keys = rows(&found, &self.tables.keys).first();
        let counts = rows(&found, &self.tables.due);
        Ok(LookupRows {
            api_key: at(registry, &api_key).map(read_api_key).transpose()?,
            connector: at(registry, &connector).map(read_connector).transpose()?,
            connection: connection.map(read_connection).transpose()?,
            readers: connection
                .map(read_readers)
                .transpose()?
                .unwrap_or_default(),
            workspace_keys: workspace_keys.map(read_workspace_keys).transpose()?,
            reads: ReadCounts {
                credential: counted(at(counts, &by_credential))?,
                workspace: counted(at(counts, &by_workspace))?,
            },
        })
    }

    async fn count_reads(
        &self,
        reader: &Reader,
        minute: i64,
        reads: u64,
    ) -> Result<(), StoreError> {
        let began = Timestamp::from_millis(minute.saturating_mul(60_000));
        let change = Expression::new()
            .add(attr::READS, reads)
            .set(TTL, value::ttl(began.after(READS_LIFETIME)));
        let at = schema::reads(reader, minute);
        self.note(&self.tables.due, at, change, ReturnValue::None)
            .await
            .map(|_| ())
    }
}

/// What has not been counted is none.
fn counted(row: Option<&Row>) -> Result<u64, StoreError> {
    row.map_or(Ok(0), |row| Item::new(row, "reads").number(attr::READS))
}

fn rows<'a>(found: &'a HashMap<String, Vec<Row>>, table: &str) -> &'a [Row] {
    found.get(table).map_or(&[], Vec::as_slice)
}

/// A batch answers in any order, so a row is told by its key.
fn at<'a>(rows: &'a [Row], key: &Key) -> Option<&'a Row> {
    let is = |row: &Row, name: &str, text: &str| {
        row.get(name)
            .and_then(|value| value.as_s().ok())
            .map(String::as_str)
            == Some(text)
    };
    rows.iter()
        .find(|row| is(row, PK, &key.pk) && is(row, SK, &key.sk))
}
