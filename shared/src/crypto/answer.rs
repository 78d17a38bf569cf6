//! Sealing answers that are kept for who repeats a request.
//!
//! Each has a key of its own, which KMS wraps for the function and the row alone (`purpose:
//! answer`): a function that keeps answers needs no workspace's key, and can open its own only.

use std::sync::Arc;

use super::envelope::{Binding, OpenError, SealingKey};
use crate::domain::idempotency::{RequestKey, SealedAnswer};
use crate::domain::ids::WorkspaceId;
use crate::domain::secret::SecretBytes;
use crate::ports::{AnswerOf, Entropy, KeyService, KmsError};

const VERSION: u32 = 1;

/// Makes and opens the keys of answers.
pub struct AnswerVault {
    stack: String,
    function: &'static str,
    kms: Arc<dyn KeyService>,
    entropy: Arc<dyn Entropy>,
}

/// The key of one answer that is still to be given.
pub struct AnswerKey {
    key: SealingKey,
    wrapped: Vec<u8>,
}

/// Why an answer does not open.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// KMS did not answer, or refuses the key.
    #[error("the answer's key could not be opened")]
    Kms(#[from] KmsError),
    /// The answer is not what was sealed for this row.
    #[error("the answer could not be opened")]
    Sealed(#[from] OpenError),
}

impl AnswerVault {
    /// The vault of `stack`, for the answers of `function`.
    pub fn new(
        stack: String,
        function: &'static str,
        kms: Arc<dyn KeyService>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            stack,
            function,
            kms,
            entropy,
        }
    }

    /// A key for the answer to `request`. One call to KMS.
    ///
    /// # Errors
    /// When KMS makes none.
    pub async fn key(&self, request: &RequestKey) -> Result<AnswerKey, KmsError> {
        let row = request.to_string();
        let (plain, wrapped) = self.kms.generate_answer_key(self.of(&row)).await?;
        let key = SealingKey::new(VERSION, &plain).ok_or(KmsError::Unrecognised)?;
        Ok(AnswerKey { key, wrapped })
    }

    /// Seals the answer to `request`.
    pub fn seal(
        &self,
        key: AnswerKey,
        workspace: &WorkspaceId,
        request: &RequestKey,
        answer: &[u8],
    ) -> SealedAnswer {
        let row = request.to_string();
        let binding = self.binding(workspace, &row);
        SealedAnswer {
            sealed: key.key.seal(&*self.entropy, binding, answer),
            wrapped: key.wrapped,
        }
    }

    /// Opens the answer to `request`. One call to KMS.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub async fn open(
        &self,
        workspace: &WorkspaceId,
        request: &RequestKey,
        answer: &SealedAnswer,
    ) -> Result<SecretBytes, AnswerError> {
        let row = request.to_string();
        let plain = self
            .kms
            .open_answer_key(self.of(&row), &answer.wrapped)
            .await?;
        let key = SealingKey::new(VERSION, &plain).ok_or(KmsError::Unrecognised)?;
        Ok(key.open(self.binding(workspace, &row), &answer.sealed)?)
    }

    fn of<'a>(&self, row: &'a str) -> AnswerOf<'a> {
        AnswerOf {
            function: self.function,
            row,
        }
    }

    fn binding<'a>(&'a self, workspace: &'a WorkspaceId, row: &'a str) -> Binding<'a> {
        Binding {
            stack: &self.stack,
            workspace: workspace.as_str(),
            record_type: "run",
            record_id: row,
            field: "answer",
            generation: 1,
        }
    }
}
