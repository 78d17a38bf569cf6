//! A key service in memory. It does what KMS promises and no more: a ciphertext opens only under
//! the encryption context it was sealed with, and only while the key may be used.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use shared::domain::ids::SessionId;
use shared::domain::secret::{Secret, SecretBytes};
use shared::ports::{AnswerOf, Entropy, KeyService, KmsError, SessionField, WrappedRootKey};

use crate::entropy::SeededEntropy;

/// How the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KmsState {
    /// It answers.
    Serving,
    /// It is throttled or down.
    Unavailable,
    /// The key is disabled (H-46).
    Refused,
}

/// The service.
pub struct FakeKeyService {
    key: RandomizedNonceKey,
    entropy: SeededEntropy,
    stack: String,
    state: Mutex<KmsState>,
    calls: AtomicUsize,
}

impl FakeKeyService {
    /// The key service of `stack`.
    pub fn new(stack: &str) -> Self {
        let entropy = SeededEntropy::new(0);
        Self {
            key: RandomizedNonceKey::new(&AES_256_GCM, &new_key(&entropy))
                .expect("32 bytes are an AES-256 key"),
            entropy,
            stack: stack.to_owned(),
            state: Mutex::new(KmsState::Serving),
            calls: AtomicUsize::new(0),
        }
    }

    /// Makes the service be as told from now on.
    pub fn become_state(&self, state: KmsState) {
        *self.state.lock().expect("no holder of the state panics") = state;
    }

    /// How many calls were made, answered or not.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn call(&self) -> Result<(), KmsError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match *self.state.lock().expect("no holder of the state panics") {
            KmsState::Serving => Ok(()),
            KmsState::Unavailable => Err(KmsError::Unavailable("throttled".into())),
            KmsState::Refused => Err(KmsError::Refused("the key is disabled".into())),
        }
    }

    fn seal(&self, context: &str, plaintext: &[u8]) -> Vec<u8> {
        let mut sealed = plaintext.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(context), &mut sealed)
            .expect("a short message can be sealed");
        [nonce.as_ref().as_slice(), &sealed].concat()
    }

    fn open(&self, context: &str, sealed: &[u8]) -> Result<SecretBytes, KmsError> {
        let (nonce, sealed) = sealed
            .split_at_checked(NONCE_LEN)
            .ok_or(KmsError::Unrecognised)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KmsError::Unrecognised)?;
        let mut plaintext = sealed.to_vec();
        self.key
            .open_in_place(nonce, Aad::from(context), &mut plaintext)
            .map(|plaintext| SecretBytes::new(plaintext.to_vec()))
            .map_err(|_| KmsError::Unrecognised)
    }

    fn generate(&self, context: &str) -> Result<(SecretBytes, Vec<u8>), KmsError> {
        self.call()?;
        let key = new_key(&self.entropy);
        let wrapped = self.seal(context, &key);
        Ok((SecretBytes::new(key.to_vec()), wrapped))
    }

    fn root_context(&self, version: u32) -> String {
        format!("stack={}&purpose=root&version={version}", self.stack)
    }

    fn answer_context(&self, of: AnswerOf<'_>) -> String {
        let AnswerOf { function, row } = of;
        format!(
            "stack={}&purpose=answer&function={function}&row={row}",
            self.stack
        )
    }

    fn session_context(&self, session: &SessionId, field: SessionField) -> String {
        let field = field.as_str();
        format!(
            "stack={}&purpose=session&session={session}&field={field}",
            self.stack
        )
    }
}

fn new_key(entropy: &SeededEntropy) -> [u8; 32] {
    let mut key = [0; 32];
    entropy.fill(&mut key);
    key
}

#[async_trait]
impl KeyService for FakeKeyService {
    async fn generate_root_key(&self, version: u32) -> Result<(SecretBytes, Vec<u8>), KmsError> {
        self.generate(&self.root_context(version))
    }

    async fn open_root_key(&self, key: &WrappedRootKey) -> Result<SecretBytes, KmsError> {
        self.call()?;
        self.open(&self.root_context(key.version), &key.wrapped)
    }

    async fn seal_for_session(
        &self,
        session: &SessionId,
        field: SessionField,
        plaintext: &Secret,
    ) -> Result<Vec<u8>, KmsError> {
        self.call()?;
        let context = self.session_context(session, field);
        Ok(self.seal(&context, plaintext.expose().as_bytes()))
    }

    async fn generate_answer_key(
        &self,
        of: AnswerOf<'_>,
    ) -> Result<(SecretBytes, Vec<u8>), KmsError> {
        self.generate(&self.answer_context(of))
    }

    async fn open_answer_key(
        &self,
        of: AnswerOf<'_>,
        wrapped: &[u8],
    ) -> Result<SecretBytes, KmsError> {
        self.call()?;
        self.open(&self.answer_context(of), wrapped)
    }

    async fn open_for_session(
        &self,
        session: &SessionId,
        field: SessionField,
        sealed: &[u8],
    ) -> Result<Secret, KmsError> {
        self.call()?;
        let plaintext = self.open(&self.session_context(session, field), sealed)?;
        plaintext.to_secret().ok_or(KmsError::Unrecognised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str) -> SessionId {
        SessionId::parse(id).unwrap()
    }

    #[tokio::test]
    async fn h45_what_is_sealed_opens_under_its_own_context_only() {
        let kms = FakeKeyService::new("s1");
        let code = Secret::new("code");
        let (id, field) = (session("a"), SessionField::Code);
        let sealed = kms.seal_for_session(&id, field, &code).await.unwrap();
        let open = async |id: &str, field, sealed: &[u8]| {
            kms.open_for_session(&session(id), field, sealed).await
        };
        let opened = open("a", field, &sealed).await.unwrap();
        assert_eq!(opened.expose(), "code");
        let mut tampered = sealed.clone();
        *tampered.last_mut().unwrap() ^= 1;
        for refused in [
            open("b", field, &sealed).await,
            open("a", SessionField::Verifier, &sealed).await,
            open("a", field, &tampered).await,
            open("a", field, &sealed[..5]).await,
        ] {
            assert!(matches!(refused, Err(KmsError::Unrecognised)));
        }
        assert_eq!(kms.calls(), 6);
    }

    #[tokio::test]
    async fn h46_a_disabled_key_opens_nothing() {
        let kms = FakeKeyService::new("s1");
        let (_, wrapped) = kms.generate_root_key(1).await.unwrap();
        let key = WrappedRootKey {
            version: 1,
            wrapped,
        };
        assert!(kms.open_root_key(&key).await.is_ok());
        kms.become_state(KmsState::Refused);
        let refused = kms.open_root_key(&key).await;
        assert!(matches!(refused, Err(KmsError::Refused(_))));
        kms.become_state(KmsState::Unavailable);
        let failed = kms.open_root_key(&key).await;
        assert!(matches!(failed, Err(KmsError::Unavailable(_))));
    }
}
