//! The keys at hand, and sealing by kind of record.
//!
//! A key is opened by the one above it and kept no longer than that one: what KMS refuses to
//! open, nothing opens five minutes later (H-46).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::envelope::{self, Binding, OpenError, SealingKey};
use super::key_cache::{Kept, KeyCache, Moment};
use crate::domain::connection::Connection;
use crate::domain::connector::{ClientSecret, Connector};
use crate::domain::ids::{ConnectionId, ConnectorId, WorkspaceId};
use crate::domain::secret::{Secret, SecretBytes};
use crate::domain::token::TokenSet;
use crate::ports::{
    Clock, Entropy, KeyService, KeyTable, KmsError, StoreError, WrappedRootKey,
    WrappedWorkspaceKeys,
};

/// The version new workspace keys are sealed under.
const ROOT_VERSION: u32 = 1;
const FIRST_VERSION: u32 = 1;

/// Opens and creates keys.
pub struct Vault {
    stack: String,
    table: Arc<dyn KeyTable>,
    kms: Arc<dyn KeyService>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    cache: Mutex<KeyCache>,
}

/// Why no key is at hand.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The key table did not answer.
    #[error("the key table did not answer")]
    Store(#[from] StoreError),
    /// KMS did not answer, or refuses the key.
    #[error("the root key could not be opened")]
    Kms(#[from] KmsError),
    /// A wrapped key that does not open, or is not there though something was sealed under it.
    #[error("the workspace has no usable key")]
    Unusable,
}

/// The opened keys of one workspace. Held for the whole of an operation, so that what was
/// opened can also be sealed again (F34).
pub struct WorkspaceKeys {
    stack: String,
    workspace: WorkspaceId,
    current: u32,
    versions: BTreeMap<u32, SealingKey>,
}

impl Vault {
    /// A vault of `stack` with nothing opened yet.
    pub fn new(
        stack: String,
        table: Arc<dyn KeyTable>,
        kms: Arc<dyn KeyService>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            stack,
            table,
            kms,
            clock,
            entropy,
            cache: Mutex::default(),
        }
    }

    /// The keys of a workspace, if they are in memory.
    pub fn cached(&self, workspace: &WorkspaceId) -> Option<Arc<WorkspaceKeys>> {
        self.lock_live().workspace(workspace)
    }

    /// The keys of a workspace.
    ///
    /// # Errors
    /// [`VaultError::Unusable`] when the workspace has none: nothing was ever sealed for it.
    pub async fn keys(&self, workspace: &WorkspaceId) -> Result<Arc<WorkspaceKeys>, VaultError> {
        if let Some(keys) = self.cached(workspace) {
            return Ok(keys);
        }
        let wrapped = self
            .table
            .workspace_keys(workspace)
            .await?
            .ok_or(VaultError::Unusable)?;
        self.admit(workspace, &wrapped).await
    }

    /// The keys of a workspace, made on first need.
    ///
    /// # Errors
    /// As [`Vault::keys`].
    pub async fn keys_or_create(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<Arc<WorkspaceKeys>, VaultError> {
        if let Some(keys) = self.cached(workspace) {
            return Ok(keys);
        }
        if let Some(wrapped) = self.table.workspace_keys(workspace).await? {
            return self.admit(workspace, &wrapped).await;
        }
        let (root, _) = self.root_or_create().await?;
        let mut bytes = Zeroizing::new([0; 32]);
        self.entropy.fill(&mut *bytes);
        let sealed = root.seal(
            &*self.entropy,
            key_binding(&self.stack, workspace, FIRST_VERSION),
            &*bytes,
        );
        let wrapped = WrappedWorkspaceKeys {
            current: FIRST_VERSION,
            versions: vec![(FIRST_VERSION, sealed)],
        };
        // Another caller may have been first; then its keys stand.
        let standing = self.table.add_workspace_keys(workspace, &wrapped).await?;
        self.admit(workspace, &standing).await
    }

    /// Opens keys whose row came with another read, and keeps them.
    ///
    /// # Errors
    /// As [`Vault::keys`].
    pub async fn admit(
        &self,
        workspace: &WorkspaceId,
        wrapped: &WrappedWorkspaceKeys,
    ) -> Result<Arc<WorkspaceKeys>, VaultError> {
        let (root, since) = self.root().await?;
        let mut versions = BTreeMap::new();
        for (version, sealed) in &wrapped.versions {
            let binding = key_binding(&self.stack, workspace, *version);
            let key = root
                .open(binding, sealed)
                .ok()
                .and_then(|bytes| SealingKey::new(*version, &bytes))
                .ok_or(VaultError::Unusable)?;
            versions.insert(*version, key);
        }
        if !versions.contains_key(&wrapped.current) {
            return Err(VaultError::Unusable);
        }
        let keys = Arc::new(WorkspaceKeys {
            stack: self.stack.clone(),
            workspace: workspace.clone(),
            current: wrapped.current,
            versions,
        });
        let kept = Kept {
            key: Arc::clone(&keys),
            since,
        };
        self.lock_live().keep_workspace(workspace.clone(), kept);
        Ok(keys)
    }

    /// Opens the root key, so that the first request need not wait for KMS.
    ///
    /// # Errors
    /// As [`Vault::keys`]; a stack without a root key yet is none.
    pub async fn warm(&self) -> Result<(), VaultError> {
        match self.root().await {
            Ok(_) | Err(VaultError::Unusable) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn root(&self) -> Result<(Arc<SealingKey>, Moment), VaultError> {
        if let Some(root) = self.cached_root() {
            return Ok(root);
        }
        let wrapped = self
            .table
            .root_key(ROOT_VERSION)
            .await?
            .ok_or(VaultError::Unusable)?;
        self.open_root(&wrapped).await
    }

    async fn root_or_create(&self) -> Result<(Arc<SealingKey>, Moment), VaultError> {
        match self.root().await {
            Err(VaultError::Unusable) => {}
            answer => return answer,
        }
        let (_, wrapped) = self.kms.generate_root_key(ROOT_VERSION).await?;
        let made = WrappedRootKey {
            version: ROOT_VERSION,
            wrapped,
        };
        let standing = self.table.add_root_key(&made).await?;
        self.open_root(&standing).await
    }

    async fn open_root(
        &self,
        wrapped: &WrappedRootKey,
    ) -> Result<(Arc<SealingKey>, Moment), VaultError> {
        // Measured from before the call: the key was usable at this moment for certain.
        let since = self.now();
        let bytes = self.kms.open_root_key(wrapped).await?;
        let key = SealingKey::new(wrapped.version, &bytes).ok_or(VaultError::Unusable)?;
        let key = Arc::new(key);
        let kept = Kept {
            key: Arc::clone(&key),
            since,
        };
        self.lock_live().keep_root(kept);
        Ok((key, since))
    }

    fn cached_root(&self) -> Option<(Arc<SealingKey>, Moment)> {
        self.lock_live().root()
    }

    fn now(&self) -> Moment {
        Moment {
            wall: self.clock.now(),
            monotonic: self.clock.monotonic(),
        }
    }

    /// The cache as of now: nothing in it has expired.
    fn lock_live(&self) -> std::sync::MutexGuard<'_, KeyCache> {
        let now = self.now();
        let mut cache = self
            .cache
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        cache.drop_expired(now);
        cache
    }
}

fn key_binding<'a>(stack: &'a str, workspace: &'a WorkspaceId, version: u32) -> Binding<'a> {
    Binding {
        stack,
        workspace: workspace.as_str(),
        record_type: "workspace",
        record_id: workspace.as_str(),
        field: "key",
        generation: u64::from(version),
    }
}

impl WorkspaceKeys {
    /// Seals the token set that a connection will hold in `generation`.
    pub fn seal_tokens(
        &self,
        entropy: &dyn Entropy,
        connection: &ConnectionId,
        generation: u64,
        tokens: &TokenSet,
    ) -> Vec<u8> {
        let message = SealedTokens {
            connection: connection.as_str().into(),
            access: tokens.access_token.expose().into(),
            refresh: tokens
                .refresh_token
                .as_ref()
                .map(|token| token.expose().into()),
            config: tokens.connection_config.clone(),
        };
        let plain = Zeroizing::new(serde_json::to_vec(&message).expect("strings serialize"));
        message.wipe();
        self.seal(entropy, self.token_binding(connection, generation), &plain)
    }

    /// Opens a connection's token set.
    ///
    /// # Errors
    /// [`OpenError`]; also when there is nothing sealed.
    pub fn open_tokens(&self, connection: &Connection) -> Result<TokenSet, OpenError> {
        let sealed = connection.sealed.as_deref().ok_or(OpenError::Truncated)?;
        self.open_tokens_of(&connection.id, connection.generation, sealed)
    }

    /// Opens a token set that was sealed for `connection` in `generation`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_tokens_of(
        &self,
        connection: &ConnectionId,
        generation: u64,
        sealed: &[u8],
    ) -> Result<TokenSet, OpenError> {
        let plain = self.open(self.token_binding(connection, generation), sealed)?;
        let message: SealedTokens =
            serde_json::from_slice(plain.expose()).map_err(|_| OpenError::UnknownFormat)?;
        if message.connection != connection.as_str() {
            return Err(OpenError::NotAuthentic);
        }
        Ok(TokenSet {
            access_token: Secret::new(message.access),
            refresh_token: message.refresh.map(Secret::new),
            connection_config: message.config,
        })
    }

    /// Seals a connector's client secret.
    pub fn seal_client_secret(
        &self,
        entropy: &dyn Entropy,
        connector: &ConnectorId,
        generation: u64,
        secret: &Secret,
    ) -> Vec<u8> {
        let binding = self.secret_binding(connector, generation);
        self.seal(entropy, binding, secret.expose().as_bytes())
    }

    /// Opens a client secret of a connector.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_client_secret(
        &self,
        connector: &Connector,
        secret: &ClientSecret,
    ) -> Result<Secret, OpenError> {
        let binding = self.secret_binding(&connector.id, connector.client_generation);
        let plain = self.open(binding, &secret.sealed)?;
        plain.to_secret().ok_or(OpenError::UnknownFormat)
    }

    fn token_binding<'a>(&'a self, connection: &'a ConnectionId, generation: u64) -> Binding<'a> {
        Binding {
            stack: &self.stack,
            workspace: self.workspace.as_str(),
            record_type: "connection",
            record_id: connection.as_str(),
            field: "tokens",
            generation,
        }
    }

    fn secret_binding<'a>(&'a self, connector: &'a ConnectorId, generation: u64) -> Binding<'a> {
        Binding {
            stack: &self.stack,
            workspace: self.workspace.as_str(),
            record_type: "connector",
            record_id: connector.as_str(),
            field: "client_secret",
            generation,
        }
    }

    fn seal(&self, entropy: &dyn Entropy, binding: Binding<'_>, plain: &[u8]) -> Vec<u8> {
        let key = self
            .versions
            .get(&self.current)
            .expect("checked when the keys were opened");
        key.seal(entropy, binding, plain)
    }

    fn open(&self, binding: Binding<'_>, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        let version = envelope::key_version(sealed)?;
        let key = self
            .versions
            .get(&version)
            .ok_or(OpenError::OtherKeyVersion(version))?;
        key.open(binding, sealed)
    }
}

/// The plaintext of a token set. The connection is named once more inside, so that even a
/// mistake in the binding could not hand one user's tokens to another.
#[derive(Serialize, Deserialize)]
struct SealedTokens {
    connection: String,
    access: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    config: BTreeMap<String, String>,
}

impl SealedTokens {
    fn wipe(self) {
        drop(Secret::new(self.access));
        drop(self.refresh.map(Secret::new));
    }
}
