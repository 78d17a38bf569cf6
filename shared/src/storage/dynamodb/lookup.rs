//! The read path of a token look-up: one request.

use std::collections::HashMap;

use async_trait::async_trait;

use super::super::items::Row;
use super::super::items::connection::read_connection;
use super::super::items::keys::read_workspace_keys;
use super::super::items::registry::{read_api_key, read_connector};
use super::super::schema::{self, Key, PK, SK};
use super::{DynamoStore, keys_of};
use crate::ports::{Lookup, LookupKeys, LookupRows, StoreError};

#[async_trait]
impl Lookup for DynamoStore {
    async fn lookup(&self, keys: &LookupKeys) -> Result<LookupRows, StoreError> {
        let key = &keys.connection;
        let api_key = schema::api_key(&keys.api_key);
        let connector = schema::connector(&key.workspace, &key.connector);
        let mut wanted = HashMap::from([
            (
                self.tables.registry.clone(),
                keys_of([api_key.clone(), connector.clone()])?,
            ),
            (
                self.tables.connections.clone(),
                keys_of([schema::connection(key)])?,
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
        Ok(LookupRows {
            api_key: at(registry, &api_key).map(read_api_key).transpose()?,
            connector: at(registry, &connector).map(read_connector).transpose()?,
            connection: connection.map(read_connection).transpose()?,
            workspace_keys: workspace_keys.map(read_workspace_keys).transpose()?,
        })
    }
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
