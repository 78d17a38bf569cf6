//! The table of wrapped keys, and KMS.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::ids::{SessionId, WorkspaceId};
use crate::domain::secret::{Secret, SecretBytes};

/// The stack's root key, wrapped by KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedRootKey {
    /// Its version.
    pub version: u32,
    /// The KMS ciphertext.
    pub wrapped: Vec<u8>,
}

/// The keys of one workspace, each sealed under a root key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedWorkspaceKeys {
    /// The version that seals.
    pub current: u32,
    /// All versions that can still open: number and envelope, ascending.
    pub versions: Vec<(u32, Vec<u8>)>,
}

/// The table of wrapped keys.
#[async_trait]
pub trait KeyTable: Send + Sync {
    /// A root key.
    async fn root_key(&self, version: u32) -> Result<Option<WrappedRootKey>, StoreError>;
    /// Adds a root key unless there is one of this version; answers the one that stands.
    async fn add_root_key(&self, key: &WrappedRootKey) -> Result<WrappedRootKey, StoreError>;
    /// A workspace's keys.
    async fn workspace_keys(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<Option<WrappedWorkspaceKeys>, StoreError>;
    /// Adds a workspace's keys unless it has some; answers those that stand.
    async fn add_workspace_keys(
        &self,
        workspace: &WorkspaceId,
        keys: &WrappedWorkspaceKeys,
    ) -> Result<WrappedWorkspaceKeys, StoreError>;
}

/// KMS could not serve.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// Throttled, timed out or down.
    #[error("KMS did not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Denied, disabled or pending deletion: nothing of the stack can be opened (H-46).
    #[error("KMS refuses to use the key")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The ciphertext is not one of this key and context.
    #[error("KMS does not recognise the ciphertext")]
    Unrecognised,
}

/// KMS. Every call carries an encryption context that names the stack and the purpose.
#[async_trait]
pub trait KeyService: Send + Sync {
    /// A new 256-bit root key: plain and wrapped.
    async fn generate_root_key(&self, version: u32) -> Result<(SecretBytes, Vec<u8>), KmsError>;
    /// Opens a wrapped root key.
    async fn open_root_key(&self, key: &WrappedRootKey) -> Result<SecretBytes, KmsError>;
    /// Seals a code or verifier for one session. Functions that face the browser can do this
    /// and nothing else: they cannot open what they sealed.
    async fn seal_for_session(
        &self,
        session: &SessionId,
        field: SessionField,
        plaintext: &Secret,
    ) -> Result<Vec<u8>, KmsError>;
    /// A new 256-bit key for an answer: plain and wrapped.
    async fn generate_answer_key(
        &self,
        of: AnswerOf<'_>,
    ) -> Result<(SecretBytes, Vec<u8>), KmsError>;
    /// Opens the wrapped key of an answer.
    async fn open_answer_key(
        &self,
        of: AnswerOf<'_>,
        wrapped: &[u8],
    ) -> Result<SecretBytes, KmsError>;
    /// Opens what was sealed for a session.
    async fn open_for_session(
        &self,
        session: &SessionId,
        field: SessionField,
        sealed: &[u8],
    ) -> Result<Secret, KmsError>;
}

/// Which answer is kept. A function opens what it answered itself and nothing else: the one that
/// a browser reaches must not open what the admin's answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerOf<'a> {
    /// The function.
    pub function: &'a str,
    /// The row that keeps it.
    pub row: &'a str,
}

/// Which of a session's secrets is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionField {
    /// The authorization code.
    Code,
    /// The PKCE verifier.
    Verifier,
}

impl SessionField {
    /// The field's name in the encryption context.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Verifier => "verifier",
        }
    }
}
