//! `GET /oauth/callback/{connector_id}`: a ladder of checks, cheapest first. Nothing leaves and
//! nothing is stored before the last of them.

use axum::extract::{self, Path};
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use shared::crypto::hash::{hash, matches, random_secret};
use shared::domain::ids::SessionId;
use shared::domain::secret::Secret;
use shared::domain::session::{
    AuthorizationSession, CODE_LIFETIME, Redirected, Returned, SessionToken, Stage, cookie_name,
};
use shared::http::page::{self, FlowCookie, Page, unavailable};
use shared::http::problem::{OutcomeName, Problem};
use shared::http::request::Query;
use shared::ports::SessionField;
use url::Url;

use crate::State;

/// KMS encrypts at most this many bytes; no provider's code comes near.
const MAX_CODE: usize = 4096;

const NOT_OURS: Page = Page {
    status: StatusCode::BAD_REQUEST,
    code: "callback_invalid",
    title: "This page cannot be used",
    text: "It does not belong to a connect flow that is under way. Go back to the app and press Connect again.",
};
const ALREADY_USED: Page = Page {
    status: StatusCode::CONFLICT,
    code: "callback_replayed",
    title: "This step is already done",
    text: "Nothing more happens here. Go back to the app to see whether your account is connected.",
};
const EXPIRED: Page = Page {
    status: StatusCode::GONE,
    code: "session_expired",
    title: "That took too long",
    text: "A connect flow is open for ten minutes. Go back to the app and press Connect again.",
};
const OTHER_BROWSER: Page = Page {
    status: StatusCode::FORBIDDEN,
    code: "browser_mismatch",
    title: "This is not the browser you started in",
    text: "For your safety a connect flow ends in the browser it began in. Go back to the app and press Connect again.",
};
const MIXED_UP: Page = Page {
    status: StatusCode::BAD_REQUEST,
    code: "mixup_suspected",
    title: "The answer came from somewhere else",
    text: "It is not from the provider you were sent to, so nothing was connected. Go back to the app and press Connect again.",
};
pub(crate) async fn callback(
    extract::State(state): extract::State<State>,
    Path(connector): Path<String>,
    headers: HeaderMap,
    query: Result<Query, Problem>,
) -> Result<Response, Page> {
    // A parameter that comes twice is an attack or a broken provider.
    let query = query.map_err(|_| NOT_OURS)?;
    // Only the code flow: tokens never travel through a browser (H-12).
    if ["access_token", "id_token", "token"]
        .iter()
        .any(|name| query.get(name).is_some())
    {
        return Err(NOT_OURS);
    }
    let token = query
        .get("state")
        .and_then(SessionToken::parse)
        .ok_or(NOT_OURS)?;
    let session = state
        .sessions
        .session(&token.session)
        .await
        .map_err(unavailable)?
        .ok_or(NOT_OURS)?;
    // Path context: a code of one connector cannot be walked into another's flow (H-06).
    if session.connector.as_str() != connector {
        return Err(NOT_OURS);
    }
    let redirected = expecting(&session, &token)?;
    if session.is_expired(state.clock.now()) {
        return Err(EXPIRED);
    }
    // The browser that was sent away is the one that comes back (H-03).
    let cookie = flow_cookie(&headers, &session.id).ok_or(OTHER_BROWSER)?;
    if !matches(&cookie, &redirected.cookie) {
        return Err(OTHER_BROWSER);
    }
    // The issuer, for errors too, by plain comparison (RFC 9207 section 2.4, H-07).
    if !issuer_matches(&session, query.get("iss")) {
        tracing::warn!(session.id = %session.id, connector.id = %session.connector, "mixup_suspected");
        state.sessions.end(&session.id).await.map_err(unavailable)?;
        return Err(MIXED_UP);
    }
    if let Some(error) = query.get("error") {
        state.sessions.end(&session.id).await.map_err(unavailable)?;
        return Ok(refused(&session, error));
    }
    let code = query
        .get("code")
        .filter(|code| (1..=MAX_CODE).contains(&code.len()));
    let code = Secret::new(code.ok_or(NOT_OURS)?);

    let sealed = state
        .keys
        .seal_for_session(&session.id, SessionField::Code, &code)
        .await
        .map_err(unavailable)?;
    let completion = SessionToken {
        session: session.id.clone(),
        secret: random_secret(&*state.entropy),
    };
    let returned = Returned {
        completion: hash(&completion.secret),
        code: sealed,
        verifier: redirected.verifier.clone(),
    };
    let expires_at = state.clock.now().after(CODE_LIFETIME);
    let state_hash = hash(&token.secret);
    // The state is spent here: of any number of equal callbacks one gets past (H-02).
    let arrived = state
        .sessions
        .arrive(&session.id, &state_hash, &returned, expires_at)
        .await;
    if !arrived.map_err(unavailable)? {
        return Err(ALREADY_USED);
    }
    Ok(back_to_app(
        &session,
        "authorized",
        completion.to_secret().expose(),
    ))
}

/// What the session expects of this callback, if it waits for one with this state.
fn expecting<'a>(
    session: &'a AuthorizationSession,
    token: &SessionToken,
) -> Result<&'a Redirected, Page> {
    match &session.stage {
        Stage::Redirected(redirected) if matches(&token.secret, &redirected.state) => {
            Ok(redirected)
        }
        Stage::Redirected(_) | Stage::Started { .. } => Err(NOT_OURS),
        Stage::Returned(_) | Stage::Exchanging { .. } | Stage::Completed { .. } | Stage::Ended => {
            Err(ALREADY_USED)
        }
    }
}

/// The flow's cookie; `None` when it is absent or comes twice.
fn flow_cookie(headers: &HeaderMap, session: &SessionId) -> Option<Secret> {
    let name = cookie_name(session);
    let mut values = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(known, _)| *known == name);
    let value = values.next().map(|(_, value)| Secret::new(value));
    value.filter(|_| values.next().is_none())
}

fn issuer_matches(session: &AuthorizationSession, iss: Option<&str>) -> bool {
    match (&session.issuer, iss) {
        (Some(expected), Some(iss)) => expected == iss,
        (_, None) => !session.iss_promised,
        // Nothing to compare with: a provider that is not known to have an issuer.
        (None, Some(_)) => true,
    }
}

/// The provider's own words are mapped and never passed on (H-09).
fn refused(session: &AuthorizationSession, error: &str) -> Response {
    match error {
        "access_denied" => back_to_app(session, "denied", "access_denied"),
        "temporarily_unavailable" | "server_error" => {
            back_to_app(session, "failed", "provider_unavailable")
        }
        _ => back_to_app(session, "failed", "provider_refused"),
    }
}

/// 303 to the app, with our parameters and none of the provider's (H-08).
fn back_to_app(session: &AuthorizationSession, status: &'static str, code: &str) -> Response {
    let mut url: Url = session.return_url.clone();
    url.query_pairs_mut()
        .append_pair("status", status)
        .append_pair("code", code);
    let mut response = page::redirect(&url, &FlowCookie::Clear(&session.id));
    response.extensions_mut().insert(OutcomeName(status));
    response
}
