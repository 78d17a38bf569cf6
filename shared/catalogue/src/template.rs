//! A description as far as requests depend on it. An unknown member is an error, so that a
//! misspelt quirk cannot be lost in silence.
//!
//! `{name}` in a URL or in the value of a parameter stands for the value of the field of that
//! name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::words::{
    AskedOf, BodyEncoding, ClientAuth, ErrorClass, Method, Pkce, RequestAuth, ResponseMode,
    RevocationAuth, RevocationReach, RevokedToken, ScopeEncoding, TokenCarrier,
};

/// How a provider is talked to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The provider's name for people.
    pub name: String,
    /// What has to be told besides client and scopes.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// Headers on every request to the provider.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The issuer identifier of RFC 8414.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Whether every authorization response carries `iss` (RFC 9207).
    #[serde(default)]
    pub iss_promised: bool,
    /// How its ID tokens are validated; absent where they are not read.
    #[serde(default)]
    pub id_token: Option<IdToken>,
    /// The authorization request.
    pub authorize: Authorize,
    /// Parameters of the callback that are kept, by the name they are kept under.
    #[serde(default)]
    pub callback: BTreeMap<String, CallbackValue>,
    /// The token request and its answer.
    pub token: Token,
    /// One more exchange right after the code's; absent where there is none.
    #[serde(default)]
    pub after_code: Option<AfterCode>,
    /// How grants live and die, and how they are refreshed.
    pub refresh: Refresh,
    /// How a grant is revoked; absent when it cannot be.
    #[serde(default)]
    pub revoke: Option<Revoke>,
    /// Where the account is read.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// Values of the token response that an app needs: name to JSON pointer into the whole answer.
    #[serde(default)]
    pub captured: BTreeMap<String, String>,
}

/// A value that is asked for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name, in a connector's `config` or a user's.
    pub name: String,
    /// Who is asked.
    #[serde(default = "admin")]
    pub asked: AskedOf,
    /// Its name for people.
    pub label: String,
    /// What to enter.
    pub help: String,
    /// What the whole value must match, anchored at both ends. It stands between somebody's
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

/// ID tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdToken {
    /// Their `iss`. It may also hold `{tenantid}`, which stands for the token's own `tid`.
    pub issuer: String,
    /// Where the issuer's keys are.
    pub jwks_url: String,
}

/// The authorization request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorize {
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
    /// How the scopes are written.
    #[serde(default = "form_encoded")]
    pub scope_encoding: ScopeEncoding,
    /// The provider's names of parameters of the protocol.
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
    /// Parameters of the protocol that are left out.
    #[serde(default)]
    pub omit: Vec<String>,
    /// How the answer comes back, if it has to be said.
    #[serde(default)]
    pub response_mode: Option<ResponseMode>,
    /// What the callback calls the code.
    #[serde(default = "code")]
    pub code_param: String,
    /// The parameter that signs the callback: the HMAC-SHA-256, in hex, of the others by the
    /// client secret (Shopify). Absent where there is none.
    #[serde(default)]
    pub hmac_param: Option<String>,
    /// Whether PKCE is sent.
    pub pkce: Pkce,
}

/// A parameter of the callback.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CallbackValue {
    /// What the callback calls it.
    pub param: String,
    /// What the whole value must match, anchored at both ends.
    pub pattern: String,
    /// Whether a callback without it is refused.
    #[serde(default)]
    pub required: bool,
}

/// The token request and its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The endpoint.
    pub url: String,
    /// How the client authenticates.
    pub auth: ClientAuth,
    /// How the body is encoded.
    #[serde(default = "form")]
    pub body: BodyEncoding,
    /// Extra parameters of every token request.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// The provider's names of parameters of the protocol.
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
    /// Parameters of the protocol that are left out.
    #[serde(default)]
    pub omit: Vec<String>,
    /// JSON pointer to the object that holds the tokens.
    #[serde(default)]
    pub token_path: String,
    /// The provider's names of the members in that object.
    #[serde(default)]
    pub members: BTreeMap<String, String>,
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
    /// JSON pointer, into the whole answer, to scopes that are not in `scope`.
    #[serde(default)]
    pub scope_path: Option<String>,
}

/// The exchange that makes a code's short-lived token a long-lived one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AfterCode {
    /// Where it is asked for.
    pub url: String,
    /// GET or POST.
    pub method: Method,
    /// The value of `grant_type`.
    pub grant_type: String,
    /// The parameter that carries the access token.
    #[serde(default = "access_token")]
    pub token_param: String,
    /// How the client authenticates.
    pub auth: RequestAuth,
    /// Parameters beside these.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
}

/// The life of grants.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// Whether there is anything to refresh by.
    #[serde(default = "yes")]
    pub tokens: bool,
    /// What a refresh does to the refresh token.
    pub rotation: Rotation,
    /// An unused refresh token dies after this many days.
    #[serde(default)]
    pub idle_days: Option<u32>,
    /// The grant dies so many days after the user's consent.
    #[serde(default)]
    pub hard_limit_days: Option<u32>,
    /// The member of a token answer that tells for how many seconds the refresh token lives.
    #[serde(default)]
    pub refresh_expires_in: Option<String>,
    /// The lifetime of an access token whose answer does not tell.
    pub assumed_lifetime: AssumedLifetime,
    /// How the request differs from that of RFC 6749 section 6.
    #[serde(default)]
    pub request: Option<RefreshRequest>,
}

/// A refresh that is not as RFC 6749 has it. What is left out is as in the token request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// Where, if not at the token endpoint.
    #[serde(default)]
    pub url: Option<String>,
    /// GET or POST.
    #[serde(default = "post")]
    pub method: Method,
    /// The value of `grant_type`.
    #[serde(default = "refresh_token")]
    pub grant_type: String,
    /// What is spent.
    #[serde(default = "refresh")]
    pub token: RevokedToken,
    /// The parameter that carries it; `refresh_token` or `access_token` if left out.
    #[serde(default)]
    pub token_param: Option<String>,
    /// How the client authenticates; a GET does not if left out.
    #[serde(default)]
    pub auth: Option<RequestAuth>,
    /// How the body is encoded.
    #[serde(default)]
    pub body: Option<BodyEncoding>,
    /// Parameters beside these and the token request's.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// JSON pointer to the object that holds the tokens.
    #[serde(default)]
    pub token_path: Option<String>,
    /// A younger access token is not exchanged.
    #[serde(default)]
    pub min_age_seconds: u32,
}

/// `"none"`, `"sliding"`, `"strict"` or `{"grace": seconds}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssumedLifetime {
    /// A token without `expires_in` does not expire.
    Never,
    /// It expires after so many seconds.
    Seconds(u32),
}

/// Revocation. Its URL may also hold `{client_id}`, and `{token}` where the path carries it; its
/// parameters `{client_id}` and values that were captured, as `{captured.name}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// The endpoint.
    pub url: String,
    /// The method.
    #[serde(default = "post")]
    pub method: Method,
    /// Which token is named first.
    pub token: RevokedToken,
    /// Whether the other kind can be named too, see [`Revoke::takes_either`].
    #[serde(default)]
    pub either: Option<bool>,
    /// How the token is carried.
    pub send: TokenCarrier,
    /// Its name in a form, a JSON object or a query.
    #[serde(default = "token")]
    pub param: String,
    /// Whether `token_type_hint` is sent (RFC 7009 section 2.1).
    #[serde(default)]
    pub hint: bool,
    /// How the client authenticates.
    pub auth: RevocationAuth,
    /// Parameters beside these.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// What else ends with it.
    #[serde(default = "grant")]
    pub reach: RevocationReach,
}

impl Revoke {
    /// Whether the request can name a token of either kind: as given, and otherwise where it is
    /// posted in a body, as RFC 7009 section 2.1 has it.
    pub fn takes_either(&self) -> bool {
        let in_body = matches!(self.send, TokenCarrier::Form | TokenCarrier::Json);
        self.either
            .unwrap_or(in_body && self.method == Method::Post)
    }
}

/// Where the account is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Whether a validated ID token is read instead, where there is one.
    #[serde(default)]
    pub id_token: bool,
    /// A resource to ask; absent to read the token response.
    #[serde(default)]
    pub url: Option<String>,
    /// What is posted to it; absent for a GET.
    #[serde(default)]
    pub json: Option<Value>,
    /// JSON pointer to the stable id.
    pub id: String,
    /// JSON pointer to something a person recognises.
    #[serde(default)]
    pub label: Option<String>,
}

fn admin() -> AskedOf {
    AskedOf::Admin
}

fn scope() -> String {
    "scope".into()
}

fn space() -> String {
    " ".into()
}

fn code() -> String {
    "code".into()
}

fn token() -> String {
    "token".into()
}

fn access_token() -> String {
    "access_token".into()
}

fn refresh_token() -> String {
    "refresh_token".into()
}

fn form_encoded() -> ScopeEncoding {
    ScopeEncoding::Form
}

fn form() -> BodyEncoding {
    BodyEncoding::Form
}

fn post() -> Method {
    Method::Post
}

fn refresh() -> RevokedToken {
    RevokedToken::Refresh
}

fn grant() -> RevocationReach {
    RevocationReach::Grant
}

fn yes() -> bool {
    true
}
