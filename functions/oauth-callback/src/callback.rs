//! `/oauth/callback/{connector_id}`: a ladder of checks, cheapest first. Nothing leaves and
//! nothing is stored before the last of them.

use std::collections::BTreeMap;

use axum::extract::{self, Extension, Path};
use axum::response::Response;
use http::HeaderMap;
use shared::crypto::hash::{hash, matches, random_secret};
use shared::domain::app::Completion;
use shared::domain::audit::{AuditEntry, Origin, ProviderSaid};
use shared::domain::ending::Ending;
use shared::domain::provider::{ResponseMode, matches_whole};
use shared::domain::secret::Secret;
use shared::domain::session::{
    AuthorizationSession, CODE_LIFETIME, Callback, Display, Redirected, Returned, SessionToken,
    Stage,
};
use shared::events::add_entry;
use shared::http::page::{
    self, ALREADY_USED, FlowCookie, MIXED_UP, NOT_OURS, Page, Told, leave, returnable,
    same_browser, unavailable,
};
use shared::http::problem::Problem;
use shared::http::request::{Query, RequestFacts};
use shared::oauth::signed_callback;
use shared::ports::SessionField;

use crate::State;
use crate::finish::finish_url;

/// KMS encrypts at most this many bytes; no provider's code comes near.
const MAX_CODE: usize = 4096;
/// The longest other value, in bytes.
const MAX_KEPT: usize = 2048;

pub(crate) async fn callback(
    extract::State(state): extract::State<State>,
    Path(connector): Path<String>,
    headers: HeaderMap,
    facts: Option<Extension<RequestFacts>>,
    query: Result<Query, Problem>,
) -> Result<Response, Page> {
    // A parameter that comes twice is an attack or a broken provider.
    let params = query.map_err(|_| NOT_OURS)?;
    let answer = Answer::read(&state, &connector, params, ResponseMode::Query).await?;
    climb(&state, &headers, facts, answer).await
}

/// A provider's answer, and the flow whose state it carries.
pub(crate) struct Answer {
    pub(crate) session: AuthorizationSession,
    pub(crate) token: SessionToken,
    pub(crate) params: Query,
}

impl Answer {
    /// Finds the flow of an answer that came to this connector's path in this way.
    pub(crate) async fn read(
        state: &State,
        connector: &str,
        params: Query,
        mode: ResponseMode,
    ) -> Result<Self, Page> {
        // Only the code flow: tokens never travel through a browser (H-12).
        let tokens = ["access_token", "id_token", "token"];
        if tokens.iter().any(|name| params.get(name).is_some()) {
            return Err(NOT_OURS);
        }
        let token = params
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
        // A code comes in the way that was asked for. An error may come in the query all the
        // same: that is what a provider falls back to that does not know the mode (H-13).
        let may_differ =
            mode == ResponseMode::Query && params.get(&session.callback.code_param).is_none();
        if session.response_mode != mode && !may_differ {
            return Err(NOT_OURS);
        }
        Ok(Self {
            session,
            token,
            params,
        })
    }
}

/// The ladder.
pub(crate) async fn climb(
    state: &State,
    headers: &HeaderMap,
    facts: Option<Extension<RequestFacts>>,
    answer: Answer,
) -> Result<Response, Page> {
    let Answer {
        session,
        token,
        params,
    } = answer;
    let redirected = expecting(&session, &token)?;
    let over = Over {
        session: &session,
        request_id: facts.and_then(|facts| facts.known().request_id),
    };
    // The browser that was sent away is the one that comes back (H-03).
    same_browser(headers, &session)?;
    // Where nobody may be sent back to, nothing is begun (C19).
    returnable(&*state.registry, &session).await?;
    if session.is_expired(state.clock.now()) {
        over.write(state, Ending::Expired, None).await?;
        return Ok(over.depart(state, Ending::Expired));
    }
    // The issuer, for errors too, by plain comparison (RFC 9207 section 2.4, H-07).
    if !issuer_matches(&session, params.get("iss")) {
        tracing::warn!(session.id = %session.id, connector.id = %session.connector, "mixup_suspected");
        over.write(state, Ending::MixedUp, None).await?;
        return Err(MIXED_UP);
    }
    if let Some(error) = params.get("error") {
        let (ending, description) = (refused(error), params.get("error_description"));
        let said = ProviderSaid::new(error, description);
        over.write(state, ending, Some(said)).await?;
        return Ok(over.depart(state, ending));
    }
    let code = params
        .get(&session.callback.code_param)
        .filter(|code| (1..=MAX_CODE).contains(&code.len()));
    let code = code.ok_or(NOT_OURS)?;
    let code = match &session.callback.hmac_param {
        None => Some(Secret::new(code)),
        Some(hmac) => signed_callback::unproven(params.iter(), hmac, code),
    };
    let Some((code, kept)) = code.zip(kept(&session.callback, &params)) else {
        tracing::warn!(session.id = %session.id, connector.id = %session.connector, "callback_incomplete");
        over.write(state, Ending::ProviderRefused, None).await?;
        return Ok(over.depart(state, Ending::ProviderRefused));
    };

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
        nonce: redirected.nonce,
        kept,
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
        Completion::App => depart(state, &session, &Told::Authorized(&completion)),
        Completion::Screen => {
            let location = page::confirm_url(&state.public_url, &completion);
            page::redirect(&location, &FlowCookie::Keep)
        }
    })
}

/// What the session expects of this callback, if it waits for one with this state.
pub(crate) fn expecting<'a>(
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

/// What the callback carries beside the code, if that is what it has to be. It comes through a
/// browser, so that anybody may have written it.
fn kept(callback: &Callback, params: &Query) -> Option<BTreeMap<String, String>> {
    let mut kept = BTreeMap::new();
    for (name, value) in &callback.values {
        match params.get(&value.param) {
            Some(text) if text.len() <= MAX_KEPT && matches_whole(&value.pattern, text) => {
                kept.insert(name.clone(), text.to_owned());
            }
            None if !value.required => {}
            _ => return None,
        }
    }
    Some(kept)
}

fn issuer_matches(session: &AuthorizationSession, iss: Option<&str>) -> bool {
    match (&session.issuer, iss) {
        (Some(expected), Some(iss)) => expected == iss,
        (_, None) => !session.iss_promised,
        // Nothing to compare with: a provider that is not known to have an issuer.
        (None, Some(_)) => true,
    }
}

/// The provider's own words are mapped: no page, no header and no log line has them (H-09).
fn refused(error: &str) -> Ending {
    match error {
        "access_denied" => Ending::Denied,
        "temporarily_unavailable" | "server_error" => Ending::ProviderUnavailable,
        _ => Ending::ProviderRefused,
    }
}

/// A flow that is over here, without a code.
struct Over<'a> {
    session: &'a AuthorizationSession,
    request_id: Option<String>,
}

impl Over<'_> {
    /// Ends it, and leaves for the admins how.
    async fn write(
        &self,
        state: &State,
        ending: Ending,
        said: Option<ProviderSaid>,
    ) -> Result<(), Page> {
        let ended = state.sessions.end(&self.session.id, ending).await;
        ended.map_err(unavailable)?;
        // Nobody has signed in here: the browser is the one of who started.
        let origin = Origin {
            actor: self.session.starter.actor(),
            request_id: self.request_id.clone(),
        };
        let now = state.clock.now();
        let entry = AuditEntry::of_failed_flow(self.session, ending, said, &origin, now);
        add_entry(&*state.audit, &entry).await;
        Ok(())
    }

    /// Tells the app.
    fn depart(&self, state: &State, ending: Ending) -> Response {
        depart(state, self.session, &Told::Ended(ending))
    }
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
