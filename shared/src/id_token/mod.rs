//! ID tokens (OpenID Connect Core section 2), validated before anything of the answer they came
//! in is stored (H-17).
//!
//! The library checks signatures here and nothing else: its own check of claims asks the wall
//! clock itself, and takes a claim that is missing for one that is right.

mod claims;
mod jwt;
mod key_set;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::domain::provider::IdTokenProfile;
use crate::domain::secret::Secret;
use crate::domain::session::SecretHash;
use crate::ports::{Clock, DocumentError, Documents};

use jwt::Jwt;
use key_set::KeySet;

/// How long an issuer's keys are used before they are read again.
const KEYS_LIFETIME: Duration = Duration::from_secs(600);
/// Keys that are younger are not read again for a token that none of them signed: nobody can make
/// us ask an issuer more often by sending nonsense.
const REREAD_AFTER: Duration = Duration::from_secs(60);
/// How many issuers' keys are kept. Admins choose the issuers.
const MAX_ISSUERS: usize = 64;

/// Validates ID tokens, with the issuers' keys in memory for ten minutes.
pub struct IdTokens {
    documents: Arc<dyn Documents>,
    clock: Arc<dyn Clock>,
    keys: Mutex<BTreeMap<String, Keys>>,
}

/// An issuer's keys as they were read.
#[derive(Clone)]
pub struct Keys {
    set: Arc<KeySet>,
    /// When, by the monotonic clock.
    since: Duration,
    /// When, by the wall clock: the other one stands still while a sandbox is frozen.
    at: crate::domain::time::Timestamp,
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

/// Why an ID token is not believed.
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
            documents,
            clock,
            keys: Mutex::default(),
        }
    }

    /// The keys of a provider's issuer. To be asked for before a code is spent, so that an issuer
    /// who is away costs nothing but another call.
    ///
    /// # Errors
    /// When they are not in memory and cannot be read.
    pub async fn keys(&self, profile: &IdTokenProfile) -> Result<Keys, NoKeys> {
        let known = self.lock().get(profile.jwks_url.as_str()).cloned();
        match known.filter(|keys| self.age(keys) < KEYS_LIFETIME) {
            Some(keys) => Ok(keys),
            None => self.read(profile).await,
        }
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
        let issuer_of_key = match keys.set.verify(&jwt) {
            Err(Refused::UnknownKey) if self.age(keys) >= REREAD_AFTER => {
                let reread = self.read(expected.profile).await;
                let reread = reread.map_err(|error| {
                    tracing::warn!(error = %error, "keys were not read again");
                    Refused::UnknownKey
                })?;
                reread.set.verify(&jwt)?.map(str::to_owned)
            }
            verified => verified?.map(str::to_owned),
        };
        claims::check(
            &jwt.payload,
            expected,
            issuer_of_key.as_deref(),
            self.clock.now(),
        )?;
        Ok(jwt.payload)
    }

    async fn read(&self, profile: &IdTokenProfile) -> Result<Keys, NoKeys> {
        let document = self.documents.read(&profile.jwks_url).await?;
        let set = KeySet::parse(&document).ok_or(NoKeys::Unreadable)?;
        let keys = Keys {
            set: Arc::new(set),
            since: self.clock.monotonic(),
            at: self.clock.now(),
        };
        let mut known = self.lock();
        if known.len() >= MAX_ISSUERS {
            known.clear();
        }
        known.insert(profile.jwks_url.as_str().to_owned(), keys.clone());
        Ok(keys)
    }

    fn age(&self, keys: &Keys) -> Duration {
        let now = self.clock.now();
        if now < keys.at {
            return Duration::MAX;
        }
        let monotonic = self.clock.monotonic().saturating_sub(keys.since);
        now.since(keys.at).max(monotonic)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Keys>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
