//! RFC 9457 problem details. The only file that names a status for a refusal.
//!
//! A problem carries what the caller may know. What went wrong inside is logged where it is
//! known and never put here.

mod oauth;

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::crypto::vault::VaultError;
use crate::domain::app::KeyScope;
use crate::domain::connection::ReconnectReason;
use crate::domain::connector::ConnectorKind;
use crate::domain::ids::InvalidId;
use crate::ports::{KmsError, StoreError};

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    reason: Option<&'static str>,
    required_plan: Option<Box<str>>,
    required_scope: Option<&'static str>,
    retry_after: Option<Duration>,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field's name, as the request spells it.
    pub field: String,
    /// What to do about it.
    pub detail: String,
}

/// The name of a refusal, left in the response for the request's log line.
#[derive(Clone, Copy, Debug)]
pub struct OutcomeName(pub &'static str);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $title:literal;)*) => {
        /// Every refusal has a name. Names are part of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every refusal.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in `code` and at the end of `type`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// The sentence in `title`.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// Another account than the connected one.
    AccountMismatch = "account_mismatch", CONFLICT, "Another account is connected";
    /// Something else has the id.
    AlreadyExists = "already_exists", CONFLICT, "The id is taken";
    /// The authorization code was not accepted by the provider.
    CodeRefused = "code_refused", BAD_GATEWAY, "The provider did not accept the authorization";
    /// The flow is completed in the other way.
    CompletionMode = "completion_mode", CONFLICT, "The flow is not completed this way";
    /// The completion code is unknown, used or of another session.
    CompletionInvalid = "completion_invalid", BAD_REQUEST, "The completion code is not valid";
    /// `confirm` does not name the connector.
    ConfirmationRequired = "confirmation_required", BAD_REQUEST, "Confirm by name";
    /// Another change was faster.
    Conflict = "conflict", CONFLICT, "Something else changed it";
    /// An admin has disabled the connector.
    ConnectorDisabled = "connector_disabled", CONFLICT, "The connector is disabled";
    /// The connector has no client secret yet.
    ConnectorIncomplete = "connector_incomplete", CONFLICT, "The connector is not complete";
    /// An issuer's metadata cannot be read or used.
    DiscoveryFailed = "discovery_failed", BAD_GATEWAY, "The issuer's metadata cannot be used";
    /// A path nothing answers to, or nothing of the caller's.
    NotFound = "not_found", NOT_FOUND, "Not found";
    /// The role does not allow it.
    Forbidden = "forbidden", FORBIDDEN, "Not allowed";
    /// The first request with this `Idempotency-Key` is not answered yet.
    IdempotencyInProgress = "idempotency_in_progress", CONFLICT, "The request is being done";
    /// The `Idempotency-Key` was used for something else.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "Another request had this key";
    /// The ID token that came with the tokens is not what it has to be.
    IdTokenInvalid = "id_token_invalid", BAD_GATEWAY, "The provider's ID token is not valid";
    /// A fault of ours.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong";
    /// The API key may be used for other things.
    InsufficientScope = "insufficient_scope", FORBIDDEN, "The key is not for this";
    /// The request cannot be understood.
    InvalidRequest = "invalid_request", BAD_REQUEST, "The request is not valid";
    /// The connector connects accounts of the other kind.
    KindMismatch = "kind_mismatch", CONFLICT, "The connector is of the other kind";
    /// KMS does not open the keys.
    KmsUnavailable = "kms_unavailable", SERVICE_UNAVAILABLE, "Keys are unavailable";
    /// A method the path does not answer.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    /// No connection to hand out from.
    NotConnected = "not_connected", NOT_FOUND, "Not connected";
    /// The API key acts only for users whose JWT comes along.
    OnBehalfOfRequired = "on_behalf_of_required", FORBIDDEN, "The user's JWT is missing";
    /// The body is too large.
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The plan does not include it.
    PlanRequired = "plan_required", FORBIDDEN, "The plan does not include this";
    /// `If-Match` names another version.
    PreconditionFailed = "precondition_failed", PRECONDITION_FAILED, "It has changed";
    /// `If-Match` is missing.
    PreconditionRequired = "precondition_required", PRECONDITION_REQUIRED, "Say which version";
    /// The provider does not answer, or not now.
    ProviderUnavailable = "provider_unavailable", SERVICE_UNAVAILABLE, "The provider is unavailable";
    /// More calls than the cap allows.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    /// The account has to be connected again.
    ReconnectRequired = "reconnect_required", CONFLICT, "The account has to be connected again";
    /// The flow took too long.
    SessionExpired = "session_expired", GONE, "The connect flow has expired";
    /// A store of ours does not answer.
    TemporarilyUnavailable = "temporarily_unavailable", SERVICE_UNAVAILABLE, "Try again shortly";
    /// The user has as many accounts there as anybody may have.
    TooManyAccounts = "too_many_accounts", CONFLICT, "Too many accounts";
    /// The app has as many live keys as it may have.
    TooManyKeys = "too_many_keys", CONFLICT, "Too many live keys";
    /// No proof of identity.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "Not signed in";
    /// Somebody else started the flow.
    UserMismatch = "user_mismatch", FORBIDDEN, "Another user started this";
}

impl Problem {
    /// A refusal with a sentence on what to do about it.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            reason: None,
            required_plan: None,
            required_scope: None,
            retry_after: None,
        }
    }

    /// The request is invalid in one field.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let (field, detail) = (field.into(), detail.into());
        let mut problem = Self::new(Code::InvalidRequest, format!("{field}: {detail}"));
        problem.errors.push(FieldError { field, detail });
        problem
    }

    /// Nothing there, or nothing of the caller's: the two read the same (H-21).
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "nothing with this id belongs to you")
    }

    /// There is no connection to hand out from.
    pub fn not_connected() -> Self {
        Self::new(Code::NotConnected, "no account is connected here")
    }

    /// What was asked for is of the kind that a connector of `kind` does not have.
    pub fn kind_mismatch(kind: ConnectorKind) -> Self {
        let detail = match kind {
            ConnectorKind::User => "each user connects an account of their own here",
            ConnectorKind::App => "an admin connects one account here, for everyone in an app",
        };
        Self::new(Code::KindMismatch, detail)
    }

    /// An alias at a connector with one account a user.
    pub fn one_account() -> Self {
        Self::field(
            "alias",
            "must be left out: the connector is set to one account for each user",
        )
    }

    /// Nobody's JWT comes along where one has to.
    pub fn on_behalf_of_required() -> Self {
        Self::new(
            Code::OnBehalfOfRequired,
            "this acts for a user, whose JWT has to come along as On-Behalf-Of: Bearer",
        )
    }

    /// The connector is there, and not in use.
    pub fn connector_disabled() -> Self {
        Self::new(
            Code::ConnectorDisabled,
            "an admin has disabled the connector; it works again once it is enabled",
        )
    }

    /// The user has to connect again, with the reason.
    pub fn reconnect_required(reason: ReconnectReason) -> Self {
        let detail = match reason {
            ReconnectReason::ScopesChanged => {
                "the connector asks for more scopes than were granted"
            }
            ReconnectReason::MissingScopes => "the scopes asked for were not granted",
            ReconnectReason::GrantRevoked => "the provider no longer accepts the grant",
            ReconnectReason::RefreshExpired => {
                "the access token has expired and the provider gave no refresh token"
            }
            ReconnectReason::RefreshOutcomeLost => "the provider's last answer was lost",
            ReconnectReason::AccountMismatch => {
                "the provider answered with the tokens of another account"
            }
            ReconnectReason::ConnectorChanged => {
                "the connector's client or endpoints have changed since the user connected"
            }
        };
        let mut problem = Self::new(Code::ReconnectRequired, detail);
        problem.reason = Some(reason.as_str());
        problem
    }

    /// The workspace's plan is too small.
    pub fn plan_required(required: &str) -> Self {
        let detail = format!("adding and changing connectors needs the plan {required} or higher");
        let mut problem = Self::new(Code::PlanRequired, detail);
        problem.required_plan = Some(required.into());
        problem
    }

    /// The API key is not meant for this.
    pub fn insufficient_scope(required: KeyScope) -> Self {
        let scope = required.as_str();
        let detail = format!("this needs an API key with the scope {scope}");
        let mut problem = Self::new(Code::InsufficientScope, detail);
        problem.required_scope = Some(scope);
        problem
    }

    /// Not now; ask again after `after`.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after.max(Duration::from_secs(1)));
        self
    }

    /// The refusal's name.
    pub fn code(&self) -> Code {
        self.code
    }

    fn body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: String,
            title: &'static str,
            status: u16,
            detail: &'a str,
            code: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<&'static str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            required_plan: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            required_scope: Option<&'static str>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [FieldError],
        }
        let code = self.code.as_str();
        let body = Body {
            r#type: format!("urn:grantry:problem:{code}"),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code,
            reason: self.reason,
            required_plan: self.required_plan.as_deref(),
            required_scope: self.required_scope,
            errors: &self.errors,
        };
        serde_json::to_vec(&body).expect("a problem serializes")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.code.status(), self.body()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(after) = self.retry_after {
            // Rounded up: a caller who waits this long is not early.
            headers.insert(
                header::RETRY_AFTER,
                after
                    .as_millis()
                    .div_ceil(1000)
                    .to_string()
                    .parse()
                    .expect("digits"),
            );
        }
        if self.code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
            .extensions_mut()
            .insert(OutcomeName(self.code.as_str()));
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                tracing::error!(error = %Chain(&error), "a store did not answer");
                Self::new(
                    Code::TemporarilyUnavailable,
                    "a table did not answer; nothing was changed",
                )
                .retry_after(Duration::from_secs(1))
            }
            StoreError::Corrupt(_) => {
                tracing::error!(error = %error, "a stored item cannot be read");
                Self::new(Code::Internal, "the fault has been recorded")
            }
        }
    }
}

impl From<KmsError> for Problem {
    fn from(error: KmsError) -> Self {
        tracing::error!(error = %Chain(&error), "KMS did not serve");
        Self::new(
            Code::KmsUnavailable,
            "the encryption key cannot be used at the moment",
        )
        .retry_after(Duration::from_secs(5))
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Store(error) => error.into(),
            VaultError::Kms(error) => error.into(),
            VaultError::Unusable => {
                tracing::error!("the workspace has no usable key");
                Self::new(Code::KmsUnavailable, "the workspace's key cannot be used")
                    .retry_after(Duration::from_secs(60))
            }
        }
    }
}

impl From<InvalidId> for Problem {
    fn from(error: InvalidId) -> Self {
        Self::field(error.kind, format!("must be {}", error.rule))
    }
}

/// An error with everything that caused it, for a log line.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
