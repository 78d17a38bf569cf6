//! A provider as the OAuth code sees it: a catalogue entry whose placeholders are filled from a
//! connector's `config`. Data only; no code anywhere asks which provider it is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::ids::ProviderId;
use super::scopes::ScopeList;

/// A provider with every URL complete, for one connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The catalogue entry it was made from; `custom` for endpoints the admin gave.
    pub id: ProviderId,
    /// The provider's name for people.
    pub name: String,
    /// The issuer identifier (RFC 8414 section 2), when the provider publishes one. Compared
    /// with the `iss` of a callback as a plain string (RFC 9207 section 2.4).
    pub issuer: Option<String>,
    /// Whether the provider promises `iss` in every authorization response, so that its
    /// absence is an attack (RFC 9207 section 2.3).
    pub iss_promised: bool,
    /// How ID tokens are validated; `None` where the provider's keys are not known, so that its
    /// ID tokens are not read.
    pub id_tokens: Option<IdTokenProfile>,
    /// Where the browser is sent.
    pub authorize: Authorize,
    /// Where codes and refresh tokens are redeemed.
    pub token: TokenEndpointProfile,
    /// How a grant is revoked; `None` when the provider offers no way.
    pub revocation: Option<Revocation>,
    /// Headers that the provider wants on every request, such as the version of its API.
    pub headers: BTreeMap<String, String>,
    /// How refresh tokens live and die here.
    pub refresh: RefreshProfile,
    /// Where the account's identity is read after a code was redeemed.
    pub identity: Option<Identity>,
    /// Values of the token response that an app needs to call the provider (for example
    /// `instance_url`): name in `connection_config` to JSON pointer (RFC 6901).
    pub captured: BTreeMap<String, String>,
}

impl Provider {
    /// Whether a user who is asked for `scopes` brings an ID token that can be validated
    /// (OpenID Connect Core section 3.1.2.1: the scope `openid` asks for one).
    pub fn brings_id_token(&self, scopes: &ScopeList) -> bool {
        self.id_tokens.is_some() && scopes.contains("openid")
    }

    /// Every address that is called or that a browser is sent to, each kind in its place.
    pub fn endpoints(&self) -> [Option<&str>; 6] {
        let exchange = match &self.refresh.grant {
            RefreshGrant::RefreshToken => None,
            RefreshGrant::AccessToken(exchange) => exchange.url.as_ref(),
        };
        let identity = self.identity.as_ref();
        let id_tokens = self.id_tokens.as_ref();
        [
            Some(self.authorize.url.as_str()),
            Some(self.token.url.as_str()),
            self.revocation.as_ref().map(|at| at.url.as_str()),
            identity.and_then(|at| at.url.as_ref()).map(Url::as_str),
            exchange.map(Url::as_str),
            id_tokens.map(|at| at.jwks_url.as_str()),
        ]
    }
}

/// What stands for the tenant in the issuer of a provider whose tenants are issuers of their own.
pub const TENANT: &str = "{tenantid}";

/// What an ID token is validated by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdTokenProfile {
    /// The `iss` of ID tokens. [`TENANT`] in it stands for the token's own `tid`.
    pub issuer: String,
    /// Where the issuer publishes its keys (RFC 8414 section 2: `jwks_uri`).
    pub jwks_url: Url,
}

/// The authorization request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorize {
    /// The authorization endpoint.
    pub url: Url,
    /// Provider-specific parameters. Never one of the protocol's own (H-15).
    pub params: BTreeMap<String, String>,
    /// What stands between two scopes in the `scope` parameter.
    pub scope_separator: String,
    /// The name of the parameter that carries the scopes. Slack's user token wants another.
    pub scope_param: String,
    /// How the provider is asked to send the browser back; `None` to leave it at its default,
    /// the query (OAuth 2.0 Multiple Response Type Encoding Practices section 2.1).
    pub response_mode: Option<ResponseMode>,
    /// Whether PKCE with S256 is sent. Off only where a provider rejects it (H-05).
    pub pkce: bool,
}

/// How an authorization response travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseMode {
    /// In the query of a GET.
    #[default]
    Query,
    /// In the form of a POST (OAuth 2.0 Form Post Response Mode).
    FormPost,
}

impl ResponseMode {
    /// The value of `response_mode`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::FormPost => "form_post",
        }
    }
}

impl Authorize {
    /// Whether a parameter belongs to the protocol or to this profile's scopes, so that neither
    /// a profile nor an endpoint's own query may set it (H-15).
    pub fn reserves(&self, name: &str) -> bool {
        name == self.scope_param || is_protocol_param(name)
    }
}

/// Whether a request parameter is the protocol's own, of the authorization request (RFC 6749,
/// RFC 7636, RFC 8707, RFC 9126, OpenID Connect) or of the token request. Not `request`: there
/// are providers whose endpoints need one of another meaning.
pub fn is_protocol_param(name: &str) -> bool {
    const NAMES: [&str; 16] = [
        "client_assertion",
        "client_assertion_type",
        "client_id",
        "client_secret",
        "code",
        "code_verifier",
        "grant_type",
        "nonce",
        "redirect_uri",
        "refresh_token",
        "request_uri",
        "resource",
        "response_mode",
        "response_type",
        "scope",
        "state",
    ];
    // Some servers ignore the case of parameter names.
    let name = name.to_ascii_lowercase();
    NAMES.contains(&name.as_str()) || name.starts_with("code_challenge")
}

/// The token request and the shape of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEndpointProfile {
    /// The token endpoint.
    pub url: Url,
    /// How the client authenticates (RFC 6749 section 2.3.1).
    pub auth: ClientAuth,
    /// How the request body is encoded.
    pub body: BodyEncoding,
    /// Extra parameters of every token request.
    pub params: BTreeMap<String, String>,
    /// JSON pointer to the object that holds the tokens; empty for the whole answer. Where
    /// there are none, as in Slack's answers to a refresh, the whole answer is looked at.
    pub token_path: String,
    /// Values of `token_type` that mean a bearer token here, besides `bearer` itself.
    pub bearer_types: Vec<String>,
    /// A member that is `false` when an HTTP 200 is an error in disguise (Slack's `ok`).
    pub success_flag: Option<String>,
    /// JSON pointer to the code of an error for answers that have no `error` (HubSpot).
    pub error_path: Option<String>,
    /// What the provider's own error codes mean. Those of RFC 6749 are known without.
    pub errors: BTreeMap<String, ErrorClass>,
    /// What separates scopes in the answer's `scope`.
    pub scope_separator: String,
}

/// What an error code of a provider says about the request; see
/// [`TokenFailure`](super::token::TokenFailure), whose variants these become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The code or token is not, or no longer, accepted.
    GrantRefused,
    /// The client's credentials are wrong or it may not do this.
    ClientRefused,
    /// The request was wrong.
    RequestRefused,
    /// The user has to consent again.
    InteractionRequired,
    /// Not now; nothing was done.
    TryLater,
    /// The provider failed half-way: it may have rotated the token.
    OutcomeUnknown,
}

/// Client authentication at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// `client_id` and `client_secret` in the body.
    Post,
    /// HTTP Basic with form-encoded credentials.
    Basic,
}

/// The encoding of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyEncoding {
    /// `application/x-www-form-urlencoded`, the standard.
    Form,
    /// `application/json`.
    Json,
}

/// One way of revoking a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The revocation endpoint. In a catalogue entry's the text `{client_id}` stands for the
    /// client and, with [`RevocationShape::DeletePath`], `{token}` for the token.
    pub url: String,
    /// The shape of the request.
    pub shape: RevocationShape,
    /// Which token is sent first. Where it is missing the other one is.
    pub token: RevokedToken,
    /// What else ends with it.
    pub reach: RevocationReach,
}

/// What a revocation ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationReach {
    /// The grant whose token it is.
    #[default]
    Grant,
    /// Whatever the account has granted to this client, so also what was connected elsewhere.
    Account,
}

/// The shape of a revocation request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationShape {
    /// RFC 7009: form post of `token` and `token_type_hint` with the client's authentication
    /// in the body.
    FormPost,
    /// As `FormPost`, with HTTP Basic.
    FormBasic,
    /// A form post of `token` alone, without client authentication (Google).
    TokenOnly,
    /// A JSON post of `token` with HTTP Basic (Notion).
    JsonBasic,
    /// An empty post authorized by the token itself (Dropbox, Slack).
    Bearer,
    /// `DELETE` of a URL that contains the token (HubSpot).
    DeletePath,
    /// `DELETE` with HTTP Basic and `{"access_token": …}` (GitHub).
    DeleteJsonBasic,
}

/// Which of a grant's tokens a revocation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokedToken {
    /// The access token.
    Access,
    /// The refresh token.
    Refresh,
}

/// How grants live and die at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshProfile {
    /// What is spent for the next access token.
    pub grant: RefreshGrant,
    /// What a refresh does to the refresh token.
    pub rotation: Rotation,
    /// An unused refresh token dies after this long.
    pub idle_limit: Option<Duration>,
    /// The grant dies this long after the user's consent, whatever is done.
    pub hard_limit: Option<Duration>,
    /// The member of a token answer that tells for how many seconds the refresh token lives,
    /// beside `expires_in`. No RFC has one; providers that tell have each their own.
    pub refresh_expires_in: Option<String>,
    /// The access token's lifetime when the answer does not tell; `None` when such a token
    /// does not expire.
    pub assumed_lifetime: Option<Duration>,
}

/// What is spent for the next access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshGrant {
    /// The refresh token (RFC 6749 section 6).
    RefreshToken,
    /// The access token itself, while it lives: the provider issues no refresh tokens.
    AccessToken(AccessTokenExchange),
}

/// The request that exchanges an access token that still lives for the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTokenExchange {
    /// The value of `grant_type`.
    pub grant_type: String,
    /// The parameter that carries the token.
    pub token_param: String,
    /// How it is asked for.
    pub method: ExchangeMethod,
    /// Where, if not at the token endpoint.
    pub url: Option<Url>,
    /// A younger token is not exchanged.
    pub min_age: Duration,
}

/// How an access token is exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExchangeMethod {
    /// As every token request: in the body, with the client's authentication.
    Post,
    /// In the query, where only the token goes: a client secret has no place in a URL.
    Get,
}

/// What a refresh does to the refresh token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It stays as it is.
    None,
    /// A new one comes with each answer and the old one keeps working.
    Sliding,
    /// The old one dies at once; using it again may revoke the grant.
    Strict,
    /// The old one may be used again for this long.
    Grace(Duration),
}

/// Where the account behind a grant is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whether the claims of a validated ID token are read, where there is one.
    pub id_token: bool,
    /// A resource to ask with the fresh access token; `None` to read the token response, or
    /// nothing but the ID token.
    pub url: Option<Url>,
    /// JSON pointer to the account's stable id.
    pub id: String,
    /// JSON pointer to something a person recognises, such as an e-mail address.
    pub label: Option<String>,
}
