//! `GET /oauth/callback/{connector_id}`: a ladder of checks, cheapest first. Nothing leaves and
//! nothing is stored before the last of them.

use axum::extract::{self, Path};
use axum::response::Response;
use http::HeaderMap;
use shared::crypto::hash::{hash, matches, random_secret};
use shared::domain::app::Completion;
use shared::domain::ending::Ending;
use shared::domain::secret::Secret;
use shared::domain::session::{
    AuthorizationSession, CODE_LIFETIME, Display, Redirected, Returned, SessionToken, Stage,
};
use shared::http::page::{
    self, ALREADY_USED, FlowCookie, MIXED_UP, NOT_OURS, Page, Told, leave, same_browser,
    unavailable,
};
use shared::http::problem::Problem;
use shared::http::request::Query;
use shared::ports::SessionField;

use crate::State;
use crate::finish::finish_url;

/// KMS encrypts at most this many bytes; no provider's code comes near.
const MAX_CODE: usize = 4096;

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
    // The browser that was sent away is the one that comes back (H-03).
    same_browser(&headers, &session)?;
    if session.is_expired(state.clock.now()) {
        return end(&state, &session, Ending::Expired).await;
    }
    // The issuer, for errors too, by plain comparison (RFC 9207 section 2.4, H-07).
    if !issuer_matches(&session, query.get("iss")) {
        tracing::warn!(session.id = %session.id, connector.id = %session.connector, "mixup_suspected");
        let ended = state.sessions.end(&session.id, Ending::MixedUp).await;
        return Err(ended.map_or_else(unavailable, |()| MIXED_UP));
    }
    if let Some(error) = query.get("error") {
        return end(&state, &session, refused(error)).await;
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
    Ok(match session.completion {
        Completion::App => depart(&state, &session, &Told::Authorized(&completion)),
        Completion::Screen => {
            let location = page::confirm_url(&state.public_url, &completion);
            page::redirect(&location, &FlowCookie::Keep)
        }
    })
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
        Stage::Returned(_)
        | Stage::Exchanging { .. }
        | Stage::Completed { .. }
        | Stage::Ended(_) => Err(ALREADY_USED),
    }
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
fn refused(error: &str) -> Ending {
    match error {
        "access_denied" => Ending::Denied,
        "temporarily_unavailable" | "server_error" => Ending::ProviderUnavailable,
        _ => Ending::ProviderRefused,
    }
}

/// Ends the flow and tells the app.
async fn end(
    state: &State,
    session: &AuthorizationSession,
    ending: Ending,
) -> Result<Response, Page> {
    let ended = state.sessions.end(&session.id, ending).await;
    ended.map_err(unavailable)?;
    Ok(depart(state, session, &Told::Ended(ending)))
}

/// 303 to an address without the provider's code (H-08): the app's, or ours that ends a flow in
/// a window of its own.
fn depart(state: &State, session: &AuthorizationSession, told: &Told<'_>) -> Response {
    match session.display {
        Display::Redirect => leave(session, told, &FlowCookie::Clear(&session.id)),
        Display::Popup => {
            let location = finish_url(&state.public_url, session, told);
            page::redirect(&location, &FlowCookie::Keep)
        }
    }
}
