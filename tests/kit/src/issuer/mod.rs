//! The platform's OpenID Connect issuer, as far as Grantry sees it: a discovery document, a key
//! set, and JWTs for whoever a test or the demo says has signed in.
//!
//! It has no login page and no users; the `/_mint` route stands for both. Nothing but tests and
//! the local demo may trust it.

pub(crate) mod key;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use shared::ports::{DocumentError, Documents};
use url::Url;

use crate::loopback::{Clock, Port, Serving};
use key::SigningKey;

/// The audience of tokens that name none.
pub const AUDIENCE: &str = "grantry";

/// A running issuer. Dropping it takes the key set off the network.
pub struct Issuer {
    desk: Arc<Desk>,
    _serving: Serving,
}

/// What a token is to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mint {
    /// The subject: a user of an app, or an admin.
    pub sub: String,
    /// Further claims, such as `workspace_id` and `app_id`. They win over the standard ones.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// Seconds from now to expiry; negative for a token that has expired.
    #[serde(default = "Mint::five_minutes")]
    pub ttl: i64,
    /// The audience, if not [`AUDIENCE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// The issuer it claims to be from, if not the true one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The key id in the header, if not the published one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// Signs with a key that is not in the key set, under the published key id: only the
    /// signature gives such a token away.
    #[serde(default)]
    pub foreign_key: bool,
}

impl Mint {
    /// A token for `sub`, valid for five minutes.
    #[must_use]
    pub fn new(sub: &str) -> Self {
        Self {
            sub: sub.to_owned(),
            claims: Map::new(),
            ttl: Self::five_minutes(),
            aud: None,
            iss: None,
            kid: None,
            foreign_key: false,
        }
    }

    /// The same with one more claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    fn five_minutes() -> i64 {
        300
    }
}

impl Issuer {
    /// Starts an issuer on a free port of this machine.
    ///
    /// # Panics
    /// When there is no free port; [`Issuer::bind`] tells instead.
    pub async fn start(clock: Clock) -> Self {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::bind(anywhere, clock)
            .await
            .expect("this machine has a free port")
    }

    /// Starts an issuer at `address` with a new key.
    ///
    /// # Errors
    /// Those of binding the address.
    pub async fn bind(address: SocketAddr, clock: Clock) -> io::Result<Self> {
        let port = Port::bind(address).await?;
        let key = Arc::new(SigningKey::generate());
        let desk = Arc::new(Desk::with(port.url(), clock, key));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/_mint", post(mint))
            .with_state(Arc::clone(&desk));
        Ok(Self {
            desk,
            _serving: port.serve(router),
        })
    }

    /// The `iss` of its tokens and the base of its documents, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.desk.url
    }

    /// The key set it publishes (RFC 7517 section 5).
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.desk.jwks()
    }

    /// Signs a token.
    #[must_use]
    pub fn mint(&self, mint: &Mint) -> String {
        self.desk.mint(mint)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("url", &self.desk.url)
            .finish_non_exhaustive()
    }
}

/// Who signs and what they publish, without a network: it is its own [`Documents`].
pub struct Desk {
    url: String,
    clock: Clock,
    key: Arc<SigningKey>,
    /// Made when first asked for: most tests never do, and a key takes a while.
    foreign: OnceLock<SigningKey>,
    /// How often a document was asked for.
    reads: AtomicUsize,
    away: AtomicBool,
}

impl Desk {
    /// The issuer `url`, with a key that all of this process share.
    #[must_use]
    pub fn of(url: &str, clock: Clock) -> Self {
        static SHARED: OnceLock<Arc<SigningKey>> = OnceLock::new();
        let key = SHARED.get_or_init(|| Arc::new(SigningKey::generate()));
        Self::with(url.to_owned(), clock, Arc::clone(key))
    }

    fn with(url: String, clock: Clock, key: Arc<SigningKey>) -> Self {
        Self {
            url,
            clock,
            key,
            foreign: OnceLock::new(),
            reads: AtomicUsize::new(0),
            away: AtomicBool::new(false),
        }
    }

    /// How many documents were read.
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// Answers no more, or again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Signs a token.
    #[must_use]
    pub fn mint(&self, mint: &Mint) -> String {
        let now = (self.clock)().div_euclid(1000);
        let expiry = now + mint.ttl;
        let mut claims = json!({
            "iss": mint.iss.as_deref().unwrap_or(&self.url),
            "sub": mint.sub,
            "aud": mint.aud.as_deref().unwrap_or(AUDIENCE),
            // An expired token was issued before it expired.
            "iat": now.min(expiry - 1),
            "exp": expiry,
        });
        for (name, value) in &mint.claims {
            claims[name] = value.clone();
        }
        let kid = mint.kid.as_deref().unwrap_or(self.key.kid());
        let key = match mint.foreign_key {
            true => self.foreign.get_or_init(SigningKey::generate),
            false => &self.key,
        };
        key.sign(&claims, kid)
    }

    fn jwks(&self) -> Value {
        json!({ "keys": [self.key.public()] })
    }

    /// OpenID Connect Discovery section 3, without an authorization endpoint: nobody signs in
    /// here.
    fn metadata(&self) -> Value {
        json!({
            "issuer": self.url,
            "jwks_uri": format!("{}/jwks", self.url),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        })
    }
}

#[async_trait]
impl Documents for Desk {
    async fn read(&self, url: &Url) -> Result<Vec<u8>, DocumentError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return Err(DocumentError::NoAnswer);
        }
        let document = match url.as_str().strip_prefix(&self.url) {
            Some("/.well-known/openid-configuration") => self.metadata(),
            Some("/jwks") => self.jwks(),
            _ => return Err(DocumentError::Status(404)),
        };
        Ok(document.to_string().into_bytes())
    }
}

async fn discovery(State(desk): State<Arc<Desk>>) -> Json<Value> {
    Json(desk.metadata())
}

async fn jwks(State(desk): State<Arc<Desk>>) -> Json<Value> {
    Json(desk.jwks())
}

async fn mint(State(desk): State<Arc<Desk>>, Json(wanted): Json<Mint>) -> Json<Value> {
    Json(json!({ "token": desk.mint(&wanted) }))
}
