//! Wrapped keys.

use async_trait::async_trait;

use super::super::items::keys::{
    read_root_key, read_workspace_keys, write_root_key, write_workspace_keys,
};
use super::super::schema;
use super::DynamoStore;
use crate::domain::ids::WorkspaceId;
use crate::ports::{KeyTable, StoreError, WrappedRootKey, WrappedWorkspaceKeys};

#[async_trait]
impl KeyTable for DynamoStore {
    async fn root_key(&self, version: u32) -> Result<Option<WrappedRootKey>, StoreError> {
        let row = self
            .get(&self.tables.keys, schema::root_key(version))
            .await?;
        row.as_ref().map(read_root_key).transpose()
    }

    async fn add_root_key(&self, key: &WrappedRootKey) -> Result<WrappedRootKey, StoreError> {
        let row = write_root_key(key);
        read_root_key(&self.put_if_absent(&self.tables.keys, row).await?)
    }

    async fn workspace_keys(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<Option<WrappedWorkspaceKeys>, StoreError> {
        let at = schema::workspace_keys(workspace);
        let row = self.get(&self.tables.keys, at).await?;
        row.as_ref().map(read_workspace_keys).transpose()
    }

    async fn add_workspace_keys(
        &self,
        workspace: &WorkspaceId,
        keys: &WrappedWorkspaceKeys,
    ) -> Result<WrappedWorkspaceKeys, StoreError> {
        let row = write_workspace_keys(workspace, keys);
        read_workspace_keys(&self.put_if_absent(&self.tables.keys, row).await?)
    }
}
