//! What is asked of providers and issuers.

use async_trait::async_trait;

use crate::domain::provider::Provider;
use crate::domain::secret::Secret;
use crate::domain::token::{Account, RevocationAnswer, TokenAnswer, TokenFailure, TokenSet};

/// A connector's client credentials, opened.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// The client identifier.
    pub client_id: String,
    /// The client secret.
    pub client_secret: Secret,
    /// The secret it replaces, while both may be live.
    pub previous_secret: Option<Secret>,
}

/// An authorization code with what must accompany it.
#[derive(Debug)]
pub struct CodeGrant {
    /// The code.
    pub code: Secret,
    /// The PKCE verifier.
    pub verifier: Option<Secret>,
    /// The same as in the authorization request (RFC 6749 section 4.1.3).
    pub redirect_uri: String,
}

/// A provider's endpoints. No request is ever repeated here, because a repeated token request
/// may spend a refresh token twice. One that was refused for its client secret has spent nothing
/// (RFC 6749 section 5.2) and is made once with the previous secret, in the time of the first.
#[async_trait]
pub trait ProviderApi: Send + Sync {
    /// Redeems a code.
    async fn exchange(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        grant: &CodeGrant,
    ) -> Result<TokenAnswer, TokenFailure>;
    /// Spends what [`TokenSet::refresh_credential`] gives for the next tokens.
    async fn refresh(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        credential: &Secret,
    ) -> Result<TokenAnswer, TokenFailure>;
    /// Revokes a grant. Names one token after the other where the provider does not take the
    /// first, and refreshes an expired access token where only that can end the grant: up to
    /// three requests, none of them twice, in ten seconds together.
    async fn revoke(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        tokens: &TokenSet,
    ) -> RevocationAnswer;
    /// Reads whose account a fresh access token belongs to; `None` when the provider's profile
    /// does not say how, or the answer does not tell.
    async fn account(&self, provider: &Provider, access_token: &Secret) -> Option<Account>;
}

/// A document of an issuer could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not reached, or no answer in time.
    #[error("the server did not answer")]
    NoAnswer,
    /// Another answer than 200. Redirects are not followed.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// More than is taken.
    #[error("the answer is too large")]
    TooLarge,
    /// The URL is not one that may be called.
    #[error("the address is not allowed")]
    AddressRefused,
}

/// What issuers publish for everybody: their keys and their metadata.
#[async_trait]
pub trait Documents: Send + Sync {
    /// Reads a document, once.
    async fn read(&self, url: &url::Url) -> Result<Vec<u8>, DocumentError>;
}
