//! A provider as the OAuth code sees it: a catalogue entry whose placeholders are filled from a
//! connector's `config`. Data only; no code anywhere asks which provider it is.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

pub use catalogue_format::{
    BodyEncoding, CallbackValue, ClientAuth, ErrorClass, Method, RequestAuth, ResponseMode,
    RevocationAuth, RevocationReach, RevokedToken, ScopeEncoding, TokenCarrier, is_protocol_param,
    matches as matches_whole,
};

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
    /// What of the callback is kept beside the code, by its name in `connection_config`.
    pub callback: BTreeMap<String, CallbackValue>,
    /// Where codes and refresh tokens are redeemed.
    pub token: TokenEndpointProfile,
    /// What is asked for with the access token that a code brought, before it is kept.
    pub after_code: Option<GrantRequest>,
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
    pub fn endpoints(&self) -> [Option<&str>; 7] {
        let identity = self.identity.as_ref();
        let id_tokens = self.id_tokens.as_ref();
        let refresh = self.refresh.request.as_ref();
        [
            Some(self.authorize.url.as_str()),
            Some(self.token.url.as_str()),
            self.after_code.as_ref().map(|at| at.url.as_str()),
            refresh.map(|at| at.url.as_str()),
            self.revocation.as_ref().map(|at| at.url.as_str()),
            identity.and_then(|at| at.url.as_ref()).map(Url::as_str),
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
    /// How the scopes are written into the URL.
    pub scope_encoding: ScopeEncoding,
    /// The provider's names of parameters of the protocol.
    pub rename: BTreeMap<String, String>,
    /// Parameters of the protocol that are left out.
    pub omit: Vec<String>,
    /// How the provider is asked to send the browser back; `None` to leave it at its default,
    /// the query (OAuth 2.0 Multiple Response Type Encoding Practices section 2.1).
    pub response_mode: Option<ResponseMode>,
    /// What the callback calls the code.
    pub code_param: String,
    /// The parameter by which the callback is signed, where it is.
    pub hmac_param: Option<String>,
    /// Whether PKCE with S256 is sent. Off only where a provider rejects it (H-05).
    pub pkce: bool,
}

impl Authorize {
    /// Whether a parameter belongs to the protocol or to this profile's scopes, so that neither
    /// a profile nor an endpoint's own query may set it (H-15).
    pub fn reserves(&self, name: &str) -> bool {
        let own = self.rename.values().any(|own| own == name);
        own || name == self.scope_param || is_protocol_param(name)
    }
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
    /// The provider's names of parameters of the protocol, in every request that spends something.
    pub rename: BTreeMap<String, String>,
    /// Parameters of the protocol that are left out.
    pub omit: Vec<String>,
    /// The provider's names of the members of an answer (RFC 6749 section 5.1).
    pub members: BTreeMap<String, String>,
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
    /// JSON pointer, into the whole answer, to scopes that are not in `scope`.
    pub scope_path: Option<String>,
}

/// A request beside those of RFC 6749 that spends a token for the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRequest {
    /// Where it is asked for.
    pub url: Url,
    /// GET or POST.
    pub method: Method,
    /// The value of `grant_type`.
    pub grant_type: String,
    /// The parameter that carries the token.
    pub token_param: String,
    /// How the client authenticates.
    pub auth: RequestAuth,
    /// How the body of a POST is encoded.
    pub body: BodyEncoding,
    /// Extra parameters.
    pub params: BTreeMap<String, String>,
    /// As [`TokenEndpointProfile::token_path`], for its answer.
    pub token_path: String,
}

/// One way of revoking a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The revocation endpoint. The text `{client_id}` in it stands for the client and, with
    /// [`TokenCarrier::Path`], `{token}` for the token.
    pub url: String,
    /// The request's method.
    pub method: Method,
    /// Which token is sent first. Where it is missing the other one is.
    pub token: RevokedToken,
    /// Whether the request can name a token of the other kind too.
    pub either: bool,
    /// How the token is carried.
    pub send: TokenCarrier,
    /// Its name in a form, a JSON object or a query.
    pub param: String,
    /// Whether `token_type_hint` is sent (RFC 7009 section 2.1).
    pub hint: bool,
    /// How the client authenticates.
    pub auth: RevocationAuth,
    /// Extra parameters. Their values may hold `{client_id}`, and `{captured.name}` for a value
    /// of the connection.
    pub params: BTreeMap<String, String>,
    /// What else ends with it.
    pub reach: RevocationReach,
}

/// How grants live and die at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshProfile {
    /// What is spent for the next access token.
    pub grant: RefreshGrant,
    /// The request that spends it; `None` for that of RFC 6749 section 6 at the token endpoint.
    pub request: Option<GrantRequest>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshGrant {
    /// The refresh token (RFC 6749 section 6).
    RefreshToken,
    /// The access token itself, while it lives: the provider issues no refresh tokens.
    AccessToken {
        /// A younger token is not exchanged.
        min_age: Duration,
    },
    /// Nothing: when the access token is over the user connects again.
    Nothing,
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
    /// What is posted to it, JSON; `None` for a GET.
    pub json: Option<String>,
    /// JSON pointer to the account's stable id.
    pub id: String,
    /// JSON pointer to something a person recognises, such as an e-mail address.
    pub label: Option<String>,
}
