//! The words of the format that requests are made by. A provider that is ready to be called has
//! the same ones.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$word_doc])* $word,)* }
    )*};
}

words! {
    /// Who gives a field's value.
    AskedOf {
        /// An admin, once for the connector.
        Admin,
        /// Each user, for the connection that they begin.
        User,
    }

    /// How an authorization response travels.
    ResponseMode {
        /// In the query of a GET.
        Query,
        /// In the form of a POST (OAuth 2.0 Form Post Response Mode).
        FormPost,
    }

    /// Whether PKCE is sent (RFC 7636), always with S256.
    Pkce {
        /// The provider insists on it.
        Required,
        /// The provider takes it, or ignores it. It is sent.
        Optional,
        /// The provider rejects it. It is not sent.
        Off,
    }

    /// How the scopes are written into the authorization URL.
    ScopeEncoding {
        /// As every parameter: a space is `+`.
        Form,
        /// A space is `%20`.
        Percent,
        /// What stands between scopes is left as it is.
        Raw,
    }

    /// Client authentication at the token endpoint.
    ClientAuth {
        /// `client_id` and `client_secret` in the body.
        Post,
        /// HTTP Basic with form-encoded credentials (RFC 6749 section 2.3.1).
        Basic,
        /// HTTP Basic with the secret for a user name, and no password.
        SecretBasic,
        /// A JWT signed by the client's key (RFC 7523 section 2.2); the client secret is that key.
        PrivateKeyJwt,
    }

    /// Client authentication of a request beside the token request.
    RequestAuth {
        /// None: what is spent proves enough.
        None,
        /// As [`ClientAuth::Post`].
        Post,
        /// As [`ClientAuth::Basic`].
        Basic,
        /// As [`ClientAuth::SecretBasic`].
        SecretBasic,
        /// As [`ClientAuth::PrivateKeyJwt`].
        PrivateKeyJwt,
        /// `client_id` and `client_secret` in the query, for a GET that the provider takes in no
        /// other way.
        Query,
    }

    /// The encoding of a request's body.
    BodyEncoding {
        /// `application/x-www-form-urlencoded`, the standard.
        Form,
        /// `application/json`.
        Json,
    }

    /// A request's method.
    Method {
        /// GET.
        Get,
        /// POST.
        Post,
        /// DELETE.
        Delete,
    }

    /// What an error code of a provider says about the request.
    ErrorClass {
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

    /// One of a grant's two tokens.
    RevokedToken {
        /// The access token.
        Access,
        /// The refresh token.
        Refresh,
    }

    /// How a revocation carries the token that it names.
    TokenCarrier {
        /// In a form, as RFC 7009 section 2.1 has it.
        Form,
        /// In a JSON object.
        Json,
        /// As what authorizes the request (RFC 6750 section 2.1).
        Bearer,
        /// In the URL's path, where `{token}` stands.
        Path,
        /// In the URL's query.
        Query,
    }

    /// How the client authenticates a revocation.
    RevocationAuth {
        /// As [`ClientAuth::Post`].
        Post,
        /// As [`ClientAuth::Basic`].
        Basic,
        /// As [`ClientAuth::PrivateKeyJwt`].
        PrivateKeyJwt,
        /// Not at all.
        None,
        /// `Authorization: Client <secret>`.
        ClientHeader,
    }

    /// What a revocation ends.
    RevocationReach {
        /// The grant whose token it is.
        Grant,
        /// Whatever the account has granted to this client, so also what was connected elsewhere.
        Account,
    }
}

/// What holds where a provider is not told (OAuth 2.0 Multiple Response Type Encoding Practices
/// section 2.1).
impl Default for ResponseMode {
    fn default() -> Self {
        Self::Query
    }
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

impl Pkce {
    /// Whether a challenge is sent.
    pub const fn is_sent(self) -> bool {
        match self {
            Self::Required | Self::Optional => true,
            Self::Off => false,
        }
    }
}

impl From<ClientAuth> for RequestAuth {
    fn from(auth: ClientAuth) -> Self {
        match auth {
            ClientAuth::Post => Self::Post,
            ClientAuth::Basic => Self::Basic,
            ClientAuth::SecretBasic => Self::SecretBasic,
            ClientAuth::PrivateKeyJwt => Self::PrivateKeyJwt,
        }
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
