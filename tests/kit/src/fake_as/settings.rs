//! What the server is told: its clients and how it treats their grants.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

/// How the server behaves towards every client. Changeable while it runs; a change holds for
/// requests that arrive after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What a refresh does to the refresh token.
    pub rotation: Rotation,
    /// Life of an access token, in seconds.
    pub access_token_lifetime_s: i64,
    /// Life of an authorization code, in seconds.
    pub code_lifetime_s: i64,
    /// Leaves `expires_in` out of token answers (RFC 6749 section 5.1 only recommends it).
    pub omit_expires_in: bool,
    /// Issues no refresh tokens, as providers do without an offline scope.
    pub omit_refresh_token: bool,
    /// Exchanges access tokens that live, at `POST /token` with the client's authentication and
    /// at `GET /exchange` without, as social networks do.
    pub exchange: Option<Exchange>,
    /// Grants these scopes at consent, whatever was asked for.
    pub granted_scopes: Option<Vec<String>>,
    /// Refuses authorization requests without an S256 challenge (RFC 7636).
    pub require_pkce: bool,
    /// Adds `iss` to authorization responses (RFC 9207).
    pub iss: bool,
    /// Consents at once instead of showing the page.
    pub auto_approve: bool,
    /// The account that consents when neither `login_hint` nor the page names one.
    pub account: String,
    /// Adds an `id_token` to token answers, signed RS256 with a key of `/jwks`.
    pub id_token: bool,
    /// What is wrong with its ID tokens.
    pub id_token_flaw: Option<IdTokenFlaw>,
    /// `/jwks` answers 503.
    pub keys_down: bool,
    /// Members of the metadata documents that are not as they are; `null` takes one away.
    pub metadata: Map<String, Value>,
    /// Which of the metadata documents there are: that of RFC 8414, and OpenID Connect's.
    pub metadata_at: [bool; 2],
    /// Claims of an account, beside the `sub`, `email` and `name` it has anyway. They win.
    pub identity: BTreeMap<String, Map<String, Value>>,
    /// Members added to every token answer, such as the instance URL some providers send.
    pub token_extras: Map<String, Value>,
    /// A rotation also ends the access tokens issued before it, as GitHub Apps do.
    pub rotation_ends_access_tokens: bool,
    /// Revoking one grant ends every grant of that account at that client, as Google does.
    pub revoke_ends_siblings: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rotation: Rotation::None,
            access_token_lifetime_s: 3600,
            code_lifetime_s: 60,
            omit_expires_in: false,
            omit_refresh_token: false,
            exchange: None,
            granted_scopes: None,
            require_pkce: true,
            iss: true,
            auto_approve: false,
            account: "alex".to_owned(),
            id_token: false,
            id_token_flaw: None,
            keys_down: false,
            metadata: Map::new(),
            metadata_at: [true; 2],
            identity: BTreeMap::new(),
            token_extras: Map::new(),
            rotation_ends_access_tokens: false,
            revoke_ends_siblings: false,
        }
    }
}

/// What is wrong with an ID token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdTokenFlaw {
    /// Another `iss`.
    Issuer,
    /// For another client.
    Audience,
    /// For this client and another, and no `azp` to tell which of them it was issued to.
    Audiences,
    /// Issued to another client.
    AuthorizedParty,
    /// No signature, by `"alg":"none"`.
    Unsigned,
    /// Signed HS256 with the issuer's public key for a secret.
    PublicKeyAsSecret,
    /// Signed HS256 with the client secret.
    ClientSecret,
    /// Signed with another key under the published name.
    ForeignKey,
    /// Its claims were changed after it was signed.
    Altered,
    /// Names a key that is not published.
    UnknownKey,
    /// Names no key, which is no flaw while one is published.
    NoKeyName,
    /// Expired ten minutes ago.
    Expired,
    /// Issued ten minutes from now.
    Early,
    /// Another `nonce`.
    Nonce,
    /// No `nonce`.
    NoNonce,
    /// Another `sub` than userinfo's.
    Subject,
    /// No `sub`.
    NoSubject,
    /// No token at all.
    Text,
}

/// How the request for an exchange is spelt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Its `grant_type`.
    pub grant_type: String,
    /// The parameter that carries the access token.
    pub token_param: String,
}

/// What a refresh does to the refresh token it was made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Rotation {
    /// It stays the only one; the answer carries none.
    #[default]
    None,
    /// The answer carries a new one, and every old one stays valid.
    Sliding,
    /// The answer carries a new one and the old one dies at once. Using a dead one ends the
    /// grant and everything issued from it (RFC 9700 section 4.14.2).
    Strict,
    /// As `Strict`, except that a replaced token may be used again for a while. Such a use
    /// rotates once more: what it issues is current, and what was current has been replaced.
    Grace {
        /// How long after its own replacement a token may still be used.
        seconds: i64,
    },
}

/// A registered client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// Secrets accepted for it: two while one is being replaced.
    pub secrets: Vec<String>,
    /// Where authorization responses may go.
    pub redirects: Redirects,
}

impl Client {
    /// A client with one secret that may redirect anywhere.
    #[must_use]
    pub fn new(id: &str, secret: &str) -> Self {
        Self {
            id: id.to_owned(),
            secrets: vec![secret.to_owned()],
            redirects: Redirects::Any,
        }
    }

    /// The same client with redirects limited to `redirects`.
    #[must_use]
    pub fn redirecting(self, redirects: Redirects) -> Self {
        Self { redirects, ..self }
    }
}

/// The redirect URIs of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redirects {
    /// Any absolute http or https URL.
    Any,
    /// Any such URL whose path contains this text: the demo learns its gateway's host only
    /// after deployment.
    PathContains(String),
    /// Exactly these strings (RFC 9700 section 2.1).
    Exactly(Vec<String>),
}

impl Redirects {
    pub(crate) fn allow(&self, uri: &str) -> bool {
        let Ok(url) = Url::parse(uri) else {
            return false;
        };
        // RFC 6749 section 3.1.2 forbids a fragment.
        if !matches!(url.scheme(), "http" | "https") || url.fragment().is_some() {
            return false;
        }
        match self {
            Self::Any => true,
            Self::PathContains(part) => url.path().contains(part),
            Self::Exactly(registered) => registered.iter().any(|known| known == uri),
        }
    }
}
