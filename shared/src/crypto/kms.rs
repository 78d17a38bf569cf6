//! The only file that calls KMS.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;

use crate::domain::ids::SessionId;
use crate::domain::secret::{Secret, SecretBytes};
use crate::ports::{AnswerOf, KeyService, KmsError, SessionField, WrappedRootKey};

/// The stack's KMS key.
pub struct KmsKeyService {
    client: Client,
    key_arn: String,
    stack: String,
}

impl KmsKeyService {
    /// The key `key_arn`, for `stack`.
    pub fn new(client: Client, key_arn: String, stack: String) -> Self {
        Self {
            client,
            key_arn,
            stack,
        }
    }

    /// The context names stack and purpose, which the functions' policies are conditioned on:
    /// a function that seals codes cannot open root keys.
    fn context(&self, purpose: &str, rest: &[(&str, &str)]) -> HashMap<String, String> {
        [("stack", self.stack.as_str()), ("purpose", purpose)]
            .iter()
            .chain(rest)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn root_context(&self, version: u32) -> HashMap<String, String> {
        self.context("root", &[("version", &version.to_string())])
    }

    fn answer_context(&self, of: AnswerOf<'_>) -> HashMap<String, String> {
        self.context("answer", &[("function", of.function), ("row", of.row)])
    }

    fn session_context(&self, session: &SessionId, field: SessionField) -> HashMap<String, String> {
        let rest = [("session", session.as_str()), ("field", field.as_str())];
        self.context("session", &rest)
    }

    async fn generate(
        &self,
        context: HashMap<String, String>,
    ) -> Result<(SecretBytes, Vec<u8>), KmsError> {
        let answer = self
            .client
            .generate_data_key()
            .key_id(&self.key_arn)
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(Some(context))
            .send()
            .await
            .map_err(kms_error)?;
        answer
            .plaintext
            .zip(answer.ciphertext_blob)
            .map(|(plain, wrapped)| (secret(plain), wrapped.into_inner()))
            .ok_or(KmsError::Unrecognised)
    }

    async fn decrypt(
        &self,
        context: HashMap<String, String>,
        sealed: &[u8],
    ) -> Result<SecretBytes, KmsError> {
        let answer = self
            .client
            .decrypt()
            .key_id(&self.key_arn)
            .set_encryption_context(Some(context))
            .ciphertext_blob(Blob::new(sealed))
            .send()
            .await
            .map_err(kms_error)?;
        answer.plaintext.map(secret).ok_or(KmsError::Unrecognised)
    }
}

#[async_trait]
impl KeyService for KmsKeyService {
    async fn generate_root_key(&self, version: u32) -> Result<(SecretBytes, Vec<u8>), KmsError> {
        self.generate(self.root_context(version)).await
    }

    async fn open_root_key(&self, key: &WrappedRootKey) -> Result<SecretBytes, KmsError> {
        self.decrypt(self.root_context(key.version), &key.wrapped)
            .await
    }

    async fn seal_for_session(
        &self,
        session: &SessionId,
        field: SessionField,
        plaintext: &Secret,
    ) -> Result<Vec<u8>, KmsError> {
        let answer = self
            .client
            .encrypt()
            .key_id(&self.key_arn)
            .set_encryption_context(Some(self.session_context(session, field)))
            .plaintext(Blob::new(plaintext.expose()))
            .send()
            .await
            .map_err(kms_error)?;
        answer
            .ciphertext_blob
            .map(Blob::into_inner)
            .ok_or(KmsError::Unrecognised)
    }

    async fn generate_answer_key(
        &self,
        of: AnswerOf<'_>,
    ) -> Result<(SecretBytes, Vec<u8>), KmsError> {
        self.generate(self.answer_context(of)).await
    }

    async fn open_answer_key(
        &self,
        of: AnswerOf<'_>,
        wrapped: &[u8],
    ) -> Result<SecretBytes, KmsError> {
        self.decrypt(self.answer_context(of), wrapped).await
    }

    async fn open_for_session(
        &self,
        session: &SessionId,
        field: SessionField,
        sealed: &[u8],
    ) -> Result<Secret, KmsError> {
        let plain = self
            .decrypt(self.session_context(session, field), sealed)
            .await?;
        plain.to_secret().ok_or(KmsError::Unrecognised)
    }
}

fn secret(blob: Blob) -> SecretBytes {
    SecretBytes::new(blob.into_inner())
}

fn kms_error<E, R>(error: SdkError<E, R>) -> KmsError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match error.code() {
        Some("InvalidCiphertextException" | "IncorrectKeyException") => KmsError::Unrecognised,
        Some(
            "AccessDeniedException"
            | "DisabledException"
            | "KMSInvalidStateException"
            | "NotFoundException",
        ) => KmsError::Refused(causes(&error)),
        _ => KmsError::Unavailable(causes(&error)),
    }
}

/// What went wrong, in words alone. The SDK's error holds the whole answer, and of an answer
/// that could not be read to its end `Debug` would print the key in it (H-50).
fn causes(error: &(dyn std::error::Error + 'static)) -> Box<dyn std::error::Error + Send + Sync> {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let words: Vec<_> = chain.map(ToString::to_string).collect();
    words.join(": ").into()
}
