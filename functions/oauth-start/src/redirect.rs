//! `GET /connect/{ticket}`: the browser goes to the provider, once.

use axum::extract::{self, Path};
use axum::response::Response;
use shared::catalogue::{self, Account};
use shared::crypto::hash::{hash, matches, random_secret};
use shared::domain::session::{AuthorizationSession, Redirected, SessionToken, Stage};
use shared::http::page::{self, FlowCookie, LINK_USED, Page, unavailable};
use shared::oauth::{AuthorizeRequest, authorize_url, pkce};
use shared::ports::SessionField;

use crate::State;

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
        .filter(|connector| session.is_of(connector) && connector.serves(&session.app))
        .ok_or(LINK_USED)?;
    let told = Account::Told(&session.config);
    let provider =
        catalogue::of_connector(&connector, told, state.address_rules).map_err(|_| LINK_USED)?;

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
    let nonce = provider
        .brings_id_token(&connector.scopes)
        .then(|| random_secret(&*state.entropy));
    let redirected = Redirected {
        state: hash(&state_token.secret),
        verifier,
        nonce: nonce.as_ref().map(hash),
    };
    // The ticket is spent here. Of two browsers with the same link one gets past (H-04).
    let spent = state
        .sessions
        .redirect(
            &session.id,
            &hash(&ticket.secret),
            &hash(&cookie),
            &redirected,
        )
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
        nonce: nonce.as_ref(),
        login_hint: session.login_hint.as_deref(),
    });
    Ok(page::redirect(
        &location,
        &FlowCookie::Set(&session.id, &cookie),
    ))
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
            | Stage::Ended(_) => false,
        })
        .ok_or(LINK_USED)
}
