//! Issuers' keys, kept in memory for a bounded time, and signatures against them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::jwt::Jwt;
use super::key_set::KeySet;
use super::{NoKeys, Refused};
use crate::domain::time::Timestamp;
use crate::ports::{Clock, Documents};

/// How long an issuer's keys are used before they are read again.
const KEYS_LIFETIME: Duration = Duration::from_secs(600);
/// Keys that are younger are not read again for a token that none of them signed: nobody can make
/// us ask an issuer more often by sending nonsense.
const REREAD_AFTER: Duration = Duration::from_secs(60);
/// How many issuers' keys are kept. Admins choose the issuers.
const MAX_ISSUERS: usize = 64;

/// Where an issuer's keys are read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// At this address.
    Address(&'a Url),
    /// Where the issuer's own metadata says (OpenID Connect Discovery section 4).
    Issuer(&'a str),
}

impl<'a> Source<'a> {
    fn name(self) -> &'a str {
        match self {
            Self::Address(url) => url.as_str(),
            Self::Issuer(issuer) => issuer,
        }
    }
}

/// An issuer's keys as they were read.
#[derive(Clone)]
pub struct Keys {
    set: Arc<KeySet>,
    /// When, by the monotonic clock.
    since: Duration,
    /// When, by the wall clock: the other one stands still while a sandbox is frozen.
    at: Timestamp,
}

/// The keys of the issuers that were asked for lately.
pub(super) struct IssuerKeys {
    documents: Arc<dyn Documents>,
    clock: Arc<dyn Clock>,
    known: Mutex<BTreeMap<String, Keys>>,
}

impl IssuerKeys {
    /// No keys yet.
    pub(super) fn new(documents: Arc<dyn Documents>, clock: Arc<dyn Clock>) -> Self {
        Self {
            documents,
            clock,
            known: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The keys from `source`, read unless they are in memory and young enough.
    pub(super) async fn of(&self, source: Source<'_>) -> Result<Keys, NoKeys> {
        let known = self.lock().get(source.name()).cloned();
        match known.filter(|keys| self.age(keys) < KEYS_LIFETIME) {
            Some(keys) => Ok(keys),
            None => self.read(source).await,
        }
    }

    /// Checks a token's signature; answers for whose tokens the key is, if it says so. Keys that
    /// do not fit are read again once, for issuers change them.
    pub(super) async fn verify(
        &self,
        jwt: &Jwt<'_>,
        source: Source<'_>,
        keys: &Keys,
    ) -> Result<Option<String>, Refused> {
        match keys.set.verify(jwt) {
            Err(Refused::UnknownKey) if self.age(keys) >= REREAD_AFTER => {
                let reread = self.read(source).await;
                let reread = reread.map_err(|error| {
                    tracing::warn!(error = %error, "keys were not read again");
                    Refused::UnknownKey
                })?;
                Ok(reread.set.verify(jwt)?.map(str::to_owned))
            }
            verified => Ok(verified?.map(str::to_owned)),
        }
    }

    async fn read(&self, source: Source<'_>) -> Result<Keys, NoKeys> {
        let document = match source {
            Source::Address(url) => self.documents.read(url).await?,
            Source::Issuer(issuer) => {
                let url = self.discover(issuer).await?;
                self.documents.read(&url).await?
            }
        };
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
        known.insert(source.name().to_owned(), keys.clone());
        Ok(keys)
    }

    /// Where `issuer` says that its keys are. The document has to be of this very issuer (H-36).
    async fn discover(&self, issuer: &str) -> Result<Url, NoKeys> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            jwks_uri: Url,
        }
        let base = issuer.trim_end_matches('/');
        let address = Url::parse(&format!("{base}/.well-known/openid-configuration"));
        let address = address.map_err(|_| NoKeys::Unreadable)?;
        let document = self.documents.read(&address).await?;
        serde_json::from_slice(&document)
            .ok()
            .filter(|metadata: &Metadata| metadata.issuer == issuer)
            .map(|metadata| metadata.jwks_uri)
            .ok_or(NoKeys::Unreadable)
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
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
