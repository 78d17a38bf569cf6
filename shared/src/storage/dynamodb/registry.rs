//! Apps, API keys and connectors.

use async_trait::async_trait;

use super::super::items::due::{deletion_work, write_deletion};
use super::super::items::registry::{
    read_api_key, read_app, read_connector, write_api_key, write_app, write_connector,
    write_reservation,
};
use super::super::items::{Reader, Row, value};
use super::super::schema::{self, CONNECTORS, DueKind, Key, PK, SK, attr, status};
use super::expression::Expression;
use super::query::{cursor, no_page, one_more, page};
use super::transaction::Committed;
use super::{DynamoStore, key_row, unavailable};
use crate::domain::app::{ApiKey, App, MOST_KEYS};
use crate::domain::audit::AuditEntry;
use crate::domain::connector::Connector;
use crate::domain::event::Event;
use crate::domain::ids::{ApiKeyId, AppId, ConnectorId, WorkspaceId};
use crate::domain::time::Timestamp;
use crate::ports::{Doomed, DueWork, Page, Registry, StoreError};

#[async_trait]
impl Registry for DynamoStore {
    async fn app(&self, workspace: &WorkspaceId, app: &AppId) -> Result<Option<App>, StoreError> {
        let at = schema::app(workspace, app);
        let row = self.get(&self.tables.registry, at).await?;
        row.as_ref().map(read_app).transpose()
    }

    async fn put_app(&self, app: &App, entry: &AuditEntry) -> Result<bool, StoreError> {
        let put = self
            .transaction()
            .put(&self.tables.registry, write_app(app), not_deleting())?
            .note(entry)?
            .commit()
            .await?;
        Ok(put.is_done())
    }

    async fn begin_app_deletion(
        &self,
        app: &App,
        due_at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        const APP: usize = 0;
        let table = &self.tables.registry;
        let what = Doomed::App(app.id.clone());
        let work = deletion_work(&app.workspace, &what, due_at, self.shards);
        loop {
            let (ring, unmoved) = self.key_ring(&app.workspace, &app.id).await?;
            let closed = unmoved
                .count(attr::VERSION)
                .set(attr::STATUS, value::text(status::DELETING));
            let mut transaction = self
                .transaction()
                .put(table, write_app(app), not_deleting().exists(PK))?
                .update(table, ring, closed)?
                .put(&self.tables.due, write_deletion(&work), Expression::new())?
                .note(entry)?;
            for key in self.api_keys(&app.workspace, &app.id).await? {
                let listing = schema::listed_api_key(&app.workspace, &app.id, &key.id);
                let record = schema::api_key(&key.hash);
                transaction = transaction
                    .delete(table, listing, Expression::new())?
                    .delete(table, record, Expression::new())?;
            }
            match transaction.commit().await? {
                Committed::Done => return Ok(true),
                Committed::Refused(by) if by.refused(APP) => return Ok(false),
                // A key was added meanwhile.
                Committed::Refused(_) => {}
            }
        }
    }

    async fn finish_app_deletion(
        &self,
        app: &App,
        work: &DueWork,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let table = &self.tables.registry;
        let due = schema::due(DueKind::Deletion, work);
        let deleting = Expression::new().equals(attr::STATUS, value::text(status::DELETING));
        let finished = self
            .transaction()
            .delete(table, schema::app(&app.workspace, &app.id), deleting)?
            .delete(
                table,
                schema::key_ring(&app.workspace, &app.id),
                Expression::new(),
            )?
            .delete(&self.tables.due, due.clone(), Expression::new())?
            .tell(event)?
            .commit()
            .await?;
        if !finished.is_done() {
            self.delete(&self.tables.due, due).await?;
        }
        Ok(finished.is_done())
    }

    async fn api_key(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        let row = self
            .get(&self.tables.registry, schema::api_key(hash))
            .await?;
        row.as_ref().map(read_api_key).transpose()
    }

    async fn api_keys(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let keys = Expression::new()
            .equals(PK, value::text(schema::workspace(workspace)))
            .begins_with(SK, &schema::api_keys_of(app));
        let rows = self.query_all(&self.tables.registry, keys).await?;
        let mut keys = rows
            .iter()
            .map(read_api_key)
            .collect::<Result<Vec<_>, _>>()?;
        keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(keys)
    }

    async fn add_api_key(&self, key: &ApiKey, entry: &AuditEntry) -> Result<bool, StoreError> {
        const RING: usize = 0;
        let table = &self.tables.registry;
        loop {
            // The ring before the keys: what is added in between moves it.
            let (ring, unmoved) = self.key_ring(&key.workspace, &key.app).await?;
            let live = self.api_keys(&key.workspace, &key.app).await?;
            if live.len() >= MOST_KEYS {
                return Ok(false);
            }
            let listing = schema::listed_api_key(&key.workspace, &key.app, &key.id);
            let record = schema::api_key(&key.hash);
            let added = self
                .transaction()
                .update(table, ring, unmoved.count(attr::VERSION))?
                .put(table, write_api_key(listing, key), Expression::new())?
                .put(table, write_api_key(record, key), Expression::new())?
                .note(entry)?
                .commit()
                .await?;
            match added {
                Committed::Done => return Ok(true),
                Committed::Refused(by) if by.item(RING).is_some_and(is_closed) => {
                    return Ok(false);
                }
                // Somebody else has added one: that ends when there is no more room.
                Committed::Refused(_) => {}
            }
        }
    }

    async fn remove_api_key(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
        key: &ApiKeyId,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let table = &self.tables.registry;
        let listing = schema::listed_api_key(workspace, app, key);
        let Some(row) = self.get(table, listing.clone()).await? else {
            return Ok(false);
        };
        let record = schema::api_key(&read_api_key(&row)?.hash);
        let removed = self
            .transaction()
            .delete(table, listing, Expression::new().exists(PK))?
            .delete(table, record, Expression::new())?
            .note(entry)?
            .commit()
            .await?;
        Ok(removed.is_done())
    }

    async fn connector(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
    ) -> Result<Option<Connector>, StoreError> {
        let at = schema::connector(workspace, connector);
        let row = self.get(&self.tables.registry, at).await?;
        row.as_ref().map(read_connector).transpose()
    }

    async fn connectors(
        &self,
        workspace: &WorkspaceId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Connector>, StoreError> {
        let Some(from) = cursor(after, ConnectorId::parse) else {
            return Ok(no_page());
        };
        let from = from.map(|id| key_row(schema::connector(workspace, &id)));
        let keys = Expression::new()
            .equals(PK, value::text(schema::workspace(workspace)))
            .begins_with(SK, CONNECTORS);
        let query = self.client.query().table_name(&self.tables.registry);
        let answer = keys
            .apply_to_query(query)
            .set_exclusive_start_key(from)
            .limit(one_more(limit))
            .consistent_read(true)
            .send()
            .await
            .map_err(unavailable)?;
        let cut_short = answer.last_evaluated_key.is_some();
        let items = answer.items.unwrap_or_default();
        let items = items.iter().map(read_connector).collect::<Result<_, _>>()?;
        Ok(page(items, limit, cut_short, |connector| {
            connector.id.to_string()
        }))
    }

    async fn add_connector(
        &self,
        connector: &Connector,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let table = &self.tables.registry;
        let of = value::text(connector.workspace.as_str());
        let own = Expression::new().any_of(|any| any.absent(PK).equals(attr::WORKSPACE, of));
        let added = self
            .transaction()
            .put(
                table,
                write_connector(connector),
                Expression::new().absent(PK),
            )?
            .put(table, write_reservation(connector), own)?
            .tell(event)?
            .commit()
            .await?;
        Ok(added.is_done())
    }

    async fn replace_connector(
        &self,
        connector: &Connector,
        expected_version: u64,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let table = &self.tables.registry;
        let as_read = is_version(expected_version);
        let replaced = self
            .transaction()
            .put(table, write_connector(connector), as_read)?
            .tell(event)?
            .commit()
            .await?;
        Ok(replaced.is_done())
    }

    async fn begin_connector_deletion(
        &self,
        connector: &Connector,
        expected_version: u64,
        due_at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let what = Doomed::Connector(connector.id.clone());
        let work = deletion_work(&connector.workspace, &what, due_at, self.shards);
        let begun = self
            .transaction()
            .put(
                &self.tables.registry,
                write_connector(connector),
                is_version(expected_version),
            )?
            .put(&self.tables.due, write_deletion(&work), Expression::new())?
            .note(entry)?
            .commit()
            .await?;
        Ok(begun.is_done())
    }

    async fn revoke_connections(
        &self,
        connector: &Connector,
        expected_version: u64,
        due_at: Timestamp,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let what = Doomed::Revoked(connector.id.clone());
        let work = deletion_work(&connector.workspace, &what, due_at, self.shards);
        let begun = self
            .transaction()
            .put(
                &self.tables.registry,
                write_connector(connector),
                is_version(expected_version),
            )?
            .put(&self.tables.due, write_deletion(&work), Expression::new())?
            .tell(event)?
            .commit()
            .await?;
        Ok(begun.is_done())
    }

    async fn finish_connector_deletion(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        work: &DueWork,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let due = schema::due(DueKind::Deletion, work);
        let deleting = Expression::new().equals(attr::STATUS, value::text(status::DELETING));
        let at = schema::connector(workspace, connector);
        let finished = self
            .transaction()
            .delete(&self.tables.registry, at, deleting)?
            .delete(&self.tables.due, due.clone(), Expression::new())?
            .tell(event)?
            .commit()
            .await?;
        if !finished.is_done() {
            // Work on a connector that is not being deleted would come up for ever.
            self.delete(&self.tables.due, due).await?;
        }
        Ok(finished.is_done())
    }
}

impl DynamoStore {
    /// An app's key ring, and the condition that it is not moved from here on and not closed.
    async fn key_ring(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
    ) -> Result<(Key, Expression), StoreError> {
        let at = schema::key_ring(workspace, app);
        let row = self.get(&self.tables.registry, at.clone()).await?;
        let unmoved = match row {
            None => Expression::new().absent(PK),
            Some(row) => is_version(Reader::new(&row, "key ring").number(attr::VERSION)?),
        };
        Ok((at, unmoved.absent(attr::STATUS)))
    }
}

fn is_closed(ring: &Row) -> bool {
    ring.contains_key(attr::STATUS)
}

/// Of an app: also of one that is not there.
fn not_deleting() -> Expression {
    Expression::new().absent(attr::STATUS)
}

fn is_version(version: u64) -> Expression {
    Expression::new().equals(attr::VERSION, value::number(version))
}
