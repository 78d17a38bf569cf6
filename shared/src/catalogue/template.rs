//! The format of a catalogue file. One JSON file describes one provider; an unknown member is
//! an error, so that a misspelt quirk cannot be lost in silence.
//!
//! `{name}` in a URL stands for the value of the field of that name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::provider::{
    BodyEncoding, ClientAuth, ErrorClass, ExchangeMethod, ResponseMode, RevocationReach,
    RevocationShape, RevokedToken,
};

/// A catalogue file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The provider's id; the file's name.
    pub id: String,
    /// The provider's name for people.
    pub name: String,
    /// Where the admin creates an OAuth client, or reads how.
    pub docs_url: String,
    /// The day the facts were last compared with [`Template::sources`].
    pub verified_on: String,
    /// The vendor's pages the facts are from.
    pub sources: Vec<String>,
    /// What the admin has to know, a sentence each.
    pub setup_notes: Vec<String>,
    /// How the provider's scopes look.
    pub scopes_help: String,
    /// What the admin has to tell besides client and scopes.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// The authorization request.
    pub authorize: AuthorizeTemplate,
    /// The token request and its answer.
    pub token: TokenTemplate,
    /// The issuer identifier of RFC 8414.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Whether every authorization response carries `iss` (RFC 9207).
    #[serde(default)]
    pub iss_promised: bool,
    /// How its ID tokens are validated; absent where they are not read.
    #[serde(default)]
    pub id_token: Option<IdTokenTemplate>,
    /// How a grant is revoked; absent when it cannot be.
    #[serde(default)]
    pub revoke: Option<RevokeTemplate>,
    /// How refresh tokens live and die.
    pub refresh: RefreshTemplate,
    /// Where the account is read.
    #[serde(default)]
    pub identity: Option<IdentityTemplate>,
    /// Values of the token response an app needs: name to JSON pointer into the whole answer.
    #[serde(default)]
    pub captured: BTreeMap<String, String>,
    /// Headers on every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// One value the admin gives.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name in a connector's `config`.
    pub name: String,
    /// Its name for people.
    pub label: String,
    /// What to enter.
    pub help: String,
    /// What the whole value must match, anchored at both ends. It stands between an admin's
    /// typing and the host a client secret is sent to (H-35).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Whether it must be given.
    #[serde(default)]
    pub required: bool,
    /// What holds when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// A value that would do.
    pub example: String,
}

/// The authorization request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizeTemplate {
    /// The endpoint.
    pub url: String,
    /// Parameters beside the protocol's.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// The parameter that carries the scopes.
    #[serde(default = "scope")]
    pub scope_param: String,
    /// What stands between scopes.
    #[serde(default = "space")]
    pub scope_separator: String,
    /// How the answer comes back, if it has to be said.
    #[serde(default)]
    pub response_mode: Option<ResponseMode>,
    /// Whether PKCE is sent; off only where a provider rejects it.
    pub pkce: bool,
}

/// The token request and its answer; see
/// [`TokenEndpointProfile`](crate::domain::provider::TokenEndpointProfile).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTemplate {
    /// The endpoint.
    pub url: String,
    /// How the client authenticates.
    pub auth: ClientAuth,
    /// How the body is encoded.
    #[serde(default = "form")]
    pub body: BodyEncoding,
    /// Extra parameters.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// JSON pointer to the tokens.
    #[serde(default)]
    pub token_path: String,
    /// Values of `token_type` that mean a bearer token.
    #[serde(default)]
    pub bearer_types: Vec<String>,
    /// The member that is `false` on failure.
    #[serde(default)]
    pub success_flag: Option<String>,
    /// JSON pointer to a code where there is no `error`.
    #[serde(default)]
    pub error_path: Option<String>,
    /// The provider's own error codes.
    #[serde(default)]
    pub errors: BTreeMap<String, ErrorClass>,
    /// What stands between scopes in the answer.
    #[serde(default = "space")]
    pub scope_separator: String,
}

/// ID tokens; see [`IdTokenProfile`](crate::domain::provider::IdTokenProfile).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdTokenTemplate {
    /// Their `iss`. It may also hold `{tenantid}`, which stands for the token's own `tid`.
    pub issuer: String,
    /// Where the issuer's keys are.
    pub jwks_url: String,
}

/// Revocation; see [`Revocation`](crate::domain::provider::Revocation). Its URL may also hold
/// `{client_id}` and `{token}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeTemplate {
    /// The endpoint.
    pub url: String,
    /// The shape of the request.
    pub shape: RevocationShape,
    /// Which token is sent first.
    pub token: RevokedToken,
    /// What else ends with it.
    #[serde(default)]
    pub reach: RevocationReach,
}

/// The life of grants; see [`RefreshProfile`](crate::domain::provider::RefreshProfile).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefreshTemplate {
    /// What a refresh does to the refresh token.
    pub rotation: RotationTemplate,
    /// An unused refresh token dies after this many days.
    #[serde(default)]
    pub idle_days: Option<u32>,
    /// The grant dies so many days after the user's consent.
    #[serde(default)]
    pub hard_limit_days: Option<u32>,
    /// The member of a token answer that tells for how many seconds the refresh token lives.
    #[serde(default)]
    pub refresh_expires_in: Option<String>,
    /// How access tokens are exchanged where there are no refresh tokens.
    #[serde(default)]
    pub exchange: Option<ExchangeTemplate>,
    /// The lifetime of an access token whose answer does not tell.
    pub assumed_lifetime: AssumedLifetime,
}

/// The exchange of access tokens; see
/// [`AccessTokenExchange`](crate::domain::provider::AccessTokenExchange).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExchangeTemplate {
    /// The value of `grant_type`.
    pub grant_type: String,
    /// The parameter that carries the token.
    pub token_param: String,
    /// How it is asked for.
    pub method: ExchangeMethod,
    /// Where, if not at the token endpoint.
    #[serde(default)]
    pub url: Option<String>,
    /// A token younger than so many seconds is not exchanged.
    #[serde(default)]
    pub min_age_seconds: u32,
}

/// `"none"`, `"sliding"`, `"strict"` or `{"grace": seconds}`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotationTemplate {
    /// It stays as it is.
    None,
    /// A new one comes and the old one keeps working.
    Sliding,
    /// The old one dies at once.
    Strict,
    /// The old one may be used again for so many seconds.
    Grace(u32),
}

/// `"never"` or `{"seconds": n}`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssumedLifetime {
    /// A token without `expires_in` does not expire.
    Never,
    /// It expires after so many seconds.
    Seconds(u32),
}

/// Where the account is read; see [`Identity`](crate::domain::provider::Identity).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityTemplate {
    /// Whether a validated ID token is read instead, where there is one.
    #[serde(default)]
    pub id_token: bool,
    /// A resource to ask; absent to read the token response.
    #[serde(default)]
    pub url: Option<String>,
    /// JSON pointer to the stable id.
    pub id: String,
    /// JSON pointer to something a person recognises.
    #[serde(default)]
    pub label: Option<String>,
}

fn scope() -> String {
    "scope".into()
}

fn space() -> String {
    " ".into()
}

fn form() -> BodyEncoding {
    BodyEncoding::Form
}
