//! What admins register.

use async_trait::async_trait;

use super::due::DueWork;
use super::{Page, StoreError};
use crate::domain::app::{ApiKey, App};
use crate::domain::audit::AuditEntry;
use crate::domain::connector::Connector;
use crate::domain::event::Event;
use crate::domain::ids::{ApiKeyId, AppId, ConnectorId, WorkspaceId};
use crate::domain::time::Timestamp;

/// Apps, API keys and connectors of workspaces.
#[async_trait]
pub trait Registry: Send + Sync {
    /// An app.
    async fn app(&self, workspace: &WorkspaceId, app: &AppId) -> Result<Option<App>, StoreError>;
    /// Creates or replaces an app and adds the entry, in one transaction. `false` when it is being
    /// deleted.
    async fn put_app(&self, app: &App, entry: &AuditEntry) -> Result<bool, StoreError>;
    /// Replaces an app by one that is being deleted, removes its keys for good, and adds the work
    /// to be done and the entry, in one transaction: no key can be added any more. `false` when it
    /// is not there or being deleted already.
    async fn begin_app_deletion(
        &self,
        app: &App,
        due_at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;
    /// Removes an app that is being deleted and its due work, and adds the event, in one
    /// transaction. `false` when it was gone before or is not being deleted; the work is removed
    /// then too.
    async fn finish_app_deletion(
        &self,
        app: &App,
        work: &DueWork,
        event: &Event,
    ) -> Result<bool, StoreError>;

    /// The key with this hash, strongly consistent: a revoked key is refused at once.
    async fn api_key(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StoreError>;
    /// The keys of an app, oldest first.
    async fn api_keys(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
    ) -> Result<Vec<ApiKey>, StoreError>;
    /// Adds a key: its listing, its look-up record and the entry in one transaction, on condition
    /// that no other was added since the keys were counted. `false` when the app has
    /// [`MOST_KEYS`](crate::domain::app::MOST_KEYS) already, or is being deleted.
    async fn add_api_key(&self, key: &ApiKey, entry: &AuditEntry) -> Result<bool, StoreError>;
    /// Removes a key, both records of it, and adds the entry, in one transaction. `false` when
    /// there is none.
    async fn remove_api_key(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
        key: &ApiKeyId,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// A connector, strongly consistent.
    async fn connector(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
    ) -> Result<Option<Connector>, StoreError>;
    /// The connectors of a workspace in order of their ids, at most `limit` a page.
    async fn connectors(
        &self,
        workspace: &WorkspaceId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Connector>, StoreError>;
    /// Adds a connector and its event, and reserves its id for its workspace for good, in one
    /// transaction. `false` when the id is taken, be it by a connector of this workspace or by
    /// another workspace that ever had one of this id: the id is part of a redirect URI.
    async fn add_connector(&self, connector: &Connector, event: &Event)
    -> Result<bool, StoreError>;
    /// Replaces a connector and adds the event in one transaction, unless the stored version
    /// is no longer `expected_version`: then `false`.
    async fn replace_connector(
        &self,
        connector: &Connector,
        expected_version: u64,
        event: &Event,
    ) -> Result<bool, StoreError>;
    /// Replaces a connector by one that is being deleted and adds the work to be done and the
    /// entry, in one transaction; `false` as in [`Registry::replace_connector`].
    async fn begin_connector_deletion(
        &self,
        connector: &Connector,
        expected_version: u64,
        due_at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;
    /// Replaces a connector by one whose connections are revoked (see
    /// [`Connector::revoking`]) and adds the work to be done and the event, in one transaction;
    /// `false` as in [`Registry::replace_connector`].
    async fn revoke_connections(
        &self,
        connector: &Connector,
        expected_version: u64,
        due_at: Timestamp,
        event: &Event,
    ) -> Result<bool, StoreError>;
    /// Removes a connector that is being deleted and its due work, and adds the event, in one
    /// transaction. `false` when it was gone before or is not being deleted; the work is removed
    /// then too.
    async fn finish_connector_deletion(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        work: &DueWork,
        event: &Event,
    ) -> Result<bool, StoreError>;
}
