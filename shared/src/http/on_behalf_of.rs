//! `On-Behalf-Of: Bearer <JWT>`: the user for whom an app's back end acts, proven by a JWT of
//! their own that rides along with the API key.
//!
//! The gateway's authorizer looks at `Authorization` alone, so this one is verified here: against
//! the keys of the same issuer, for the same audience. Whoever rides is written into the request
//! before a route sees it, as the gateway writes the claims that it has verified.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use super::identity::{ClaimNames, Claims, unauthenticated};
use super::problem::{Code, Problem};
use crate::domain::ids::{AppId, UserId, WorkspaceId};
use crate::domain::secret::Secret;
use crate::id_token::{NoKeys, Unproven, UserTokens};

/// The header.
pub const ON_BEHALF_OF: HeaderName = HeaderName::from_static("on-behalf-of");

/// Verifies who rides along.
#[derive(Clone)]
pub struct OnBehalfOf {
    tokens: Arc<UserTokens>,
    claims: ClaimNames,
}

/// A signed-in user of an app, by a JWT that was verified here.
#[derive(Clone, Debug)]
pub struct Rider {
    /// The workspace of the app.
    pub workspace: WorkspaceId,
    /// The app.
    pub app: AppId,
    /// The user.
    pub user: UserId,
    /// What the JWT calls them, for people to read.
    pub label: Option<String>,
}

impl Rider {
    /// Who rides along with the request, if anybody does.
    pub fn of(parts: &Parts) -> Option<&Self> {
        parts.extensions.get()
    }
}

impl OnBehalfOf {
    /// A verifier that reads the claims under these names.
    pub fn new(tokens: Arc<UserTokens>, claims: ClaimNames) -> Self {
        Self { tokens, claims }
    }

    /// The same routes, which know who rides along.
    pub fn around(self, routes: Router) -> Router {
        routes.route_layer(from_fn_with_state(self, seat))
    }

    /// The user whom `token` proves.
    ///
    /// # Errors
    /// `unauthenticated`, the same for whatever is wrong with it; `forbidden` when it names no
    /// user of an app; `temporarily_unavailable` while the issuer's keys cannot be had.
    pub async fn prove(&self, token: &Secret) -> Result<Rider, Problem> {
        let payload = self.tokens.verify(token).await.map_err(refusal)?;
        Claims::verified(&payload).rider(&self.claims)
    }

    async fn rider(&self, headers: &HeaderMap) -> Result<Option<Rider>, Problem> {
        let mut values = headers.get_all(ON_BEHALF_OF).iter();
        let Some(first) = values.next() else {
            return Ok(None);
        };
        let only = Some(first).filter(|_| values.next().is_none());
        let token = only
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| Secret::new(token.trim()))
            .ok_or_else(wrong_token)?;
        self.prove(&token).await.map(Some)
    }
}

async fn seat(
    State(on_behalf_of): State<OnBehalfOf>,
    mut request: Request,
    next: Next,
) -> Response {
    match on_behalf_of.rider(request.headers()).await {
        Ok(Some(rider)) => {
            request.extensions_mut().insert(rider);
        }
        Ok(None) => {}
        Err(problem) => return problem.into_response(),
    }
    next.run(request).await
}

fn refusal(unproven: Unproven) -> Problem {
    match unproven {
        Unproven::Refused(reason) => {
            tracing::warn!(reason = %reason, "a user's JWT was refused");
            wrong_token()
        }
        Unproven::NoKeys(error) => {
            let cause = match &error {
                NoKeys::Unread(cause) => cause.to_string(),
                NoKeys::Unreadable => String::new(),
            };
            tracing::error!(error = %error, cause, "the issuer's keys cannot be had");
            let detail = "the issuer's keys cannot be read; nothing was changed";
            Problem::new(Code::TemporarilyUnavailable, detail).retry_after(Duration::from_secs(5))
        }
    }
}

fn wrong_token() -> Problem {
    unauthenticated("the user's JWT has to be one of the platform's, and live")
}
