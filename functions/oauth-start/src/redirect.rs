//! `GET /connect/{ticket}`: the browser goes to the provider, once.

use axum::extract::{self, Path};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use shared::catalogue;
use shared::crypto::hash::{hash, matches, random_secret};
use shared::domain::session::{
    AuthorizationSession, Redirected, SESSION_LIFETIME, SessionToken, Stage, cookie_name,
};
use shared::http::page::{Page, harden};
use shared::http::problem::Problem;
use shared::oauth::{AuthorizeRequest, authorize_url, pkce};
use shared::ports::SessionField;

use crate::State;

const LINK_USED: Page = Page {
    status: StatusCode::GONE,
    code: "link_invalid",
    title: "This link no longer works",
    text: "A connect link works once and for ten minutes. Go back to the app and press Connect again.",
};
const TRY_AGAIN: Page = Page {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: "temporarily_unavailable",
    title: "Something is busy",
    text: "Wait a moment, then load this page again.",
};

pub(crate) async fn redirect(
    extract::State(state): extract::State<State>,
    Path(ticket): Path<String>,
) -> Result<Response, Page> {
    let ticket = SessionToken::parse(&ticket).ok_or(LINK_USED)?;
    let session = live_session(&state, &ticket).await?;
    let connector = state
        .registry
        .connector(&session.workspace, &session.connector)
        .await
        .map_err(unavailable)?
        .filter(|connector| {
            connector.serves(&session.app) && connector.generation == session.connector_generation
        })
        .ok_or(LINK_USED)?;
    let provider = catalogue::resolve(&connector.provider, &connector.config, state.address_rules)
        .map_err(|_| LINK_USED)?;

    let state_token = SessionToken {
        session: session.id.clone(),
        secret: random_secret(&*state.entropy),
    };
    let cookie = random_secret(&*state.entropy);
    let (verifier, challenge) = if provider.authorize.pkce {
        let (verifier, challenge) = pkce(&*state.entropy);
        let sealed = state
            .keys
            .seal_for_session(&session.id, SessionField::Verifier, &verifier)
            .await
            .map_err(unavailable)?;
        (Some(sealed), Some(challenge))
    } else {
        (None, None)
    };
    let redirected = Redirected {
        state: hash(&state_token.secret),
        cookie: hash(&cookie),
        verifier,
    };
    // The ticket is spent here. Of two browsers with the same link one gets past (H-04).
    let spent = state
        .sessions
        .redirect(&session.id, &hash(&ticket.secret), &redirected)
        .await;
    if !spent.map_err(unavailable)? {
        return Err(LINK_USED);
    }

    let location = authorize_url(&AuthorizeRequest {
        provider: &provider,
        client_id: &connector.client_id,
        redirect_uri: &connector.redirect_uri(&state.public_url),
        scopes: &connector.scopes,
        state: &state_token.to_secret(),
        pkce_challenge: challenge.as_deref(),
        login_hint: session.login_hint.as_deref(),
    });
    let set_cookie = format!(
        "{}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={}",
        cookie_name(&session.id),
        cookie.expose(),
        SESSION_LIFETIME.as_secs()
    );
    let mut response = StatusCode::SEE_OTHER.into_response();
    harden(response.headers_mut());
    let value = |text: &str| HeaderValue::from_str(text).expect("URLs and cookies are ASCII");
    response
        .headers_mut()
        .insert(header::LOCATION, value(location.as_str()));
    response
        .headers_mut()
        .insert(header::SET_COOKIE, value(&set_cookie));
    Ok(response)
}

/// The session of a ticket that has not been followed yet.
async fn live_session(state: &State, token: &SessionToken) -> Result<AuthorizationSession, Page> {
    let session = state
        .sessions
        .session(&token.session)
        .await
        .map_err(unavailable)?;
    session
        .filter(|session| match &session.stage {
            Stage::Started { ticket } => {
                matches(&token.secret, ticket) && !session.is_expired(state.clock.now())
            }
            Stage::Redirected(_)
            | Stage::Returned(_)
            | Stage::Exchanging { .. }
            | Stage::Completed { .. }
            | Stage::Ended => false,
        })
        .ok_or(LINK_USED)
}

/// The error is logged on its way into the problem; the browser sees a page.
fn unavailable(error: impl Into<Problem>) -> Page {
    let _logged: Problem = error.into();
    TRY_AGAIN
}
