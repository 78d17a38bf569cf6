//! `GET /oauth/finish`: the end of a flow in a window of its own. The callback's redirect leads
//! here, to an address without the provider's code (H-08).

use axum::extract;
use axum::response::Response;
use http::HeaderMap;
use shared::crypto::hash::matches;
use shared::domain::app::Completion;
use shared::domain::ids::SessionId;
use shared::domain::session::{AuthorizationSession, SessionToken, Stage};
use shared::http::page::{
    FlowCookie, NOT_OURS, Page, Told, leave, returnable, same_browser, unavailable,
};
use shared::http::problem::Problem;
use shared::http::request::Query;
use url::Url;

use crate::State;

/// Where the page is. The completion code is on it for the app that has to get it.
pub(crate) fn finish_url(public_url: &Url, session: &AuthorizationSession, told: &Told<'_>) -> Url {
    let query = match told {
        Told::Authorized(token) => format!("code={}", token.to_secret().expose()),
        Told::Connected(_) | Told::Ended(_) => format!("flow={}", session.id),
    };
    let url = public_url.join(&format!("/oauth/finish?{query}"));
    url.expect("ids and completion codes are part of a query as they are")
}

pub(crate) async fn finish(
    extract::State(state): extract::State<State>,
    headers: HeaderMap,
    query: Result<Query, Problem>,
) -> Result<Response, Page> {
    let query = query.map_err(|_| NOT_OURS)?;
    let token = query.get("code").and_then(SessionToken::parse);
    let id = match &token {
        Some(token) => Some(token.session.clone()),
        None => query.get("flow").and_then(|id| SessionId::parse(id).ok()),
    };
    let session = state
        .sessions
        .session(&id.ok_or(NOT_OURS)?)
        .await
        .map_err(unavailable)?
        .ok_or(NOT_OURS)?;
    same_browser(&headers, &session)?;
    returnable(&*state.registry, &session).await?;
    let told = match (&session.stage, &token) {
        (Stage::Ended(ending), _) => Told::Ended(*ending),
        (_, Some(token)) if completes(&session, token) => Told::Authorized(token),
        _ => return Err(NOT_OURS),
    };
    // The cookie stays: whoever loads the page again is to see it again.
    Ok(leave(&session, &told, &FlowCookie::Keep))
}

/// Whether this is the code with which the app completes the flow, or has.
fn completes(session: &AuthorizationSession, token: &SessionToken) -> bool {
    let expected = match &session.stage {
        Stage::Returned(returned) => &returned.completion,
        Stage::Exchanging { completion } | Stage::Completed { completion, .. } => completion,
        Stage::Started { .. } | Stage::Redirected(_) | Stage::Ended(_) => return false,
    };
    session.completion == Completion::App && matches(&token.secret, expected)
}
