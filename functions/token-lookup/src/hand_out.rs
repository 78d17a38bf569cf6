//! One look-up, whichever route it came by.

use std::time::Duration;

use http::request::Parts;
use shared::crypto::hash::hash;
use shared::domain::app::{KeyScope, PresentedApiKey};
use shared::domain::connection::ConnectionKey;
use shared::domain::handout::{Standing, standing};
use shared::domain::ids::{Alias, AppId, ConnectorId, ProviderId, UserId};
use shared::domain::rate::minute_of;
use shared::domain::scopes::ScopeList;
use shared::domain::subject::Subject;
use shared::http::identity::AppBackend;
use shared::http::on_behalf_of::Rider;
use shared::http::problem::{Code, Problem};
use shared::http::request::RequestFacts;
use shared::ports::LookupKeys;
use shared::refresh::{FreshTokens, NotFresh};

use crate::State;
use crate::{caps, reading};

/// What is asked for.
pub(crate) struct Asked<'a> {
    /// The API key that came along.
    pub(crate) key: PresentedApiKey,
    /// The app that the path names, if it names one.
    pub(crate) app: Option<AppId>,
    /// Through which connector.
    pub(crate) connector: ConnectorId,
    /// Whose JWT came along.
    pub(crate) rider: Option<&'a Rider>,
    /// Who is named.
    pub(crate) named: Option<UserId>,
    /// Which of several accounts; the default one if none.
    pub(crate) alias: Option<Alias>,
    /// How long the token has to last.
    pub(crate) min_ttl: Duration,
    /// What it has to be good for, if that is not all that the connector asks for.
    pub(crate) scopes: Option<ScopeList>,
}

/// What is handed out.
pub(crate) struct HandedOut {
    /// Whose token it is.
    pub(crate) provider: ProviderId,
    /// The token, and its connection.
    pub(crate) fresh: FreshTokens,
}

/// Looks up the token, and refreshes it where it is not fresh.
///
/// # Errors
/// What refuses the caller; `not_found` of another app than the caller's; `not_connected`, `reconnect_required`; `rate_limited`; what keeps
/// the provider or the keys away.
pub(crate) async fn hand_out(
    state: &State,
    parts: &Parts,
    asked: Asked<'_>,
) -> Result<HandedOut, Problem> {
    // The key names workspace and app, so its record and the connection are read together. The
    // record decides whether the rest is looked at.
    let user = asked.rider.map(|rider| rider.user.clone());
    let key = ConnectionKey {
        workspace: asked.key.workspace.clone(),
        app: asked.key.app.clone(),
        subject: Subject::from(user.or_else(|| asked.named.clone())),
        connector: asked.connector,
        alias: asked.alias,
    };
    let cached = state.engine.vault.cached(&key.workspace);
    let now = state.engine.clock.now();
    let keys = LookupKeys {
        api_key: hash(&asked.key.key),
        connection: key.clone(),
        with_workspace_keys: cached.is_none(),
        minute: minute_of(now),
    };
    let rows = state.lookup.lookup(&keys).await?;
    let record = rows.api_key.as_ref();
    let reader = AppBackend::admit(parts, &asked.key, record, KeyScope::TokensRead)?;
    if let Some(app) = &asked.app {
        reader.at(app)?;
    }
    reader.user(asked.rider, asked.named.as_ref())?;
    caps::pass(&state.meter, &*state.lookup, &keys, rows.reads, now).await?;

    let connector = rows
        .connector
        .filter(|connector| connector.is_for(&key.app))
        .ok_or_else(Problem::not_connected)?;
    if connector.kind != key.subject.kind() {
        return Err(Problem::kind_mismatch(connector.kind));
    }
    if !connector.has_account(key.alias.as_ref()) {
        return Err(Problem::one_account());
    }
    if !connector.serves(&key.app) {
        return Err(Problem::connector_disabled());
    }
    let connection = rows.connection.ok_or_else(Problem::not_connected)?;
    match standing(&connector, &connection, asked.scopes.as_ref()) {
        Standing::Connected => {}
        Standing::ReconnectRequired(reason) => return Err(Problem::reconnect_required(reason)),
        Standing::NotConnected => return Err(Problem::not_connected()),
    }
    if let Some(wrapped) = &rows.workspace_keys {
        state.engine.vault.admit(&key.workspace, wrapped).await?;
    }
    let fresh = state
        .engine
        .fresh_tokens(&connector, connection, asked.min_ttl)
        .await
        .map_err(refusal)?;
    RequestFacts::note(parts, |facts| {
        facts.connection = Some(fresh.connection.id.clone());
    });
    reading::note(state, parts, &reader, &fresh.connection, &rows.readers).await;
    Ok(HandedOut {
        provider: connector.provider,
        fresh,
    })
}

fn refusal(reason: NotFresh) -> Problem {
    match reason {
        NotFresh::Gone => Problem::not_connected(),
        NotFresh::ReconnectRequired(reason) => Problem::reconnect_required(reason),
        NotFresh::ProviderUnavailable { retry_after } => Problem::new(
            Code::ProviderUnavailable,
            "the provider issued no fresh token; try again",
        )
        .retry_after(retry_after),
        NotFresh::KeysUnavailable { retry_after } => Problem::new(
            Code::KmsUnavailable,
            "the encryption key cannot be used at the moment",
        )
        .retry_after(retry_after),
        NotFresh::Unreadable => Problem::new(Code::Internal, "the fault has been recorded"),
    }
}
