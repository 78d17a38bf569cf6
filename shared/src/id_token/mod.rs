//! ID tokens (OpenID Connect Core section 2), validated before anything of the answer they came
//! in is stored (H-17); and the JWTs of the platform's users where no gateway has verified them.
//!
//! The library checks signatures here and nothing else: its own check of claims asks the wall
//! clock itself, and takes a claim that is missing for one that is right.

mod claims;
mod issuer_keys;
mod jwt;
mod key_set;
mod user_token;

use std::sync::Arc;

use serde_json::Value;

use crate::domain::provider::IdTokenProfile;
use crate::domain::secret::Secret;
use crate::domain::session::SecretHash;
use crate::ports::{Clock, DocumentError, Documents};

use issuer_keys::{IssuerKeys, Source};
use jwt::Jwt;

pub use issuer_keys::Keys;
pub use user_token::{Unproven, UserTokens};

/// Validates ID tokens, with the issuers' keys in memory for ten minutes.
pub struct IdTokens {
    keys: IssuerKeys,
}

/// What an ID token has to say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Of the provider.
    pub profile: &'a IdTokenProfile,
    /// The connector's client, for whom the token is.
    pub client_id: &'a str,
    /// Of the `nonce` in the authorization request; `None` when there was none.
    pub nonce: Option<&'a SecretHash>,
}

/// The issuer's keys cannot be had now.
#[derive(Debug, thiserror::Error)]
pub enum NoKeys {
    /// They could not be read.
    #[error("the issuer's keys could not be read")]
    Unread(#[from] DocumentError),
    /// What was read is no key set (RFC 7517 section 5).
    #[error("the issuer's keys are no key set")]
    Unreadable,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a signed JWT, or one with extensions that are not known here.
    #[error("it is no signed token")]
    Malformed,
    /// Unsigned, or signed with a secret instead of a private key.
    #[error("its algorithm is not allowed")]
    Algorithm,
    /// No key of the issuer fits.
    #[error("none of the issuer's keys has signed it")]
    UnknownKey,
    /// The key fits and the signature does not.
    #[error("its signature is wrong")]
    Signature,
    /// Another issuer.
    #[error("it is from another issuer")]
    Issuer,
    /// For another client.
    #[error("it is for another client")]
    Audience,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// It claims to have been issued in the future.
    #[error("it is not valid yet")]
    Early,
    /// It answers another request.
    #[error("its nonce is not the one that was sent")]
    Nonce,
    /// It names nobody.
    #[error("it names nobody")]
    Subject,
}

impl IdTokens {
    /// A validator that has read no keys yet.
    pub fn new(documents: Arc<dyn Documents>, clock: Arc<dyn Clock>) -> Self {
        Self {
            keys: IssuerKeys::new(documents, clock),
        }
    }

    /// The keys of a provider's issuer. To be asked for before a code is spent, so that an issuer
    /// who is away costs nothing but another call.
    ///
    /// # Errors
    /// When they are not in memory and cannot be read.
    pub async fn keys(&self, profile: &IdTokenProfile) -> Result<Keys, NoKeys> {
        self.keys.of(Source::Address(&profile.jwks_url)).await
    }

    /// The claims of `token`, if it is all that is expected of it. Keys that do not fit are read
    /// again once, for issuers change them.
    ///
    /// # Errors
    /// The first rule of OpenID Connect Core section 3.1.3.7 that it breaks.
    pub async fn validate(
        &self,
        token: &Secret,
        expected: &Expected<'_>,
        keys: &Keys,
    ) -> Result<Value, Refused> {
        let jwt = Jwt::parse(token.expose())?;
        let source = Source::Address(&expected.profile.jwks_url);
        let issuer_of_key = self.keys.verify(&jwt, source, keys).await?;
        let now = self.keys.now();
        claims::check(&jwt.payload, expected, issuer_of_key.as_deref(), now)?;
        Ok(jwt.payload)
    }
}

#[cfg(test)]
mod tests;
